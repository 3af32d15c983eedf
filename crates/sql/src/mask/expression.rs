//! Where the value of an expression comes from.
//!
//! In: an expression and the names visible there. Out: its [`Origin`]. A plain column, in brackets
//! or alone in a subquery, is a copy; everything else is computed from all that is in it, the
//! conditions of its subqueries included, because `exists (... where email = 'x')` tells the value
//! as well.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    Visit, Visitor,
};

use super::origin::Origin;
use super::query::Tracer;
use super::scope::{Item, Scope};
use crate::class::Class;
use crate::functions;

/// A name's parts; a part that is no identifier is an empty one, which names nothing.
pub(super) fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .map(|part| part.as_ident().map(|ident| ident.value.clone()).unwrap_or_default())
        .collect()
}

pub(super) fn values(idents: &[Ident]) -> Vec<String> {
    idents.iter().map(|ident| ident.value.clone()).collect()
}

impl Tracer<'_> {
    /// The origin of an expression's value.
    pub(super) fn expression(&mut self, expr: &Expr, scope: &Scope<'_>) -> Origin {
        match expr {
            Expr::Identifier(ident) => {
                self.names.resolve(scope, std::slice::from_ref(&ident.value))
            }
            Expr::CompoundIdentifier(idents) => self.names.resolve(scope, &values(idents)),
            Expr::Nested(inner) => self.expression(inner, scope),
            Expr::Value(_) => Origin::Untouched,
            Expr::Subquery(query) => self.subquery(query, scope, true),
            other => self.computed(other, scope),
        }
    }

    /// The origin of what is computed from all of an expression's parts.
    pub(super) fn computed<T: Visit>(&mut self, part: &T, scope: &Scope<'_>) -> Origin {
        let mut touch = Touch { tracer: self, scope, origin: Origin::Untouched, depth: 0 };
        let _continues = part.visit(&mut touch);
        touch.origin.computed()
    }

    /// A query inside an expression: what it hands out, and what its conditions tell.
    fn subquery(&mut self, query: &Query, scope: &Scope<'_>, may_copy: bool) -> Origin {
        let before = self.side_channels.len();
        let items = self.query(query, Some(scope));
        let chosen_by = self
            .side_channels
            .iter()
            .skip(before)
            .fold(Origin::Untouched, |all, channel| all.and(channel.origin.clone()));
        match (items.as_slice(), chosen_by) {
            ([Item::One(_, origin)], Origin::Untouched) if may_copy => origin.clone(),
            (items, chosen_by) => self.names.of_row(items).and(chosen_by).computed(),
        }
    }

    fn called(&mut self, function: &Function, scope: &Scope<'_>) -> Origin {
        let name = parts(&function.name);
        let origin = self.of_call(&name);
        let FunctionArguments::List(list) = &function.args else { return origin };
        let counts = name.last().is_some_and(|name| name.eq_ignore_ascii_case("count"));
        list.args.iter().fold(origin, |all, arg| {
            let arg = match arg {
                FunctionArg::Unnamed(arg)
                | FunctionArg::Named { arg, .. }
                | FunctionArg::ExprNamed { arg, .. } => arg,
            };
            match arg {
                FunctionArgExpr::QualifiedWildcard(name) => {
                    let row = self.names.relation(scope, &parts(name));
                    let row = row.map(|relation| self.names.of_row(&relation.items));
                    all.and(row.unwrap_or(Origin::Unknown))
                }
                FunctionArgExpr::Expr(_) => all,
                FunctionArgExpr::Wildcard if counts => all,
                _ => Origin::Unknown,
            }
        })
    }

    /// A function that was not reviewed may read anything.
    pub(super) fn of_call(&self, name: &[String]) -> Origin {
        let Some((last, qualifier)) = name.split_last() else { return Origin::Unknown };
        let last = if self.names.mysql { last.to_ascii_lowercase() } else { last.clone() };
        let own = match qualifier {
            [] => true,
            [schema] => !self.names.mysql && schema == "pg_catalog",
            _ => false,
        };
        match functions::class_of(&last, self.modes) {
            Some(Class::Read) if own => Origin::Untouched,
            _ => Origin::Unknown,
        }
    }
}

/// Adds up what an expression touches; a subquery in it is traced as a query of its own.
struct Touch<'t, 'a, 's> {
    tracer: &'t mut Tracer<'a>,
    scope: &'t Scope<'s>,
    origin: Origin,
    depth: usize,
}

impl Touch<'_, '_, '_> {
    fn add(&mut self, origin: Origin) {
        let known = std::mem::replace(&mut self.origin, Origin::Untouched);
        self.origin = known.and(origin);
    }
}

impl Visitor for Touch<'_, '_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if self.depth == 0 {
            let origin = self.tracer.subquery(query, self.scope, false);
            self.add(origin);
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let names = self.tracer.names;
        let origin = match expr {
            Expr::Identifier(ident) => {
                names.resolve(self.scope, std::slice::from_ref(&ident.value))
            }
            Expr::CompoundIdentifier(idents) => names.resolve(self.scope, &values(idents)),
            Expr::Function(function) => self.tracer.called(function, self.scope),
            Expr::QualifiedWildcard(name, _) => names
                .relation(self.scope, &parts(name))
                .map_or(Origin::Unknown, |relation| names.of_row(&relation.items)),
            Expr::Wildcard(_) => Origin::Unknown,
            Expr::MatchAgainst { columns, .. } => {
                columns.iter().fold(Origin::Untouched, |all, name| {
                    all.and(names.resolve(self.scope, &parts(name)))
                })
            }
            _ => Origin::Untouched,
        };
        self.add(origin);
        ControlFlow::Continue(())
    }
}
