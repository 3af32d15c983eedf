//! What is masked, what is withheld and what passes, statement by statement.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use portcullis_sql::mask::{ColumnPattern, Place, Protected, Schema, Treatment, trace};
use portcullis_sql::{Limits, Modes};

fn protected() -> Protected {
    let patterns = ["customers.email", "customers.iban", "staff.salary"];
    Protected::new(patterns.iter().map(|text| ColumnPattern::parse(text).unwrap()).collect())
}

fn schema() -> Schema {
    let mut schema = Schema::default();
    schema.add_table(&["public", "customers"], &["id", "name", "email", "iban"]);
    schema.add_table(&["public", "orders"], &["id", "customer", "total"]);
    let definition = "select c.id, c.email as contact, o.total from customers c join orders o on o.customer = c.id";
    schema.add_view(&["public", "contacts"], &["id", "contact", "total"], definition);
    schema
}

/// One letter a column: passed, masked, withheld.
fn letters(modes: &Modes, text: &str, known: bool, count: usize) -> String {
    let schema = schema();
    let schema = known.then_some(&schema);
    let found = trace(text.as_bytes(), modes, &Limits::STANDARD, &protected(), schema);
    found
        .treatments(count)
        .iter()
        .map(|treatment| match treatment {
            Treatment::Pass => 'p',
            Treatment::Mask(_) => 'm',
            Treatment::Withhold => 'w',
        })
        .collect()
}

#[track_caller]
fn check(known: bool, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let found = letters(&Modes::postgres(), text, known, expected.len());
        assert_eq!(&found, expected, "{text}");
    }
}

#[test]
fn plain_copies_are_masked_and_what_is_computed_is_withheld() {
    let cases = [
        ("select id, name, email from customers", "ppm"),
        ("select c.email as x, c.iban, 1 from customers c", "mmp"),
        ("select \"email\", (email), Public.Customers.email from customers", "mmm"),
        ("select lower(email), email || '', email::text, length(email) from customers", "wwww"),
        (
            "select case when email = 'x' then 1 else 2 end, email = 'x', coalesce(email, name) from customers",
            "www",
        ),
        ("select count(*), count(email), max(c.email) from customers c", "pww"),
        ("select row_number() over (order by email), id from customers", "wp"),
        ("select (select email from customers limit 1), (select id from customers limit 1)", "mp"),
        ("select exists (select 1 from customers where email like 'a%'), 1", "wp"),
        ("select (select count(*) from customers where email like 'a%')", "w"),
        ("select my_function(id) from customers", "w"),
        ("select salary from staff", "m"),
        ("values (1, 2)", "pp"),
    ];
    check(false, &cases);
    check(true, &cases);
}

#[test]
fn whole_rows_are_withheld_however_they_are_written() {
    let cases = [
        ("select c, id from customers c", "wp"),
        ("select row_to_json(c) from customers c", "w"),
        ("select row_to_json(c.*), to_jsonb(customers) from customers c, customers", "ww"),
        ("select c.to_jsonb, c.row_to_json from customers c", "ww"),
        ("select (c).email, (c.*)::text, row(c.*) from customers c", "www"),
        ("select array_agg(c), json_agg(c.email) from customers c", "ww"),
        ("select array(select email from customers)", "w"),
        ("select o, row_to_json(o) from orders o", "pp"),
        ("select x from (select email from customers) x", "w"),
    ];
    check(false, &cases);
    check(true, &cases);
}

#[test]
fn a_star_passes_only_where_the_columns_are_known_or_nothing_is_protected() {
    check(
        false,
        &[
            ("select * from customers", "wwww"),
            ("select * from orders", "ppp"),
            ("select c.* from customers c", "wwww"),
            ("select o.*, c.email from orders o, customers c", "pppm"),
            ("select c.email, * from orders o, customers c", "mwwwwwww"),
            ("select * from (select id, email from customers) x", "pm"),
            ("table customers", "wwww"),
            ("select * from generate_series(1, 2)", "p"),
            ("select * from my_function()", "w"),
        ],
    );
    check(
        true,
        &[
            ("select * from customers", "ppmm"),
            ("select * from public.customers", "ppmm"),
            ("select c.*, o.* from orders o, customers c", "ppmmppp"),
            ("select * from orders join customers using (id)", "pppp mm".replace(' ', "").as_str()),
            ("select * from orders natural join customers", "ppppmm"),
            ("select * from contacts", "pmp"),
            ("select contact, lower(contact), total from contacts", "mwp"),
            ("select * from customers", "wwwww"),
            ("table customers", "ppmm"),
        ],
    );
}

