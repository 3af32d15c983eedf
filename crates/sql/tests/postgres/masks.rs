//! Masking held against a real PostgreSQL: whatever a random query does to a protected column, no
//! column of its result that would pass unmasked shows any of it.

use portcullis_sql::mask::{ColumnPattern, Protected, Schema, Treatment, trace};
use portcullis_sql::{Limits, Modes};
use portcullis_testkit::PostgresServer;

use crate::generate::Generator;
use crate::wire::Session;

const TABLES: &str = "
create table customers (id int, name text, email text);
create table orders (id int, customer int, note text);
insert into customers select n, 'name ' || n, 'SECRET' || n || '@example.com' from generate_series(1, 4) n;
insert into orders select n, n, 'note ' || n from generate_series(1, 4) n;
create view contacts as select c.id, c.email as name, o.note as email from customers c, orders o;
";

/// Values a query hands out; most of them hold a secret.
const VALUES: [&str; 46] = [
    "c.id",
    "c.name",
    "c.email",
    "c",
    "*",
    "c.*",
    "(c.email)",
    "\"c\".\"email\"",
    "email",
    "name",
    "1",
    "upper(c.email)",
    "c.email || 'x'",
    "coalesce(c.email, c.name)",
    "c.email::varchar",
    "o.note",
    "case when c.id > 1 then c.email else c.name end",
    "(select email from customers limit 1)",
    "(select max(email) from customers)",
    "row_to_json(c)",
    "c.row_to_json",
    "(c).email",
    "to_jsonb(c.*)",
    "array[c.email]",
    "string_agg(c.email, ',') over ()",
    "(select s.e from (select c.email as e) s)",
    "(select array_agg(x) from unnest(array[c.email]) x)",
    "format('%s', c)",
    "c::text",
    "concat(c)",
    "(values (c.email))",
    "nullif(c.email, 'x')",
    "greatest(c.email, c.name)",
    "c.email collate \"C\"",
    "first_value(c.email) over (order by c.id)",
    "json_build_object('a', c.email)",
    "xmlelement(name a, c.email)",
    "row(c.*)",
    "row(c.email, 1)",
    "(row(c.email)).f1",
    "c.concat",
    "(select c)",
    "(select c.email from orders limit 1)",
    "(c.email, 1)",
    "array(select email from customers)",
    "max(c.name) over (partition by c.email)",
];

/// Relations called `c`, under whose names different columns hide.
const RELATIONS: [&str; 27] = [
    "customers c",
    "public.customers as c",
    "orders o join customers c on c.id = o.customer",
    "orders o join customers c using (id)",
    "orders o natural join customers c",
    "contacts c",
    "customers c join customers d using (id, name)",
    "customers c natural join contacts d",
    "(select * from customers) c",
    "(select id, email as name, name as email from customers) c",
    "customers as c (id, email, name)",
    "customers as c (email)",
    "(table customers) c",
    "(with w as (select * from customers) select * from w) c",
    "(with w (id, email, name) as (select * from customers) select * from w) c",
    "(select 1 as id, 'n' as name, 'e' as email union all select id, email, name from customers) c",
    "orders o, lateral (select d.id, o.note as name, d.email from customers d) c",
    "orders o cross join lateral (select o.id, o.note as email, d.email as name from customers d) c",
    "(values (1, 'a', 'b')) c (id, name, email)",
    "unnest(array(select email from customers)) c (email)",
    "json_each((select to_json(x) from customers x limit 1)) c",
    "(customers c left join orders o on true)",
    "(select x.* from customers x) c (id, email)",
    "(select x as email, 1 as id, '' as name from customers x) c",
    "rows from (unnest(array(select email from customers)), generate_series(1, 4)) as c (name, id)",
    "(with recursive w as (select id, name, email from customers union select id, email, name from w) table w) c",
    "customers c, orders o",
];

