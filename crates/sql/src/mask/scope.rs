//! What a name stands for at a place of a statement.
//!
//! In: the relations a query reads and those of the queries around it. Out: the [`Origin`] of a
//! column name. A name that could stand for several things has the strictest of their origins.

use super::origin::{Origin, Output};
use super::protected::Protected;

/// A column of a relation, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// One column; `None` when the server makes up its name.
    One(Option<String>, Origin),
    /// All columns of this table, which are not known.
    Table(Vec<String>),
    /// Any columns.
    Rest(Origin),
}

/// Something a query reads, by the name it is called there.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// The alias, or the table's name.
    pub(super) name: Vec<String>,
    pub(super) items: Vec<Item>,
}

/// The names visible in a query.
#[derive(Debug, Default)]
pub(super) struct Scope<'s> {
    pub(super) outer: Option<&'s Scope<'s>>,
    pub(super) relations: Vec<Relation>,
    /// Names made by `WITH`.
    pub(super) made: Vec<(String, Vec<Item>)>,
}

/// Columns every table of PostgreSQL has.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];
/// Functions of a whole row that PostgreSQL calls for `table.function`.
const OF_ROWS: [&str; 20] = [
    "row_to_json",
    "to_json",
    "to_jsonb",
    "json_agg",
    "jsonb_agg",
    "array_agg",
    "any_value",
    "json_build_array",
    "jsonb_build_array",
    "concat",
    "quote_literal",
    "quote_nullable",
    "record_out",
    "record_send",
    "hash_record",
    "json_build_object",
    "jsonb_build_object",
    "format",
    "max",
    "min",
];

enum Found {
    No,
    Yes(Origin),
    /// The relation's columns are not known.
    Maybe(Origin),
}

/// How names are compared and what is protected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) protected: &'a Protected,
    pub(super) mysql: bool,
}

impl Names<'_> {
    fn same(self, one: &str, other: &str) -> bool {
        if self.mysql { one.eq_ignore_ascii_case(other) } else { one == other }
    }

    /// The origin of a column of a table.
    pub(super) fn of_column(self, table: &[String], column: &str) -> Origin {
        self.protected.column(table, column).map_or(Origin::Untouched, Origin::Copy)
    }

    /// The origin of what has a whole item in it.
    pub(super) fn of_item(self, item: &Item) -> Origin {
        match item {
            Item::One(_, origin) | Item::Rest(origin) => origin.clone(),
            Item::Table(table) => match self.protected.of_table(table) {
                none if none.is_empty() => Origin::Untouched,
                some => Origin::Derived(some),
            },
        }
    }

    /// The origin of a whole row.
    pub(super) fn of_row(self, items: &[Item]) -> Origin {
        items.iter().fold(Origin::Untouched, |all, item| all.and(self.of_item(item))).computed()
    }

    fn column(self, relation: &Relation, name: &str) -> Found {
        let mut yes: Option<Origin> = None;
        let mut maybe: Option<Origin> = None;
        let add = |to: &mut Option<Origin>, origin: Origin| {
            *to = Some(match to.take() {
                Some(known) => known.either(origin),
                None => origin,
            });
        };
        for item in &relation.items {
            match item {
                Item::One(Some(own), origin) if self.same(own, name) => {
                    add(&mut yes, origin.clone())
                }
                Item::One(Some(_), _) => {}
                Item::One(None, origin) | Item::Rest(origin) => add(&mut maybe, origin.clone()),
                Item::Table(table) => add(&mut maybe, self.of_column(table, name)),
            }
        }
        match (yes, maybe) {
            (Some(origin), _) => Found::Yes(origin),
            (None, Some(origin)) => Found::Maybe(origin),
            (None, None) if !self.mysql && SYSTEM_COLUMNS.contains(&name) => {
                Found::Yes(Origin::Untouched)
            }
            (None, None) => Found::No,
        }
    }

    fn is_called(self, relation: &Relation, qualifier: &[String]) -> bool {
        !relation.name.is_empty()
            && relation
                .name
                .iter()
                .rev()
                .zip(qualifier.iter().rev())
                .all(|(own, asked)| self.same(own, asked))
    }

    /// The relation a qualifier names.
    pub(super) fn relation<'r>(
        self,
        scope: &'r Scope<'_>,
        qualifier: &[String],
    ) -> Option<&'r Relation> {
        let mut scope = Some(scope);
        while let Some(here) = scope {
            let found = here.relations.iter().find(|relation| self.is_called(relation, qualifier));
            if found.is_some() {
                return found;
            }
            scope = here.outer;
        }
        None
    }

    /// What `WITH` made by this name.
    pub(super) fn made<'r>(self, scope: &'r Scope<'_>, name: &str) -> Option<&'r [Item]> {
        let mut scope = Some(scope);
        while let Some(here) = scope {
            if let Some((_, items)) = here.made.iter().rev().find(|(own, _)| self.same(own, name)) {
                return Some(items);
            }
            scope = here.outer;
        }
        None
    }

    /// The origin of a name with its qualifiers.
    pub(super) fn resolve(self, scope: &Scope<'_>, name: &[String]) -> Origin {
        match name.split_last() {
            None => Origin::Unknown,
            // A variable of MySQL may hold what an earlier statement read.
            Some((variable, [])) if variable.starts_with("@@") => Origin::Untouched,
            Some((variable, _)) if variable.starts_with('@') => Origin::Unknown,
            Some((column, [])) => self.unqualified(scope, column),
            Some((column, qualifier)) => self.qualified(scope, qualifier, column),
        }
    }

    fn qualified(self, scope: &Scope<'_>, qualifier: &[String], column: &str) -> Origin {
        let Some(relation) = self.relation(scope, qualifier) else { return Origin::Unknown };
        let row = self.of_row(&relation.items);
        match self.column(relation, column) {
            Found::Yes(origin) => origin,
            Found::Maybe(origin) if !self.mysql && OF_ROWS.contains(&column) => origin.and(row),
            Found::Maybe(origin) => origin,
            // A function of the row, by its attribute notation.
            Found::No if row == Origin::Untouched => Origin::Unknown,
            Found::No => row,
        }
    }

    fn unqualified(self, scope: &Scope<'_>, column: &str) -> Origin {
        let mut maybe: Option<Origin> = None;
        let mut scope = Some(scope);
        while let Some(here) = scope {
            let mut yes: Option<Origin> = None;
            for relation in &here.relations {
                let (to, origin) = match self.column(relation, column) {
                    Found::Yes(origin) => (&mut yes, origin),
                    Found::Maybe(origin) => (&mut maybe, origin),
                    Found::No => continue,
                };
                *to = Some(match to.take() {
                    Some(known) => known.either(origin),
                    None => origin,
                });
            }
            if let Some(origin) = yes {
                return match maybe {
                    // A column that is known here was not found in what is not known further in.
                    Some(other) => origin.either(other),
                    None => origin,
                };
            }
            // A relation's name alone is its whole row.
            for relation in &here.relations {
                if !self.mysql && relation.name.last().is_some_and(|own| self.same(own, column)) {
                    let row = self.of_row(&relation.items);
                    maybe = Some(match maybe.take() {
                        Some(known) => known.and(row),
                        None => row,
                    });
                }
            }
            scope = here.outer;
        }
        maybe.unwrap_or(Origin::Unknown)
    }
}

/// Items as the columns of a result.
pub(super) fn outputs(items: Vec<Item>, names: Names<'_>) -> Vec<Output> {
    items
        .into_iter()
        .map(|item| match item {
            Item::One(name, origin) => Output::One(name, origin),
            rest => Output::Rest(names.of_item(&rest)),
        })
        .collect()
}
