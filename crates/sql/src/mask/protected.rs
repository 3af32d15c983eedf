//! Which columns are protected, and what is known of the tables.
//!
//! In: patterns and table definitions. Out: whether a column is protected. A name that says less
//! than a pattern matches it: `customers` may be `public.customers`.

use std::collections::HashMap;

use super::origin::ProtectedColumn;

/// Most patterns.
pub(super) const MOST_PATTERNS: usize = 1_000;

/// `TABLE.COLUMN` or `SCHEMA.TABLE.COLUMN`; `*` stands for any characters within a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnPattern {
    table: Vec<String>,
    column: String,
}

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not two or three parts.
    #[error("`{0}` is not a column; write `table.column` or `schema.table.column`, `*` for any")]
    Parts(String),
}

impl ColumnPattern {
    /// Reads a pattern; letters' case does not matter.
    ///
    /// # Errors
    /// When it is not two or three parts with dots between them.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let mut table: Vec<_> = text.split('.').map(|part| part.trim().to_lowercase()).collect();
        let complete = matches!(table.len(), 2 | 3) && table.iter().all(|part| !part.is_empty());
        match table.pop() {
            Some(column) if complete => Ok(Self { table, column }),
            _ => Err(PatternError::Parts(text.to_owned())),
        }
    }

    fn is_of(&self, table: &[String]) -> bool {
        self.table.iter().rev().zip(table.iter().rev()).all(|(part, name)| matches(part, name))
    }
}

/// Whether a name matches a part of a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let part: &str = part;
            let Some(place) = rest.find(part) else { return false };
            rest = rest.get(place + part.len()..).unwrap_or_default();
        }
    }
    match last {
        None => rest.is_empty(),
        Some(end) => rest.ends_with(end),
    }
}

/// The protected columns of a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protected {
    patterns: Vec<ColumnPattern>,
}

impl Protected {
    /// The columns these patterns match. Patterns beyond the thousandth protect every table and
    /// column, because none may be forgotten.
    #[must_use]
    pub fn new(mut patterns: Vec<ColumnPattern>) -> Self {
        if patterns.len() > MOST_PATTERNS {
            patterns.truncate(MOST_PATTERNS);
            patterns.push(ColumnPattern { table: Vec::new(), column: "*".to_owned() });
        }
        Self { patterns }
    }

    /// Whether nothing is protected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The column if it is protected.
    pub(super) fn column(&self, table: &[String], column: &str) -> Option<ProtectedColumn> {
        let pattern = self
            .patterns
            .iter()
            .position(|pattern| pattern.is_of(table) && matches(&pattern.column, column))?;
        Some(ProtectedColumn { pattern, name: format!("{}.{column}", table.join(".")) })
    }

    /// What may be protected of a table whose columns are not known.
    pub(super) fn of_table(&self, table: &[String]) -> Vec<ProtectedColumn> {
        self.patterns
            .iter()
            .enumerate()
            .filter(|(_, pattern)| pattern.is_of(table))
            .map(|(place, pattern)| ProtectedColumn {
                pattern: place,
                name: format!("{}.{}", table.join("."), pattern.column),
            })
            .collect()
    }
}

/// The columns of tables, and the definitions of views, as the database's catalogue says.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// By the table's own name; several schemas may have one.
    tables: HashMap<String, Vec<Table>>,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    name: Vec<String>,
    pub(super) columns: Vec<String>,
    pub(super) definition: Option<String>,
}

impl Schema {
    /// Adds a table by its name's parts (`["public", "orders"]`) with its columns in order.
    pub fn add_table(&mut self, name: &[&str], columns: &[&str]) {
        self.add(name, columns, None);
    }

    /// Adds a view with the query that defines it (`pg_get_viewdef`, `SHOW CREATE VIEW`).
    pub fn add_view(&mut self, name: &[&str], columns: &[&str], definition: &str) {
        self.add(name, columns, Some(definition.to_owned()));
    }

    fn add(&mut self, name: &[&str], columns: &[&str], definition: Option<String>) {
        let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        let Some(last) = name.last() else { return };
        let table = Table { name: owned(name), columns: owned(columns), definition };
        self.tables.entry((*last).to_owned()).or_default().push(table);
    }

    /// The one table of this name; `None` when there is none or several.
    pub(super) fn table(&self, name: &[String]) -> Option<&Table> {
        let mut fitting = self.tables.get(name.last()?)?.iter().filter(|table| {
            table.name.iter().rev().zip(name.iter().rev()).all(|(own, asked)| own == asked)
        });
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_says_less_than_a_pattern_matches_it() {
        let pattern = |text| ColumnPattern::parse(text).unwrap();
        let protected = Protected::new(vec![
            pattern("public.customers.e*mail*"),
            pattern("*.iban"),
            pattern("hr.*.*"),
        ]);
        let of = |table: &str, column: &str| {
            let table: Vec<_> = table.split('.').map(str::to_owned).collect();
            protected.column(&table, column).map(|found| found.pattern)
        };
        assert_eq!(of("customers", "email"), Some(0));
        assert_eq!(of("db.public.Customers", "EMailAddress"), Some(0));
        assert_eq!(of("other.customers", "email"), None);
        assert_eq!(of("other.customers", "mail"), None);
        assert_eq!(of("x", "iban"), Some(1));
        assert_eq!(of("hr.people", "name"), Some(2));
        assert_eq!(of("people", "name"), Some(2));
        assert!(ColumnPattern::parse("email").is_err() && ColumnPattern::parse("a..b").is_err());
    }
}