#[test]
fn origins_go_through_subqueries_joins_unions_and_with() {
    let cases = [
        ("select e from (select email from customers) as s (e)", "m"),
        ("select s.e, s.i from (select email as e, id as i from customers) s", "mp"),
        ("with s as (select email, id from customers) select email, id from s", "mp"),
        ("with s (a, b) as (select email, id from customers) select b, a from s", "pm"),
        ("with s as (select lower(email) as l from customers) select l from s", "w"),
        ("with s as (select lower(email) from customers) select lower from s", "w"),
        ("with customers as (select 1 as email) select email from customers", "p"),
        ("select email from customers union select name from customers", "m"),
        ("select name from customers union all select email from customers", "m"),
        ("select email from customers union select iban from customers", "w"),
        ("select id from customers union select length(email) from customers", "w"),
        (
            "select x.email from orders o cross join lateral (select c.email from customers c where c.id = o.customer) x",
            "m",
        ),
        ("select v.a from (values (1), (2)) v (a)", "p"),
        (
            "with recursive r as (select email from customers union select email from r) select email from r",
            "w",
        ),
        (
            "with recursive r as (select 1 as n union all select n + 1 from r where n < 9) select n from r",
            "p",
        ),
        ("select email from orders o join customers c on c.id = o.customer", "m"),
        ("update customers set name = 'x' returning id, email", "pm"),
        ("delete from customers c using orders o where o.id = c.id returning c.email, o.id", "mp"),
        ("insert into customers (id) values (1) returning email", "m"),
        ("with d as (delete from customers returning email) select email from d", "m"),
        ("copy (select id, email from customers) to stdout", "pm"),
        ("prepare p as select email from customers", "m"),
        ("declare c cursor for select email from customers", "m"),
    ];
    check(false, &cases);
    check(true, &cases);
}

#[test]
fn what_is_not_understood_is_withheld() {
    let cases = [
        ("select email from customers; select 1", "w"),
        ("fetch all from c", "ww"),
        ("execute p", "w"),
        ("copy customers to stdout", "ww"),
        ("select nothing.known from customers", "w"),
        ("select 'x", "w"),
        ("do $$ begin end $$", "w"),
        ("select id, name from customers where", "ww"),
    ];
    check(false, &cases);
    check(true, &cases);
    check(
        true,
        &[
            ("set application_name = 'x'", "p"),
            ("begin", ""),
            ("explain select email from customers", "p"),
        ],
    );
}

#[test]
fn conditions_orders_and_copies_to_other_tables_are_reported() {
    let places = |text: &str| -> Vec<Place> {
        let found =
            trace(text.as_bytes(), &Modes::postgres(), &Limits::STANDARD, &protected(), None);
        found.side_channels.iter().map(|channel| channel.place).collect()
    };
    assert_eq!(places("select id from customers where email like 'a%'"), [Place::Condition]);
    assert_eq!(places("select id from customers order by email"), [Place::Order]);
    assert_eq!(places("select id, email from customers order by 2"), [Place::Order]);
    assert_eq!(places("select id, email from customers order by 1"), []);
    assert_eq!(places("select count(*) from customers group by email"), [Place::Grouping]);
    assert_eq!(places("select distinct email from customers"), [Place::Grouping]);
    assert_eq!(
        places("select o.id from orders o join customers c on c.email = o.note"),
        [Place::Join]
    );
    assert_eq!(places("select 1 from customers having max(email) > 'x'"), [Place::Condition]);
    assert_eq!(places("insert into mine select email from customers"), [Place::Stored]);
    assert_eq!(places("update customers set name = email"), [Place::Stored]);
    assert_eq!(places("select email into mine from customers"), [Place::Stored]);
    assert_eq!(
        places("select id from customers limit (select length(max(email)) from customers)"),
        [Place::Limit]
    );
    assert_eq!(places("select id, name from customers where id = 1 order by name"), []);
}

#[test]
fn mysql_compares_names_without_case_and_distrusts_variables() {
    let mysql = Modes::mysql(80_036);
    for (text, expected) in [
        ("select Email, `IBAN`, id from shop.Customers", "mmp"),
        ("select @x, @@version from customers", "wp"),
        ("select *, email from customers", "wm"),
        ("select concat(email, ''), id from customers c", "wp"),
        ("select match (email) against ('x') from customers", "w"),
    ] {
        assert_eq!(letters(&mysql, text, false, expected.len()), expected, "{text}");
    }
}