fn query(generator: &mut Generator) -> String {
    let mut one = |from: &[&str]| {
        from[usize::try_from(generator.below(from.len() as u64)).unwrap()].to_owned()
    };
    let values: Vec<_> =
        (0..3).map(|_| one(&VALUES) + &one(&["", "", " as name", " as x"])).collect();
    let values = values.join(", ").replace("* as name", "*").replace("* as x", "*");
    let inner = format!("select {} {values} from {}", one(&["", "", "distinct"]), one(&RELATIONS));
    one(&[
        "{}",
        "{}",
        "select s.* from ({}) s",
        "select * from ({}) s (a)",
        "select * from ({}) s (a, b, c)",
        "select b, a from ({}) s (a, b)",
        "with w as ({}) select * from w",
        "with w (a, b) as ({}) select b, w.* from w",
        "({}) union all ({})",
        "select s from ({}) s",
        "select to_json(s), 1 from ({}) s",
        "select * from ({}) s, lateral (select s.name as y) t",
        "select x from ({}) s",
        "select name, x from ({}) s",
        "select o.*, s.* from orders o, ({}) s",
        "{} order by 1",
    ])
    .replace("{}", &inner)
}

/// Columns that were passed, masked and withheld.
#[derive(Debug, Default)]
struct Tally {
    pass: u32,
    mask: u32,
    withhold: u32,
    ran: u32,
    /// Masked columns that hold secrets: what the test would catch if they passed.
    held: u32,
}

fn leaks(session: &mut Session, text: &str, schema: Option<&Schema>, tally: &mut Tally) -> bool {
    let answer = session.query(text.as_bytes());
    if answer.sqlstate.is_some() {
        return false;
    }
    tally.ran += 1;
    let protected = Protected::new(vec![ColumnPattern::parse("public.customers.email").unwrap()]);
    let found = trace(text.as_bytes(), &Modes::postgres(), &Limits::STANDARD, &protected, schema);
    let treatments = found.treatments(answer.columns);
    assert_eq!(treatments.len(), answer.columns);
    let mut leaked = false;
    let shows = |place: usize| {
        answer.rows.iter().any(|row: &Vec<String>| row[place].to_lowercase().contains("secret"))
    };
    for (place, treatment) in treatments.iter().enumerate() {
        match treatment {
            Treatment::Mask(_) => {
                tally.mask += 1;
                tally.held += u32::from(shows(place));
            }
            Treatment::Withhold => tally.withhold += 1,
            Treatment::Pass => {
                tally.pass += 1;
                leaked |=
                    answer.rows.iter().any(|row| row[place].to_lowercase().contains("secret"));
            }
        }
    }
    leaked
}

#[test]
fn no_column_that_passes_shows_a_protected_value() {
    let server = PostgresServer::shared();
    let url = server.fresh_database();
    let name = url.rsplit('/').next().unwrap().to_owned();
    let mut session =
        Session::open(server.port(), "postgres", &name, "-c client_min_messages=error");
    session.run(TABLES);
    let mut schema = Schema::default();
    schema.add_table(&["public", "customers"], &["id", "name", "email"]);
    schema.add_table(&["public", "orders"], &["id", "customer", "note"]);
    let definition = session.run("select pg_get_viewdef('contacts'::regclass)").value.unwrap();
    schema.add_view(&["public", "contacts"], &["id", "name", "email"], &definition);
    for (known, seed) in [(Some(&schema), 6), (None, 7)] {
        let mut generator = Generator::new(seed, 10);
        let (mut tally, mut leaked) = (Tally::default(), Vec::new());
        for _ in 0..3 * super::STATEMENTS * super::times() {
            let text = query(&mut generator);
            // Without the catalogue a view is a table of its own name, which nothing protects.
            if known.is_none() && text.contains("contacts") {
                continue;
            }
            if leaks(&mut session, &text, known, &mut tally) {
                leaked.push(text);
            }
        }
        println!("masking with{} a schema: {tally:?}", if known.is_some() { "" } else { "out" });
        assert!(leaked.is_empty(), "{:#?}", &leaked[..leaked.len().min(12)]);
        assert!(tally.pass > 200 && tally.held > 100 && tally.ran > 300, "{tally:?}");
    }
}
