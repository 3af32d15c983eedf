//! The walk over a query: what each column of its result comes from, and what its conditions and
//! orders tell.
//!
//! In: a syntax tree. Out: [`Item`]s of the result and side channels. Relations it does not know
//! have unknown columns, never none.

use sqlparser::ast::{
    Expr, FromTable, GroupByExpr, OrderByKind, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr, Statement, TableObject, UpdateTableFromKind, Visit,
    With,
};

use super::expression::parts;
use super::origin::{Origin, Place, SideChannel};
use super::protected::Schema;
use super::relations::renamed;
use super::scope::{Item, Names, Relation, Scope};
use crate::modes::Modes;

/// Deepest nesting of queries, views included.
const DEEPEST: usize = 64;
/// Most queries traced for one statement: a view or a `WITH` may be named many times.
const MOST_QUERIES: usize = 2_000;

pub(super) struct Tracer<'a> {
    pub(super) modes: &'a Modes,
    pub(super) names: Names<'a>,
    pub(super) schema: Option<&'a Schema>,
    pub(super) side_channels: Vec<SideChannel>,
    pub(super) depth: usize,
    pub(super) queries: usize,
}

impl Tracer<'_> {
    /// The columns of a query's result.
    pub(super) fn query(&mut self, query: &Query, outer: Option<&Scope<'_>>) -> Vec<Item> {
        self.queries += 1;
        if self.depth >= DEEPEST || self.queries > MOST_QUERIES {
            return vec![Item::Rest(Origin::Unknown)];
        }
        self.depth += 1;
        let mut base = Scope { outer, ..Scope::default() };
        if let Some(with) = &query.with {
            self.with(with, &mut base);
        }
        let items = self.body(&query.body, &base);
        self.order(query, &items, &base);
        if let Some(limit) = &query.limit_clause {
            self.tells(limit, Place::Limit, &base);
        }
        self.depth -= 1;
        items
    }

    fn with(&mut self, with: &With, base: &mut Scope<'_>) {
        for cte in &with.cte_tables {
            let name = cte.alias.name.value.clone();
            if with.recursive {
                // What refers to itself is first taken to hold what its own text names.
                let all = self
                    .computed(cte.query.as_ref(), &Scope { outer: Some(base), ..Scope::default() });
                let start = match all {
                    Origin::Untouched => Origin::Untouched,
                    _ => Origin::Unknown,
                };
                if mentions(&cte.query, &name) {
                    base.made.push((name.clone(), vec![Item::Rest(start)]));
                }
            }
            let items = self.query(&cte.query, Some(base));
            let items = renamed(items, &cte.alias, self.names);
            base.made.push((name, items));
        }
    }

    fn body(&mut self, body: &SetExpr, outer: &Scope<'_>) -> Vec<Item> {
        match body {
            SetExpr::Select(select) => self.select(select, outer),
            SetExpr::Query(query) => self.query(query, Some(outer)),
            SetExpr::SetOperation { left, right, .. } => {
                let (left, right) = (self.body(left, outer), self.body(right, outer));
                let items = united(left, right, self.names);
                let origin = self.names.of_row(&items);
                self.side(Place::Grouping, origin);
                items
            }
            SetExpr::Values(values) => {
                let mut rows: Option<Vec<Item>> = None;
                for row in &values.rows {
                    let row: Vec<_> = row
                        .iter()
                        .map(|expr| Item::One(None, self.expression(expr, outer)))
                        .collect();
                    rows = Some(match rows.take() {
                        Some(rows) => united(rows, row, self.names),
                        None => row,
                    });
                }
                values_named(rows.unwrap_or_default())
            }
            SetExpr::Insert(statement)
            | SetExpr::Update(statement)
            | SetExpr::Delete(statement)
            | SetExpr::Merge(statement) => self.change(statement, outer),
            SetExpr::Table(_) => vec![Item::Rest(Origin::Unknown)],
        }
    }

    fn select(&mut self, select: &Select, outer: &Scope<'_>) -> Vec<Item> {
        let mut scope = Scope { outer: Some(outer), ..Scope::default() };
        let star = self.from(&select.from, &mut scope);
        let mut items = Vec::new();
        for item in &select.projection {
            self.projected(item, &star, &scope, &mut items);
        }
        for condition in [&select.selection, &select.having, &select.qualify].into_iter().flatten()
        {
            self.tells(condition, Place::Condition, &scope);
        }
        if let GroupByExpr::Expressions(exprs, _) = &select.group_by {
            for expr in exprs {
                self.grouped(expr, &items, &scope);
            }
        }
        if let Some(distinct) = &select.distinct {
            let row = self.names.of_row(&items);
            self.side(Place::Grouping, row);
            self.tells(distinct, Place::Grouping, &scope);
        }
        for window in &select.named_window {
            self.tells(window, Place::Order, &scope);
        }
        if select.into.is_some() {
            let row = self.names.of_row(&items);
            self.side(Place::Stored, row);
        }
        items
    }

    /// `GROUP BY 1` and `ORDER BY 1` name columns of the result, and so do its names.
    fn grouped(&mut self, expr: &Expr, items: &[Item], scope: &Scope<'_>) {
        let origin = self.of_result(expr, items).unwrap_or_else(|| self.expression(expr, scope));
        self.side(Place::Grouping, origin);
    }

    fn order(&mut self, query: &Query, items: &[Item], base: &Scope<'_>) {
        let Some(order) = &query.order_by else { return };
        let OrderByKind::Expressions(exprs) = &order.kind else {
            return self.side(Place::Order, Origin::Unknown);
        };
        // What a query is ordered by may be a column that it does not hand out.
        let mut scope = Scope { outer: Some(base), ..Scope::default() };
        if let SetExpr::Select(select) = query.body.as_ref() {
            let before = self.side_channels.len();
            self.from(&select.from, &mut scope);
            self.side_channels.truncate(before);
        }
        for expr in exprs {
            let known = self.of_result(&expr.expr, items);
            let origin = known.unwrap_or_else(|| self.expression(&expr.expr, &scope));
            self.side(Place::Order, origin);
        }
    }

    /// The origin of a result's column by its place or name; `None` when it is neither.
    fn of_result(&self, expr: &Expr, items: &[Item]) -> Option<Origin> {
        match expr {
            Expr::Value(value) => {
                let place: usize = value.value.to_string().parse().ok()?;
                let known = !items.iter().any(|item| !matches!(item, Item::One(..)));
                match items.get(place.checked_sub(1)?) {
                    Some(Item::One(_, origin)) if known => Some(origin.clone()),
                    _ => Some(self.names.of_row(items)),
                }
            }
            Expr::Identifier(ident) => items.iter().find_map(|item| match item {
                Item::One(Some(name), origin) if *name == ident.value => Some(origin.clone()),
                _ => None,
            }),
            _ => None,
        }
    }

    fn projected(
        &mut self,
        item: &SelectItem,
        star: &[Item],
        scope: &Scope<'_>,
        items: &mut Vec<Item>,
    ) {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = match expr {
                    Expr::Identifier(ident) => Some(ident.value.clone()),
                    Expr::CompoundIdentifier(idents) => idents.last().map(|i| i.value.clone()),
                    _ => None,
                };
                items.push(Item::One(name, self.expression(expr, scope)));
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item::One(Some(alias.value.clone()), self.expression(expr, scope)));
            }
            SelectItem::Wildcard(_) => items.extend_from_slice(star),
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                match self.names.relation(scope, &parts(name)) {
                    Some(relation) => items.extend_from_slice(&relation.items),
                    None => items.push(Item::Rest(Origin::Unknown)),
                }
            }
            _ => items.push(Item::Rest(Origin::Unknown)),
        }
    }

    /// A change of rows: what it stores, and what `RETURNING` hands out.
    pub(super) fn change(&mut self, statement: &Statement, outer: &Scope<'_>) -> Vec<Item> {
        let mut scope = Scope { outer: Some(outer), ..Scope::default() };
        let returning = match statement {
            Statement::Insert(insert) => {
                if let Some(source) = &insert.source {
                    let items = self.query(source, Some(outer));
                    let row = self.names.of_row(&items);
                    self.side(Place::Stored, row);
                }
                if let TableObject::TableName(name) = &insert.table {
                    let items = self.table(&parts(name), &scope);
                    scope.relations.push(Relation { name: parts(name), items: items.clone() });
                    if let Some(alias) = &insert.table_alias {
                        let name = vec![alias.alias.value.clone()];
                        scope.relations.push(Relation { name, items });
                    }
                }
                self.tells(&insert.on, Place::Condition, &scope);
                &insert.returning
            }
            Statement::Update(update) => {
                self.from(std::slice::from_ref(&update.table), &mut scope);
                if let Some(
                    UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from),
                ) = &update.from
                {
                    self.from(from, &mut scope);
                }
                for assignment in &update.assignments {
                    let origin = self.expression(&assignment.value, &scope);
                    self.side(Place::Stored, origin);
                }
                self.tells(&update.selection, Place::Condition, &scope);
                &update.returning
            }
            Statement::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                self.from(from, &mut scope);
                self.from(delete.using.as_deref().unwrap_or_default(), &mut scope);
                self.tells(&delete.selection, Place::Condition, &scope);
                &delete.returning
            }
            _ => return vec![Item::Rest(Origin::Unknown)],
        };
        let star: Vec<_> =
            scope.relations.iter().flat_map(|relation| relation.items.clone()).collect();
        let mut items = Vec::new();
        for item in returning.iter().flatten() {
            self.projected(item, &star, &scope, &mut items);
        }
        items
    }

    pub(super) fn tells<T: Visit>(&mut self, part: &T, place: Place, scope: &Scope<'_>) {
        let origin = self.computed(part, scope);
        self.side(place, origin);
    }

    pub(super) fn side(&mut self, place: Place, origin: Origin) {
        let channel = SideChannel { place, origin: origin.computed() };
        if channel.origin != Origin::Untouched && !self.side_channels.contains(&channel) {
            self.side_channels.push(channel);
        }
    }
}

