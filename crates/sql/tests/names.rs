//! The tables and columns a statement is said to name.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use portcullis_sql::{Access, Limits, Modes, classify};

/// The tables of a text, those that are changed with `!` before them, and its columns.
fn names(modes: &Modes, text: &str) -> (String, String) {
    let found = classify(text.as_bytes(), modes, &Limits::STANDARD);
    let (mut tables, mut columns) = (Vec::new(), Vec::new());
    for statement in &found.list {
        for table in &statement.analysis.tables {
            let mark = if table.access == Access::Write { "!" } else { "" };
            tables.push(format!("{mark}{}", table.name.join(".")));
        }
        columns.extend(statement.analysis.columns.iter().map(|column| column.name.join(".")));
    }
    tables.sort();
    columns.sort();
    (tables.join(" "), columns.join(" "))
}

#[track_caller]
fn check(text: &str, tables: &str, columns: &str) {
    let found = names(&Modes::postgres(), text);
    assert_eq!((found.0.as_str(), found.1.as_str()), (tables, columns), "{text}");
}

#[test]
fn names_are_told_as_the_server_reads_them() {
    check("select A, \"B\", t.c from Public.\"Orders\" t", "public.Orders", "B a t.c");
    check("select * from a, b join c using (id)", "a b c", "*");
    check("select a.* from a where exists (select b.x from b)", "a b", "a.* b.x");
    check("table orders", "orders", "*");
    check("select 1 from (table secret) x", "secret", "*");
    check("select 1 union table secret", "secret", "*");
    check("select 1 from generate_series(1, 2) g", "", "");
}

#[test]
fn changed_tables_are_told_from_read_ones() {
    check("insert into t (a) select b from u", "!t u", "b");
    check("update t set a = u.b from u where t.id = u.id", "!t u", "t.id u.b u.id");
    check("delete from t using u where t.id = u.id", "!t u", "t.id u.id");
    check("with d as (delete from t returning id) select id from d", "!t", "id");
    check("copy s.t (a) from stdin", "!s.t", "");
    check("copy t to stdout", "t", "");
    check("truncate t", "!t", "");
    check("create table t (id int)", "!t", "");
}

#[test]
fn a_table_is_hidden_only_by_a_with_that_is_seen_where_it_is_named() {
    check("with q as (select a from t) select a from q", "t", "a");
    check("with t as (select a from t) select a from t", "t", "a");
    check("with a as (select 1 from b), b as (select 2) select 3 from b", "b", "");
    check("with recursive a as (select 1 from b), b as (select 2) select 3 from b", "", "");
    check("select 1 from (with q as (select 2) select 3 from q) x, q", "q", "");
    check("with q as (select 1) select 2 from s.q", "s.q", "");
    check("with t as (select 1) insert into t table t", "!t", "*");
}

#[test]
fn mysql_names_keep_their_case() {
    let found = names(&Modes::mysql(80_036), "select Id from Shop.`Orders` o where o.Name = 'x'");
    assert_eq!(found, ("Shop.Orders".to_owned(), "Id o.Name".to_owned()));
    let found = names(&Modes::mysql(80_036), "delete a from a join b on a.id = b.id");
    assert!(found.0.contains("!a"), "{found:?}");
}
