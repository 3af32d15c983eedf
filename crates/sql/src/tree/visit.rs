//! The walk over a syntax tree.
//!
//! In: sqlparser's callbacks. Out: tables, columns and classes in an [`Analysis`]. Anything of
//! another dialect than the server's makes the statement unknown.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    AccessExpr, DataType, Expr, FromTable, Function, FunctionArgumentClause, FunctionArguments,
    Ident, ObjectName, Query, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, Statement, TableAlias, TableFactor, TableObject, TableWithJoins, Visitor,
};

use super::{Expected, Listed};
use crate::class::Class;
use crate::floor;
use crate::functions;
use crate::modes::Modes;
use crate::statement::{Access, Analysis, ColumnUse, Misunderstanding, Reason, TableUse};

/// Most tables and most columns kept of a statement; one with more is unknown.
const MOST_NAMES: usize = 4_096;

/// The address of a node, which stands for it while the tree lives.
type Node = usize;

pub(super) struct Reading<'a> {
    modes: &'a Modes,
    expected: Expected,
    analysis: &'a mut Analysis,
    listed: Listed,
    /// Names `WITH` makes visible, for each query that is being walked.
    scopes: Vec<HashSet<String>>,
    /// The same for queries inside a `WITH`, which see only the names before their own.
    inside_with: HashMap<Node, HashSet<String>>,
    /// Tables that are changed, and names in `FROM` that are functions.
    written: HashSet<Node>,
    not_tables: HashSet<Node>,
    tables: HashSet<TableUse>,
    columns: HashSet<ColumnUse>,
    foreign: bool,
}

fn node<T>(of: &T) -> Node {
    std::ptr::from_ref(of).addr()
}

impl<'a> Reading<'a> {
    pub(super) fn new(modes: &'a Modes, expected: Expected, analysis: &'a mut Analysis) -> Self {
        Self {
            modes,
            expected,
            analysis,
            listed: Listed::new(),
            scopes: Vec::new(),
            inside_with: HashMap::new(),
            written: HashSet::new(),
            not_tables: HashSet::new(),
            tables: HashSet::new(),
            columns: HashSet::new(),
            foreign: false,
        }
    }

    pub(super) fn finish(self) -> Result<Listed, Misunderstanding> {
        if self.tables.len() > MOST_NAMES || self.columns.len() > MOST_NAMES {
            return Err(Misunderstanding::TooMuch);
        }
        let mut tables: Vec<_> = self.tables.into_iter().collect();
        tables.sort_by(|one, other| one.name.cmp(&other.name));
        let mut columns: Vec<_> = self.columns.into_iter().collect();
        columns.sort_by(|one, other| one.name.cmp(&other.name));
        self.analysis.tables.extend(tables);
        self.analysis.columns.extend(columns);
        if self.foreign { Err(Misunderstanding::Unparsed) } else { Ok(self.listed) }
    }

    fn parts(&mut self, name: &ObjectName) -> Vec<String> {
        let parts: Vec<_> =
            name.0.iter().filter_map(|part| Some(part.as_ident()?.value.clone())).collect();
        if parts.len() != name.0.len() {
            self.foreign = true;
        }
        parts
    }

    fn called(&mut self, name: &ObjectName) {
        let parts = self.parts(name);
        let Some((last, before)) = parts.split_last() else { return };
        let qualifier = before.last().map(String::as_str);
        floor::reviewed(qualifier, last, !before.is_empty(), self.modes, self.analysis);
    }

    fn column(&mut self, name: Vec<String>) {
        if self.columns.len() <= MOST_NAMES {
            self.columns.insert(ColumnUse { name });
        }
    }

    fn alias(&mut self, alias: Option<&TableAlias>) {
        if let Some(alias) = alias
            && !alias.columns.is_empty()
        {
            self.listed.insert(alias.name.value.clone());
            for column in &alias.columns {
                if let Some(data_type) = &column.data_type {
                    self.converts_to(data_type);
                }
            }
        }
    }

