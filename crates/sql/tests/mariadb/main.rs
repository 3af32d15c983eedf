//! The classification held against a real MariaDB: what it refuses in a read-only transaction or to
//! a role that may only read is never classed as a read; and the lexer ends statements where the
//! server's ends them, in each of its modes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod wire;

use portcullis_sql::{Class, ClassSet, Limits, Modes, classify};
use portcullis_testkit::MariaDbServer;
use wire::Session;

/// Errors that say that a statement changes something, or may not do what it asks for: read-only
/// transaction, and the refusals of access to databases, tables, columns, routines and the server.
const REFUSED: [u16; 9] = [1792, 1044, 1142, 1143, 1227, 1290, 1370, 1410, 1045];
const STATEMENTS: u64 = 1_500;
const SERVER: Modes = Modes::mariadb(101_100);

const SCHEMA: [&str; 13] = [
    "create database shop",
    "use shop",
    "create table orders (id int primary key, name varchar(40), total int, customer int)",
    "insert into orders values (1, 'a', 10, 1), (2, 'b', 20, 2), (3, 'c', 30, 3)",
    "create table written (at int)",
    "create sequence tickets",
    "create view big_orders as select * from orders where total > 10",
    "create function writes() returns int begin insert into written values (1); return 1; end",
    "create function writes_it(n int) returns int begin insert into written values (n); return n; end",
    "create procedure does() begin insert into written values (1); end",
    "create user reader@'%' identified by ''",
    "grant select on shop.orders to reader@'%'",
    "grant select on shop.big_orders to reader@'%'",
];

/// One server and one schema for all tests of this process.
fn server() -> u16 {
    static MADE: std::sync::OnceLock<u16> = std::sync::OnceLock::new();
    *MADE.get_or_init(|| {
        let port = MariaDbServer::shared().port();
        let mut session = Session::open(port, MariaDbServer::ADMINISTRATOR, "mysql");
        SCHEMA.iter().for_each(|text| session.run(text));
        port
    })
}

