//! The relations of a `FROM`: tables, views, joins, subqueries, functions.
//!
//! In: the syntax tree of a `FROM`. Out: relations in a [`Scope`], and the [`Item`]s that `*`
//! stands for. A relation whose columns are not known has unknown columns, never none.

use sqlparser::ast::{
    Join, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor, TableWithJoins, Visit,
};

use super::expression::parts;
use super::origin::{Origin, Place};
use super::query::Tracer;
use super::scope::{Item, Names, Relation, Scope};

impl Tracer<'_> {
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
    pub(super) fn table(&mut self, name: &[String], scope: &Scope<'_>) -> Vec<Item> {
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
}

/// Items under the names an alias gives them.
pub(super) fn renamed(items: Vec<Item>, alias: &TableAlias, names: Names<'_>) -> Vec<Item> {
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
