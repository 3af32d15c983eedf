//! The classification held against a real PostgreSQL: what the server refuses as a write, and what
//! it was seen to write, is never classed as a read; and the lexer ends statements where the
//! server's ends them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod generate;
mod masks;
mod wire;

use generate::{Generator, SCHEMA};
use portcullis_sql::{Class, ClassSet, Limits, Modes, classify, reviewed_postgres_reads};
use portcullis_testkit::PostgresServer;
use wire::Session;

/// SQLSTATEs of a refused write: `read_only_sql_transaction`, `insufficient_privilege`.
const REFUSED: [&str; 2] = ["25006", "42501"];
/// Statements for each kind of session; `FUZZ_TIMES` multiplies them.
const STATEMENTS: u64 = 1_200;

/// Ends what a statement began and takes back what it set.
const AFRESH: &str = "rollback; reset all; reset session authorization; deallocate all";

fn database(server: &PostgresServer) -> String {
    let url = server.fresh_database();
    let name = url.rsplit('/').next().unwrap().to_owned();
    let mut session = Session::open(server.port(), "postgres", &name, "");
    // Roles are of the whole server; another test may have made it.
    session.query(b"create role reader login");
    session.run(SCHEMA);
    name
}

fn times() -> u64 {
    std::env::var("FUZZ_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

fn of(text: &str) -> ClassSet {
    classify(text.as_bytes(), &Modes::postgres(), &Limits::STANDARD).classes()
}

/// What happened to many statements.
#[derive(Debug, Default)]
struct Tally {
    ran: u64,
    refused: u64,
    other_errors: u64,
    /// Of those that ran: classed as what a read-only session may do.
    ran_as_read: u64,
    misclassed: Vec<String>,
}

impl Tally {
    fn check(&self, what: &str) {
        println!(
            "{what}: {} ran ({} of them classed as reads), {} refused as writes, {} other errors",
            self.ran, self.ran_as_read, self.refused, self.other_errors
        );
        assert!(self.misclassed.is_empty(), "{what}: {:#?}", self.misclassed);
        assert!(self.ran > 200 && self.refused > 200, "{what}: the generator makes nothing of use");
    }
}

/// Statements in a session, each told by its SQLSTATE.
fn statements_of(session: &mut Session, seed: u64, rarity: u64) -> Tally {
    let mut generator = Generator::new(seed, rarity);
    let mut tally = Tally::default();
    for _ in 0..STATEMENTS * times() {
        let text = generator.text();
        let answer = session.query(text.as_bytes());
        let read_only = of(&text).within(ClassSet::READ_ONLY);
        match answer.sqlstate.as_deref() {
            None => {
                tally.ran += 1;
                tally.ran_as_read += u64::from(read_only);
            }
            Some(state) if REFUSED.contains(&state) => {
                tally.refused += 1;
                if read_only {
                    tally.misclassed.push(format!("{text}\n    {}", answer.message));
                }
            }
            Some(_) => tally.other_errors += 1,
        }
        session.run(AFRESH);
    }
    tally
}

#[test]
fn what_a_read_only_transaction_refuses_is_never_classed_as_a_read() {
    let server = PostgresServer::shared();
    let database = database(server);
    let options = "-c default_transaction_read_only=on -c client_min_messages=error";
    let mut session = Session::open(server.port(), "postgres", &database, options);
    statements_of(&mut session, 1, 14).check("read-only transactions");
}

#[test]
fn what_a_role_without_rights_is_refused_is_never_classed_as_a_read() {
    let server = PostgresServer::shared();
    let database = database(server);
    let options = "-c client_min_messages=error";
    let mut session = Session::open(server.port(), "reader", &database, options);
    statements_of(&mut session, 2, 14).check("a read-only role");
}

/// A transaction that wrote has an identifier; one that only read has none.
#[test]
fn what_was_seen_to_write_is_never_classed_as_a_read() {
    let server = PostgresServer::shared();
    let database = database(server);
    let options = "-c client_min_messages=error";
    let mut session = Session::open(server.port(), "postgres", &database, options);
    let mut generator = Generator::new(3, 9);
    let (mut wrote, mut misclassed) = (0, Vec::new());
    for _ in 0..STATEMENTS * times() {
        let text = generator.text();
        if text.to_ascii_lowercase().contains("commit") {
            continue;
        }
        session.run("begin");
        let answer = session.query(text.as_bytes());
        if answer.sqlstate.is_none() {
            let identifier = session.query(b"select pg_current_xact_id_if_assigned()::text");
            if identifier.value.is_some() {
                wrote += 1;
                if of(&text).within(ClassSet::READ_ONLY) {
                    misclassed.push(text);
                }
            }
        }
        session.run(AFRESH);
    }
    println!("{wrote} statements were seen to write");
    assert!(misclassed.is_empty(), "{misclassed:#?}");
    assert!(wrote > 150, "only {wrote} statements wrote");
}

/// Pieces of texts whose ends are easy to mistake.
const PIECES: [&str; 34] = [
    "select 1",
    "select 'a'",
    ";",
    "; ",
    " ",
    "\n",
    "\r",
    "-- x",
    "--",
    "/*",
    "*/",
    "/* ' */",
    "/*/**/*/",
    "'",
    "''",
    "'; select 2; '",
    "E'\\''",
    "E'\\\\'",
    "e'a'\n'\\''",
    "$$",
    "$a$",
    "$$;$$",
    "$a$ $$ ; $a$",
    "\"a\"",
    "\"a;b\"",
    " as x",
    "+",
    "-",
    "1",
    ", 2",
    "U&'\\'",
    "n'\\'",
    " as a$b$",
    "x'1'",
];

/// How many statements a text holds, told by the server that ran all of them.
fn differs(session: &mut Session, text: &str, modes: &Modes) -> Option<String> {
    let answer = session.query(text.as_bytes());
    if answer.sqlstate.is_some() {
        return None;
    }
    let found = classify(text.as_bytes(), modes, &Limits::STANDARD);
    // An empty text is answered with one empty statement.
    let counted = found.list.len().max(1);
    let agrees = counted == answer.completed || found.classes().contains(Class::Unknown);
    (!agrees).then(|| format!("{text:?}: {counted} here, {} there", answer.completed))
}

#[test]
fn statements_end_where_the_servers_lexer_ends_them() {
    let server = PostgresServer::shared();
    for (conforming, seed) in [("on", 4), ("off", 5)] {
        let options = format!(
            "-c standard_conforming_strings={conforming} -c escape_string_warning=off \
             -c client_min_messages=error"
        );
        let mut session = Session::open(server.port(), "postgres", "postgres", &options);
        let modes = Modes { standard_conforming_strings: conforming == "on", ..Modes::postgres() };
        let mut generator = Generator::new(seed, 10);
        let (mut ran, mut wrong) = (0_u32, Vec::new());
        for _ in 0..20 * STATEMENTS * times() {
            let length = 1 + generator.below(9);
            let mut text = String::from("select 'x'");
            for _ in 0..length {
                let place = generator.below(PIECES.len() as u64);
                text += PIECES[usize::try_from(place).unwrap()];
            }
            let before = wrong.len();
            wrong.extend(differs(&mut session, &text, &modes));
            ran += u32::from(wrong.len() == before);
        }
        assert!(wrong.is_empty(), "{:#?}", &wrong[..wrong.len().min(20)]);
        assert!(ran > 1_000, "only {ran} texts ran");
    }
}

#[test]
fn every_reviewed_read_is_stable_or_immutable_in_the_servers_catalogue() {
    // Volatile, and reviewed by hand: they tell the time, chance, sizes and places in the log.
    const BY_HAND: &str = "
        clock_timestamp timeofday random gen_random_uuid currval lastval current_query
        pg_is_in_recovery pg_relation_size pg_table_size pg_total_relation_size pg_indexes_size
        pg_database_size pg_tablespace_size pg_blocking_pids pg_safe_snapshot_blocking_pids
        pg_partition_tree pg_partition_ancestors pg_current_wal_lsn pg_current_wal_insert_lsn
        pg_current_wal_flush_lsn pg_last_wal_receive_lsn pg_last_wal_replay_lsn
        pg_last_xact_replay_timestamp pg_lock_status pg_jit_available pg_collation_actual_version
        pg_database_collation_actual_version pg_notification_queue_usage txid_status pg_xact_status
        pg_xact_commit_timestamp pg_is_wal_replay_paused";
    let server = PostgresServer::shared();
    let volatile = server.query(
        "select distinct proname from pg_proc where provolatile = 'v' and prokind <> 'p' \
         and prorettype <> 'internal'::regtype and not ('internal'::regtype = any (proargtypes)) \
         and prorettype <> 'trigger'::regtype and pronamespace = 'pg_catalog'::regnamespace",
    );
    let reviewed = reviewed_postgres_reads();
    let wrong: Vec<_> = volatile
        .lines()
        .filter(|name| reviewed.contains(name) && !BY_HAND.split_whitespace().any(|n| n == *name))
        .collect();
    assert!(wrong.is_empty(), "volatile functions classed as reads: {wrong:?}");
}
