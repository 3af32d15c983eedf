//! Random statements: reads of every shape, with writes and calls hidden at all places.
//!
//! In: a seed. Out: texts for the schema of [`SCHEMA`]. Most of them run on a real server.

/// The schema the statements speak of, and what is hidden in it.
pub(crate) const SCHEMA: &str = "
create table orders (id int primary key, name text, total numeric, customer int, placed timestamptz);
create table customers (id int primary key, name text, email text);
insert into orders select n, 'order ' || n, n * 1.5, n % 7, now() from generate_series(1, 20) n;
insert into customers select n, 'c' || n, 'c' || n || '@example.com' from generate_series(0, 7) n;
create table written (at int);
create sequence tickets;
create view big_orders as select * from orders where total > 10;
create function writes() returns int language plpgsql volatile as
    $$ begin insert into written values (1); return 1; end $$;
create function writes_it(n int) returns int language plpgsql volatile as
    $$ begin insert into written values (n); return n; end $$;
create function writes_set() returns setof int language plpgsql volatile as
    $$ begin insert into written values (1); return query select 1; end $$;
create function pretends(n int) returns int language plpgsql immutable as
    $$ begin insert into written values (n); return n; end $$;
create function of_order(o orders) returns int language plpgsql volatile as
    $$ begin insert into written values (o.id); return o.id; end $$;
create function over(n int) returns int language plpgsql volatile as
    $$ begin insert into written values (n); return n; end $$;
create function adds(a int, b int) returns int language plpgsql volatile as
    $$ begin insert into written values (a); return a + b; end $$;
create operator <!> (leftarg = int, rightarg = int, function = adds);
create domain checked as int check (writes_it(value) > -100);
create aggregate totals (int) (sfunc = adds, stype = int, initcond = '0');
create procedure does() language plpgsql as $$ begin insert into written values (1); end $$;
grant usage on schema public to reader;
grant select on orders, customers, big_orders to reader;
";

/// A generator with its own state; the same seed makes the same statements.
pub(crate) struct Generator {
    state: u64,
    depth: u32,
    /// One in how many places hides a write.
    rarity: u64,
}