    /// Tables of a statement that changes rows.
    fn writes_to(&mut self, tables: &[TableWithJoins]) {
        for table in tables {
            let joined = table.joins.iter().map(|join| &join.relation);
            for factor in std::iter::once(&table.relation).chain(joined) {
                if let TableFactor::Table { name, .. } = factor {
                    self.written.insert(node(name));
                }
            }
        }
    }

    fn change(&mut self, statement: &Statement) -> bool {
        match statement {
            Statement::Insert(insert) => {
                match &insert.table {
                    TableObject::TableName(name) => {
                        self.written.insert(node(name));
                        let last = self.parts(name).pop();
                        self.listed.extend(last);
                    }
                    _ => self.foreign = true,
                }
                self.foreign |= insert.overwrite
                    || insert.partitioned.is_some()
                    || insert.settings.is_some()
                    || insert.multi_table_insert_type.is_some()
                    || insert.output.is_some();
            }
            Statement::Update(update) => {
                self.writes_to(std::slice::from_ref(&update.table));
                self.foreign |= update.output.is_some();
            }
            Statement::Delete(delete) => {
                for name in &delete.tables {
                    let name = self.parts(name);
                    self.tables.insert(TableUse { name, access: Access::Write });
                }
                match &delete.from {
                    FromTable::WithFromKeyword(tables) | FromTable::WithoutKeyword(tables) => {
                        self.writes_to(tables);
                    }
                }
                self.foreign |= delete.output.is_some();
            }
            Statement::Merge(merge) => {
                if let TableFactor::Table { name, .. } = &merge.table {
                    self.written.insert(node(name));
                }
            }
            _ => return false,
        }
        self.analysis.add(Reason::Keyword("a change of rows", Class::Write));
        true
    }

    /// `json_object('a': 1 returning type)` converts, too.
    fn returned(&mut self, function: &Function) {
        let FunctionArguments::List(list) = &function.args else { return };
        for clause in &list.clauses {
            if let FunctionArgumentClause::JsonReturningClause(returning) = clause {
                self.converts_to(&returning.data_type);
            }
        }
    }

    fn converts_to(&mut self, data_type: &DataType) {
        if self.modes.dialect.is_mysql_like() {
            return;
        }
        let shown = data_type.to_string();
        let plain = shown.strip_prefix("pg_catalog.").unwrap_or(&shown);
        let word: String = plain
            .trim_matches('"')
            .chars()
            .take_while(|character| character.is_alphanumeric() || *character == '_')
            .collect();
        let rest = plain.trim_start_matches('"').strip_prefix(word.as_str()).unwrap_or_default();
        if !functions::is_postgres_type(&word.to_ascii_lowercase()) || rest.starts_with('.') {
            self.analysis.add(Reason::UnreviewedType(shown));
        }
    }

