//! The walk over a query: what each column of its result comes from, and what its conditions and
//! orders tell.
//!
//! In: a syntax tree. Out: [`Item`]s of the result and side channels. Relations it does not know
//! have unknown columns, never none.

use sqlparser::ast::{
    Expr, FromTable, GroupByExpr, Join, JoinConstraint, JoinOperator, ObjectName, OrderByKind,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, Statement, TableAlias,
    TableFactor, TableObject, TableWithJoins, UpdateTableFromKind, Visit, With,
};

use super::expression::parts;
use super::origin::{Origin, Place, SideChannel};
use super::protected::Schema;
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

    /// Adds the relations of a `FROM` to the scope; what `*` stands for.
    pub(super) fn from(&mut self, from: &[TableWithJoins], scope: &mut Scope<'_>) -> Vec<Item> {
        let mut star = Vec::new();
        for table in from {
            star.extend(self.joined(table, scope));
        }
        star
    }

    fn joined(&mut self, table: &TableWithJoins, scope: &mut Scope<'_>) -> Vec<Item> {
        let mut star = self.factor(&table.relation, scope);
        for join in &table.joins {
            let right = self.factor(&join.relation, scope);
            star = self.join(join, star, right, scope);
        }
        star
    }

    fn join(
        &mut self,
        join: &Join,
        left: Vec<Item>,
        right: Vec<Item>,
        scope: &Scope<'_>,
    ) -> Vec<Item> {
        let constraint = match &join.join_operator {
            JoinOperator::Join(constraint)
            | JoinOperator::Inner(constraint)
            | JoinOperator::Left(constraint)
            | JoinOperator::LeftOuter(constraint)
            | JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
            | JoinOperator::CrossJoin(constraint)
            | JoinOperator::StraightJoin(constraint) => constraint,
            _ => return vec![Item::Rest(Origin::Unknown)],
        };
        match constraint {
            JoinConstraint::None => [left, right].concat(),
            JoinConstraint::On(expr) => {
                self.tells(expr, Place::Join, scope);
                [left, right].concat()
            }
            JoinConstraint::Using(columns) => {
                let names: Vec<_> = columns.iter().filter_map(|name| parts(name).pop()).collect();
                self.merged(&names, left, right)
            }
            JoinConstraint::Natural => {
                let names = common(&left, &right);
                match names {
                    Some(names) => self.merged(&names, left, right),
                    None => {
                        let row = self.names.of_row(&left).and(self.names.of_row(&right));
                        self.side(Place::Join, row.clone());
                        vec![Item::Rest(row)]
                    }
                }
            }
        }
    }

    /// Of `USING`: the merged columns come first, then the others of both sides.
    fn merged(&mut self, names: &[String], left: Vec<Item>, right: Vec<Item>) -> Vec<Item> {
        let known = left.iter().chain(&right).all(|item| matches!(item, Item::One(Some(_), _)));
        if !known {
            let row = self.names.of_row(&left).and(self.names.of_row(&right));
            self.side(Place::Join, row.clone());
            return vec![Item::Rest(row)];
        }
        let mut items = Vec::new();
        for name in names {
            let origin = left
                .iter()
                .chain(&right)
                .filter_map(|item| match item {
                    Item::One(Some(own), origin) if own == name => Some(origin.clone()),
                    _ => None,
                })
                .fold(Origin::Untouched, Origin::either);
            self.side(Place::Join, origin.clone());
            items.push(Item::One(Some(name.clone()), origin));
        }
        let other = |item: &Item| !matches!(item, Item::One(Some(own), _) if names.contains(own));
        items.extend(left.into_iter().filter(other));
        items.extend(right.into_iter().filter(other));
        items
    }

    fn factor(&mut self, factor: &TableFactor, scope: &mut Scope<'_>) -> Vec<Item> {
        let (name, items, alias) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                (parts(name), self.table(&parts(name), scope), alias)
            }
            TableFactor::Table { name, alias, args: Some(args), .. } => {
                (parts(name), vec![Item::Rest(self.of_function(name, &args.args, scope))], alias)
            }
            TableFactor::Function { name, args, alias, .. } => {
                (parts(name), vec![Item::Rest(self.of_function(name, args, scope))], alias)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                // `lateral` sees what stands before it; without it those names are not there.
                let before = Scope {
                    outer: scope.outer,
                    relations: scope.relations.clone(),
                    made: scope.made.clone(),
                };
                (Vec::new(), self.query(subquery, Some(&before)), alias)
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                return self.joined(table_with_joins, scope);
            }
            TableFactor::UNNEST { alias, array_exprs, .. } => (
                vec!["unnest".to_owned()],
                vec![Item::Rest(self.computed(array_exprs, scope))],
                alias,
            ),
            TableFactor::JsonTable { alias, json_expr, .. } => {
                (Vec::new(), vec![Item::Rest(self.computed(json_expr, scope))], alias)
            }
            _ => {
                let items = vec![Item::Rest(Origin::Unknown)];
                scope.relations.push(Relation { name: Vec::new(), items: items.clone() });
                return items;
            }
        };
        let (name, items) = match alias {
            Some(alias) => (vec![alias.name.value.clone()], renamed(items, alias, self.names)),
            None => (name, items),
        };
        scope.relations.push(Relation { name, items: items.clone() });
        items
    }

    fn of_function<T: Visit>(&mut self, name: &ObjectName, args: &T, scope: &Scope<'_>) -> Origin {
        let own = self.of_call(&parts(name));
        own.and(self.computed(args, scope))
    }

    /// The columns of a table, of a view through its definition, or of what `WITH` made.
    fn table(&mut self, name: &[String], scope: &Scope<'_>) -> Vec<Item> {
        if let [only] = name
            && let Some(items) = self.names.made(scope, only)
        {
            return items.to_vec();
        }
        let Some(table) = self.schema.and_then(|schema| schema.table(name)) else {
            return vec![Item::Table(name.to_vec())];
        };
        let own =
            |column: &String| Item::One(Some(column.clone()), self.names.of_column(name, column));
        let plain: Vec<_> = table.columns.iter().map(own).collect();
        let Some(definition) = &table.definition else { return plain };
        let Some(query) = super::trace::query_of(definition, self.modes) else {
            return vec![Item::Rest(Origin::Unknown)];
        };
        let inner = self.query(&query, None);
        if inner.len() != plain.len() || inner.iter().any(|item| !matches!(item, Item::One(..))) {
            return vec![Item::Rest(self.names.of_row(&inner).and(Origin::Unknown))];
        }
        // A view's column may be protected by the view's own name, too.
        plain
            .into_iter()
            .zip(inner)
            .map(|(plain, inner)| match (plain, inner) {
                (Item::One(name, plain), Item::One(_, inner)) => {
                    Item::One(name, inner.either(plain))
                }
                (_, other) => other,
            })
            .collect()
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

    fn tells<T: Visit>(&mut self, part: &T, place: Place, scope: &Scope<'_>) {
        let origin = self.computed(part, scope);
        self.side(place, origin);
    }

    fn side(&mut self, place: Place, origin: Origin) {
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

/// Items under the names an alias gives them.
fn renamed(items: Vec<Item>, alias: &TableAlias, names: Names<'_>) -> Vec<Item> {
    if alias.columns.is_empty() {
        return items;
    }
    let all_known = items.iter().all(|item| matches!(item, Item::One(..)));
    if !all_known || alias.columns.len() > items.len() {
        let row = names.of_row(&items);
        let mut renamed: Vec<_> = alias
            .columns
            .iter()
            .map(|column| Item::One(Some(column.name.value.clone()), row.clone()))
            .collect();
        // A function's alias names all of its columns, a table's may name the first few.
        if !matches!(items.as_slice(), [Item::Rest(_)]) {
            renamed.push(Item::Rest(row));
        }
        return renamed;
    }
    let mut given = alias.columns.iter().map(|column| column.name.value.clone());
    items
        .into_iter()
        .map(|item| match item {
            Item::One(name, origin) => Item::One(given.next().or(name), origin),
            rest => rest,
        })
        .collect()
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

/// The names both sides have; `None` when a side is not known.
fn common(left: &[Item], right: &[Item]) -> Option<Vec<String>> {
    let names = |items: &[Item]| -> Option<Vec<String>> {
        items
            .iter()
            .map(|item| match item {
                Item::One(Some(name), _) => Some(name.clone()),
                _ => None,
            })
            .collect()
    };
    let (left, right) = (names(left)?, names(right)?);
    Some(left.into_iter().filter(|name| right.contains(name)).collect())
}