/// Whether a query names a table so.
fn mentions(query: &Query, name: &str) -> bool {
    use sqlparser::ast::visit_relations;
    use std::ops::ControlFlow;
    visit_relations(query, |relation| {
        if parts(relation).last().is_some_and(|last| last.eq_ignore_ascii_case(name)) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .is_break()
}

/// Columns of both sides of a union, by their place; the names are the left side's.
fn united(left: Vec<Item>, right: Vec<Item>, names: Names<'_>) -> Vec<Item> {
    let known = |items: &[Item]| items.iter().all(|item| matches!(item, Item::One(..)));
    if left.len() != right.len() || !known(&left) || !known(&right) {
        let row = names.of_row(&left).and(names.of_row(&right));
        return vec![Item::Rest(row)];
    }
    left.into_iter()
        .zip(right)
        .map(|pair| match pair {
            (Item::One(name, left), Item::One(_, right)) => Item::One(name, left.either(right)),
            _ => Item::Rest(Origin::Unknown),
        })
        .collect()
}

/// PostgreSQL calls the columns of `VALUES` so.
fn values_named(items: Vec<Item>) -> Vec<Item> {
    items
        .into_iter()
        .enumerate()
        .map(|(place, item)| match item {
            Item::One(_, origin) => Item::One(Some(format!("column{}", place + 1)), origin),
            other => other,
        })
        .collect()
}