impl Generator {
    pub(crate) fn new(seed: u64, rarity: u64) -> Self {
        Self { state: seed, depth: 0, rarity }
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
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

    fn hides(&mut self) -> bool {
        let rarity = self.rarity;
        self.below(rarity) == 0
    }

    /// A text of one or more statements, with noise between its words.
    pub(crate) fn text(&mut self) -> String {
        let plain = if self.below(12) == 0 {
            format!("{}; {}", self.statement(), self.statement())
        } else {
            self.statement()
        };
        self.noise(&plain)
    }

    fn statement(&mut self) -> String {
        self.depth = 0;
        match self.below(24) {
            0 => format!("explain {}", self.query()),
            1 => format!("explain (analyze, costs off) {}", self.query()),
            2 => format!("explain analyze {}", self.change()),
            3 => format!("prepare p as {}; execute p", self.query()),
            4 => format!("begin; declare c cursor for {}; fetch all from c; commit", self.query()),
            5 => format!("copy ({}) to stdout", self.query()),
            6 if self.hides() => self.change(),
            7 if self.hides() => self.one(&[
                "do $$ begin insert into written values (1); end $$",
                "call does()",
                "truncate written",
                "create table made as select 1",
                "lock table orders in exclusive mode",
                "comment on table orders is 'x'",
                "grant select on orders to public",
                "create temp table t (id int)",
                "select * into made from orders",
                "notify somebody, 'x'",
                "copy written from stdin",
                "refresh materialized view nothing",
                "drop table written",
                "analyze orders",
                "alter table orders add extra int default writes()",
                "values (writes())",
                "set role postgres",
                "vacuum orders",
            ]),
            8 => format!("values ({}, {})", self.expression(), self.expression()),
            9 => {
                self.one(&["table orders", "show work_mem", "select 1", "begin read only; commit"])
            }
            _ => self.query(),
        }
    }

    fn query(&mut self) -> String {
        self.depth += 1;
        let deep = self.depth > 4;
        let text = match self.below(10) {
            0 if !deep => format!("{} union all {}", self.select(1), self.select(1)),
            1 if !deep => format!("({}) except ({})", self.select(1), self.select(1)),
            2 | 3 if !deep => self.with(),
            _ => {
                let width = 1 + self.below(3);
                self.select(width)
            }
        };
        self.depth -= 1;
        text
    }

    fn with(&mut self) -> String {
        let kind = self.one(&["with", "with", "with recursive"]);
        let head = self.one(&["q", "q (a)", "\"Q\"", "orders"]);
        let name = head.split(' ').next().unwrap().to_owned();
        let how = self.one(&["as", "as materialized", "as not materialized"]);
        let inner = if self.hides() {
            format!("{} returning 1 as a", self.plain_change())
        } else {
            self.select(1)
        };
        let outer = self.one(&["select count(*) as n from", "select 1 as n from", "table"]);
        format!("{kind} {head} {how} ({inner}) {outer} {name}")
    }

    fn select(&mut self, width: u64) -> String {
        let columns: Vec<_> = (0..width).map(|_| self.expression()).collect();
        let distinct = self.one(&["", "", "", "distinct", "all"]);
        let mut text = format!("select {distinct} {} as n", columns.join(", "));
        if self.below(4) > 0 {
            text += &format!(" from {}", self.from());
        } else {
            text += " from orders o";
        }
        if self.below(2) == 0 {
            text += &format!(" where {}", self.condition());
        }
        match self.below(8) {
            0 => text += " order by 1",
            1 => text += &format!(" order by {} desc", self.expression()),
            2 => text += &format!(" limit {}", self.below(9)),
            3 if self.hides() => {
                text += &self.one(&[
                    " for update",
                    " for share of o",
                    " for no key update",
                    " for key share",
                ]);
            }
            _ => {}
        }
        text
    }

    fn from(&mut self) -> String {
        self.depth += 1;
        let deep = self.depth > 4;
        let text = match self.below(9) {
            0 if !deep => format!("orders o, ({}) s", self.query()),
            1 if !deep => format!("orders o join lateral ({}) s on true", self.select(1)),
            2 => "orders o left join customers c on c.id = o.customer".to_owned(),
            3 => "orders o, generate_series(1, 3) g (v)".to_owned(),
            4 if self.hides() => "orders o, writes_set() w".to_owned(),
            5 => {
                format!("orders o cross join (values (1, {}), (2, 3)) v (a, b)", self.expression())
            }
            6 => "big_orders o".to_owned(),
            7 if self.hides() => "orders o, lateral writes_it(o.id) as l (x)".to_owned(),
            _ => "orders o".to_owned(),
        };
        self.depth -= 1;
        text
    }

    fn condition(&mut self) -> String {
        self.depth += 1;
        let deep = self.depth > 5;
        let text = match self.below(8) {
            0 if !deep => format!("exists ({})", self.query()),
            1 if !deep => format!("{} in ({})", self.expression(), self.select(1)),
            2 if !deep => format!("({} and not {})", self.condition(), self.condition()),
            3 => format!("{} between 1 and {}", self.expression(), self.expression()),
            4 => "o.name like 'o%' escape '!'".to_owned(),
            5 => format!("o.id = any (array[1, 2, {}])", self.expression()),
            _ => format!("{} > {}", self.expression(), self.expression()),
        };
        self.depth -= 1;
        text
    }

    /// An integer.
    fn expression(&mut self) -> String {
        if self.hides() {
            return self.hidden();
        }
        self.depth += 1;
        let deep = self.depth > 5;
        let text = match self.below(16) {
            0 if !deep => format!("({} + {})", self.expression(), self.expression()),
            1 if !deep => format!("abs({})", self.expression()),
            2 if !deep => format!("coalesce({}, {})", self.expression(), self.expression()),
            3 if !deep => {
                format!("case when {} then {} else 2 end", self.condition(), self.expression())
            }
            4 if !deep => format!("(select count(*)::int from ({}) s)", self.query()),
            5 => format!("length({})", self.string()),
            6 => format!("cast({} as int)", self.expression()),
            7 => "extract(year from o.placed)::int".to_owned(),
            8 => format!("greatest({}, 2)", self.expression()),
            9 => "(row_number() over (order by o.id))::int".to_owned(),
            10 => format!("nullif({}, 0)", self.expression()),
            11 => "position('a' in o.name)".to_owned(),
            12 => "int '7'".to_owned(),
            13 => "(array[1, 2, 3])[2]".to_owned(),
            _ => self.one(&["1", "o.id", "o.customer", "\"o\".\"id\"", "2"]),
        };
        self.depth -= 1;
        text
    }

    /// An integer that writes.
    fn hidden(&mut self) -> String {
        self.one(&[
            "writes()",
            "writes_it(o.id)",
            "public.writes_it(1)",
            "\"writes\"()",
            "pretends(o.id)",
            "(o.id <!> 2)",
            "(1 operator(public.<!>) o.id)",
            "nextval('tickets')::int",
            "(o).of_order",
            "of_order(o)",
            "over(o.id)",
            "(o.id::checked)::int",
            "cast(o.id as checked)::int",
            "(checked '3')::int",
            "lo_create(0)::int",
            "setval('tickets', 5)::int",
            "(select totals(id) from orders)",
            "(select sum(writes_it(id)) over (order by id) from orders limit 1)::int",
            "(with w as (insert into written values (1) returning at) select at from w)",
            "(('tickets').nextval)::int",
            "length(query_to_xml('insert into written values (1) returning 1', true, true, '')::text)",
        ])
    }

    fn string(&mut self) -> String {
        self.one(&[
            "'plain'",
            "'it''s; delete from orders'",
            "E'a\\'b; delete from written --'",
            "$$ ' ; $$",
            "$q$ $$ ' $q$",
            "U&'\\0041'",
            "'two'\n'parts'",
            "o.name",
            "('x' || $x$y$x$)",
            "N'n'",
        ])
    }

    fn change(&mut self) -> String {
        if self.below(2) == 0 {
            self.plain_change()
        } else {
            format!("with q as (select 1) {}", self.plain_change())
        }
    }

    fn plain_change(&mut self) -> String {
        match self.below(4) {
            0 => format!("insert into written select {} from orders o", self.expression()),
            1 => "update orders o set name = upper(name) where o.id = 1".to_owned(),
            2 => format!("delete from written where at > {}", self.below(5)),
            _ => "insert into written values (1)".to_owned(),
        }
    }

    /// The same words in other cases, with comments and odd white space between them.
    fn noise(&mut self, plain: &str) -> String {
        let mut text = String::new();
        let mut inside = None;
        for character in plain.chars() {
            match inside {
                Some(quote) if character == quote => inside = None,
                None if matches!(character, '\'' | '$' | '"') => inside = Some(character),
                _ => {}
            }
            let quiet =
                inside.is_some() || plain.contains(['\\', '$', '\n']) || plain.contains("''");
            if quiet {
                text.push(character);
            } else if character == ' ' && self.below(6) == 0 {
                text += &self.one(&[
                    "\n",
                    "\t",
                    "/**/",
                    " /* ' */ ",
                    " /* /* ; */ \" */ ",
                    " -- '; \"\n",
                    "\r\n",
                    "\u{c}",
                    "--\r",
                ]);
            } else if character.is_ascii_lowercase() && self.below(8) == 0 {
                text.push(character.to_ascii_uppercase());
            } else {
                text.push(character);
            }
        }
        text
    }
}