    fn factor(&mut self, factor: &TableFactor) {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                json_path,
                sample,
                ..
            } => {
                self.alias(alias.as_ref());
                if args.is_some() {
                    self.not_tables.insert(node(name));
                    self.called(name);
                }
                self.foreign |= !with_hints.is_empty() || version.is_some() || json_path.is_some();
                // A sampling method is a function, too; the built-in two are reviewed.
                if let Some(sample) = sample {
                    let shown = format!("{sample:?}").to_ascii_lowercase();
                    self.foreign |= !(shown.contains("bernoulli") || shown.contains("system"));
                }
            }
            TableFactor::Function { name, alias, .. } => {
                self.alias(alias.as_ref());
                self.called(name);
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::NestedJoin { alias, .. }
            | TableFactor::UNNEST { alias, .. } => self.alias(alias.as_ref()),
            // PostgreSQL's columns could be of any type, whose conversion runs code.
            TableFactor::JsonTable { alias, .. } => {
                self.alias(alias.as_ref());
                self.foreign |= !self.modes.dialect.is_mysql_like();
            }
            _ => self.foreign = true,
        }
    }

    fn is_made_by_with(&self, name: &ObjectName) -> bool {
        let [only] = name.0.as_slice() else { return false };
        let (Some(ident), Some(scope)) = (only.as_ident(), self.scopes.last()) else {
            return false;
        };
        scope.contains(&ident.value)
    }

    /// `TABLE name` inside a query, which sqlparser does not show as a relation.
    fn bare_tables(&mut self, body: &SetExpr) {
        match body {
            SetExpr::SetOperation { left, right, .. } => {
                self.bare_tables(left);
                self.bare_tables(right);
            }
            SetExpr::Table(table) => {
                let made = table.schema_name.is_none()
                    && self
                        .scopes
                        .last()
                        .zip(table.table_name.as_ref())
                        .is_some_and(|(scope, name)| scope.contains(name));
                let parts = [&table.schema_name, &table.table_name];
                let name: Vec<_> = parts.into_iter().flatten().cloned().collect();
                if !made && self.tables.len() <= MOST_NAMES {
                    self.tables.insert(TableUse { name, access: Access::Read });
                }
                self.column(vec!["*".to_owned()]);
            }
            _ => {}
        }
    }

    /// The names the query's own `WITH` makes, and what each of its queries sees.
    fn scope(&mut self, query: &Query) {
        let outside = self
            .inside_with
            .remove(&node(query))
            .or_else(|| self.scopes.last().cloned())
            .unwrap_or_default();
        let mut names = outside;
        if let Some(with) = &query.with {
            if with.recursive {
                names.extend(with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()));
            }
            for cte in &with.cte_tables {
                self.alias(Some(&cte.alias));
                self.inside_with.insert(node(cte.query.as_ref()), names.clone());
                names.insert(cte.alias.name.value.clone());
            }
        }
        self.scopes.push(names);
    }

    fn field(&mut self, chain: &[AccessExpr]) {
        for access in chain {
            if let AccessExpr::Dot(Expr::Identifier(ident)) = access
                && !self.modes.dialect.is_mysql_like()
            {
                floor::reviewed(None, &ident.value, false, self.modes, self.analysis);
            }
        }
    }
}

fn values(idents: &[Ident]) -> Vec<String> {
    idents.iter().map(|ident| ident.value.clone()).collect()
}

impl Visitor for Reading<'_> {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<()> {
        let known = matches!(statement, Statement::Query(_)) || self.change(statement);
        if !known && self.expected != Expected::Definition {
            self.foreign = true;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            self.analysis.add(Reason::Keyword("for update", Class::Write));
        }
        self.foreign |= query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        self.scope(query);
        self.bare_tables(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        self.foreign |= !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty()
            || select.qualify.is_some()
            || select.top.is_some()
            || select.exclude.is_some()
            || select.value_table_mode.is_some()
            || select.flavor != SelectFlavor::Standard;
        if select.into.is_some() {
            self.analysis.add(Reason::Keyword("select into", Class::Write));
        }
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => self.column(vec!["*".to_owned()]),
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let mut name = self.parts(name);
                    name.push("*".to_owned());
                    self.column(name);
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        self.factor(factor);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if self.not_tables.contains(&node(relation)) {
            return ControlFlow::Continue(());
        }
        let written =
            self.expected == Expected::Definition || self.written.contains(&node(relation));
        if written || !self.is_made_by_with(relation) {
            let name = self.parts(relation);
            let access = if written { Access::Write } else { Access::Read };
            if self.tables.len() <= MOST_NAMES {
                self.tables.insert(TableUse { name, access });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                self.called(&function.name);
                self.returned(function);
            }
            Expr::Cast { data_type, .. } => self.converts_to(data_type),
            Expr::TypedString(typed) => self.converts_to(&typed.data_type),
            Expr::Identifier(ident) => self.column(vec![ident.value.clone()]),
            Expr::CompoundIdentifier(idents) => self.column(values(idents)),
            Expr::CompoundFieldAccess { access_chain, .. } => self.field(access_chain),
            Expr::JsonAccess { .. }
            | Expr::Lambda(_)
            | Expr::Dictionary(_)
            | Expr::Map(_)
            | Expr::Struct { .. }
            | Expr::OuterJoin(_)
            | Expr::Prior(_) => self.foreign = true,
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