fn times() -> u64 {
    std::env::var("FUZZ_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

struct Generator {
    state: u64,
    depth: u32,
}

impl Generator {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn one(&mut self, choices: &[&str]) -> String {
        let place = self.below(choices.len() as u64);
        choices[usize::try_from(place).unwrap()].to_owned()
    }

    fn text(&mut self) -> String {
        self.depth = 0;
        let plain = match self.below(16) {
            0 => format!("explain {}", self.query()),
            1 => format!("analyze {}", self.query()),
            2 => format!("analyze format=json {}", self.change()),
            3 => self.change(),
            4 => self.one(&[
                "call does()",
                "truncate written",
                "create table made (a int)",
                "drop table written",
                "lock tables written write",
                "create table made select * from orders",
                "select * from orders into outfile '/tmp/never-written-by-a-test'",
                "flush tables",
                "do writes()",
                "set global max_connections = 10",
                "grant select on *.* to reader@'%'",
                "execute immediate 'insert into written values (1)'",
                "create user x",
                "kill 999999",
                "prepare p from 'delete from written'",
                "set @x = writes()",
                "handler written open",
                "select next value for tickets",
                "rename table written to w",
                "load data infile 'x' into table written",
                "begin not atomic insert into written values (1); end",
                "alter table written add b int",
                "if 1 then insert into written values (1); end if",
                "show create table orders",
                "check table orders",
                "set statement max_statement_time = 9 for insert into written values (1)",
                "shutdown wait_for_none",
            ]),
            5 => format!("{}; {}", self.query(), self.change()),
            6 => format!("select 1 /*!50000 , {} */", self.expression()),
            7 => format!("select 1 /*M!100100 , {} */", self.expression()),
            8 => format!("/*!40101 {} */", self.change()),
            _ => self.query(),
        };
        self.noise(&plain)
    }

    fn query(&mut self) -> String {
        self.depth += 1;
        let deep = self.depth > 3;
        let text = match self.below(9) {
            0 if !deep => format!("({}) union all ({})", self.select(), self.select()),
            1 if !deep => format!("with q as ({}) select count(*) from q", self.query()),
            2 if !deep => format!("select * from ({}) s", self.query()),
            3 => format!("{} for update", self.select()),
            4 => format!("{} lock in share mode", self.select()),
            _ => self.select(),
        };
        self.depth -= 1;
        text
    }

    fn select(&mut self) -> String {
        let value = self.expression();
        let from = self.one(&[
            "orders o",
            "orders as o join orders p on p.id = o.customer",
            "big_orders o",
        ]);
        match self.below(4) {
            0 => format!("select {value} as n from {from}"),
            1 => format!("select {value} as n from {from} where {} > 1", self.expression()),
            2 => format!("select distinct {value} as n from {from} order by {}", self.expression()),
            _ => format!("select max({value}) as n from {from} group by o.id having n > 0"),
        }
    }

    fn expression(&mut self) -> String {
        self.depth += 1;
        let deep = self.depth > 4;
        let text = match self.below(14) {
            0 => self.one(&[
                "writes()",
                "writes_it(o.id)",
                "shop.writes_it(1)",
                "`writes`()",
                "nextval(tickets)",
                "(next value for tickets)",
                "setval(tickets, 7)",
                "@x := o.id",
                "load_file('/etc/passwd')",
            ]),
            1 if !deep => format!("({} + {})", self.expression(), self.expression()),
            2 if !deep => format!("if({} > 1, {}, 2)", self.expression(), self.expression()),
            3 if !deep => format!("exists ({})", self.query()),
            4 if !deep => format!("(select count(*) from ({}) t)", self.query()),
            5 => "length('it\\'s; delete from written')".to_owned(),
            6 => "char_length(\"a\\\"; --\")".to_owned(),
            7 => "cast(o.total as signed)".to_owned(),
            8 => "date_add(curdate(), interval 1 day)".to_owned(),
            9 => "length('a' 'b''c')".to_owned(),
            _ => self.one(&["1", "o.id", "`o`.`total`", "o.customer", "abs(o.id)", "1e1", ".5"]),
        };
        self.depth -= 1;
        text
    }

    fn change(&mut self) -> String {
        match self.below(5) {
            0 => format!("insert into written select {} from orders o", self.expression()),
            1 => "update orders set name = upper(name)".to_owned(),
            2 => "delete from written where at > 1".to_owned(),
            3 => "replace into orders values (1, 'x', 1, 1)".to_owned(),
            _ => "insert into written values (1) returning at".to_owned(),
        }
    }

    fn noise(&mut self, plain: &str) -> String {
        if plain.contains(['\'', '"', '`', '!']) {
            return plain.to_owned();
        }
        let mut text = String::new();
        for character in plain.chars() {
            if character == ' ' && self.below(6) == 0 {
                text += &self.one(&[
                    "\n",
                    "\t",
                    "/**/",
                    " /* ' /* */ ",
                    " -- '; \"\n",
                    " # ` \n",
                    "\u{b}",
                ]);
            } else if character.is_ascii_lowercase()
                && self.below(12) == 0
                && !plain.contains("orders")
            {
                text.push(character.to_ascii_uppercase());
            } else {
                text.push(character);
            }
        }
        text
    }
}

/// Sends statements and counts; `begin` makes the transaction a statement runs in.
fn statements(user: &str, begin: &str, seed: u64) {
    let port = server();
    let mut session = Session::open(port, user, "shop");
    let mut generator = Generator { state: seed, depth: 0 };
    let (mut ran, mut as_read, mut refused, mut errors) = (0, 0, 0, 0);
    let mut misclassed = Vec::new();
    for _ in 0..STATEMENTS * times() {
        let text = generator.text();
        session.run("rollback");
        session.run(begin);
        let answer = session.query(text.as_bytes());
        let found = classify(text.as_bytes(), &SERVER, &Limits::STANDARD).classes();
        let read_only = found.within(ClassSet::READ_ONLY);
        match answer.error {
            None => {
                ran += 1;
                as_read += u32::from(read_only);
            }
            Some((number, message)) if REFUSED.contains(&number) => {
                refused += 1;
                if read_only {
                    misclassed.push(format!("{text}\n    {number} {message}"));
                }
            }
            Some(_) => errors += 1,
        }
        session.query(b"unlock tables");
    }
    println!(
        "{user}, {begin}: {ran} ran ({as_read} classed as reads), {refused} refused, {errors} other errors"
    );
    assert!(misclassed.is_empty(), "{:#?}", &misclassed[..misclassed.len().min(12)]);
    assert!(as_read > 150 && refused > 150, "the generator makes nothing of use");
}

#[test]
fn what_a_read_only_transaction_refuses_is_never_classed_as_a_read() {
    let port = server();
    // An administrator but for the server itself, which a test must not end.
    let mut session = Session::open(port, MariaDbServer::ADMINISTRATOR, "mysql");
    session.run("create user writer@'%' identified by ''");
    session.run("grant all on shop.* to writer@'%'");
    statements("writer", "start transaction read only", 11);
}

#[test]
fn what_a_user_who_may_only_read_is_refused_is_never_classed_as_a_read() {
    statements("reader", "start transaction", 12);
}

const PIECES: [&str; 40] = [
    "select 1",
    "select 'a'",
    ";",
    "; ",
    " ",
    "\n",
    "\r",
    "-- x\n",
    "--",
    "-- ",
    "#",
    "# x\n",
    "/*",
    "*/",
    "/* ' */",
    "/*!50000 ",
    "/*!99999 ",
    "/*!80000 1*/",
    "/*M!100100 ",
    "'",
    "''",
    "\"",
    "\"\"",
    "`a`",
    "`",
    "\\",
    "\\'",
    "'; select 2; '",
    "\"; select 2; \"",
    " as x",
    "+",
    "-",
    "1",
    ", 2",
    "n'\\''",
    "x'41'",
    "_utf8'\\''",
    "@`a;b`",
    "\u{b}",
    "1e1",
];

#[test]
fn statements_end_where_the_servers_lexer_ends_them() {
    let port = server();
    for (sql_mode, seed) in [("", 13), ("ANSI_QUOTES", 14), ("NO_BACKSLASH_ESCAPES", 15)] {
        let mut session = Session::open(port, MariaDbServer::ADMINISTRATOR, "shop");
        session.run(&format!("set sql_mode = '{sql_mode}'"));
        let modes = Modes {
            ansi_quotes: sql_mode == "ANSI_QUOTES",
            no_backslash_escapes: sql_mode == "NO_BACKSLASH_ESCAPES",
            ..SERVER
        };
        let mut generator = Generator { state: seed, depth: 0 };
        let (mut ran, mut told, mut wrong) = (0_u32, 0_u32, Vec::new());
        for _ in 0..20 * STATEMENTS * times() {
            let mut text = String::from("select 'x'");
            for _ in 0..=generator.below(8) {
                text += &generator.one(&PIECES);
            }
            let answer = session.query(text.as_bytes());
            if answer.error.is_some() {
                continue;
            }
            ran += 1;
            let found = classify(text.as_bytes(), &modes, &Limits::STANDARD);
            if found.classes().contains(Class::Unknown) {
                continue;
            }
            told += 1;
            if found.list.len() != answer.results {
                let (here, there) = (found.list.len(), answer.results);
                wrong.push(format!("{text:?}: {here} here, {there} there"));
            }
        }
        println!("{sql_mode}: {ran} texts ran, {told} of them understood");
        assert!(wrong.is_empty(), "{sql_mode}: {:#?}", &wrong[..wrong.len().min(20)]);
        assert!(told > 500, "only {told} texts were understood");
    }
}
