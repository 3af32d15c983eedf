//! The functions, operators and types of a fresh server that were reviewed.
//!
//! In: a name as the server folds it. Out: the class a call has, `None` for what was not reviewed.
//! The lists are text files beside this one, so that a reviewer reads names and nothing else; a
//! test holds PostgreSQL's against the catalogue of a real server.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::class::Class;
use crate::modes::Modes;

/// A reviewed name.
#[derive(Debug, Clone, Copy)]
struct Reviewed {
    class: Class,
    /// The first server version that has it; 0 for all.
    since: u32,
}

type List = HashMap<&'static str, Reviewed>;

/// The class of a call of a built-in function by this name, folded to lower case; `None` when it
/// is not a reviewed one.
pub(crate) fn class_of(name: &str, modes: &Modes) -> Option<Class> {
    let found = list(modes.dialect.is_mysql_like()).get(name)?;
    (found.since <= modes.server_version).then_some(found.class)
}

/// The class of a name that is more than a read wherever it stands, because attribute notation
/// (`('x').lo_import`) calls a function too.
pub(crate) fn class_beyond_read(name: &str, modes: &Modes) -> Option<Class> {
    class_of(name, modes).filter(|class| *class != Class::Read)
}

fn list(mysql: bool) -> &'static List {
    static POSTGRES: OnceLock<List> = OnceLock::new();
    static MYSQL: OnceLock<List> = OnceLock::new();
    if mysql {
        MYSQL.get_or_init(|| read(include_str!("mysql.txt")))
    } else {
        POSTGRES.get_or_init(|| read(include_str!("postgres.txt")))
    }
}

/// Reads a list. A class that does not exist makes its names unknown ones, which is the strictest;
/// a test refuses that.
fn read(text: &'static str) -> List {
    let mut list = List::new();
    let mut current = Reviewed { class: Class::Unknown, since: 0 };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let mut words = header.split(" since ");
            let class = words.next().and_then(Class::from_name).unwrap_or(Class::Unknown);
            let since = words.next().and_then(|version| version.parse().ok()).unwrap_or(0);
            current = Reviewed { class, since };
            continue;
        }
        for name in line.split_whitespace() {
            list.insert(name, current);
        }
    }
    list
}

/// The names reviewed as reads in every version of PostgreSQL, for the test that holds them
/// against a real catalogue.
#[must_use]
pub fn reviewed_postgres_reads() -> Vec<&'static str> {
    let mut names: Vec<_> = list(false)
        .iter()
        .filter(|(_, reviewed)| reviewed.class == Class::Read && reviewed.since == 0)
        .map(|(name, _)| *name)
        .collect();
    names.sort_unstable();
    names
}

/// PostgreSQL's own operators, by spelling.
const POSTGRES_OPERATORS: &[&str] = &[
    "!!", "!~", "!~*", "!~~", "!~~*", "#", "##", "#-", "#>", "#>>", "%", "&", "&&", "&<", "&<|",
    "&>", "*", "*<", "*<=", "*<>", "*=", "*>", "*>=", "+", "-", "->", "->>", "-|-", "/", "<",
    "<->", "<<", "<<=", "<<|", "<=", "<>", "<@", "<^", "=", ">", ">=", ">>", ">>=", ">^", "?",
    "?#", "?&", "?-", "?-|", "?|", "?||", "@", "@-@", "@>", "@?", "@@", "@@@", "^", "^@", "|",
    "|&>", "|/", "|>>", "||", "||/", "~", "~*", "~<=~", "~<~", "~=", "~>=~", "~>~", "~~", "~~*",
    "=>", ":=",
];

/// Whether PostgreSQL has an operator of this spelling itself.
pub(crate) fn is_postgres_operator(spelling: &str) -> bool {
    POSTGRES_OPERATORS.contains(&spelling)
}

/// PostgreSQL's own types, and the words of standard SQL for them. Not here: types whose input
/// runs code of users, and `record`, which holds any.
const POSTGRES_TYPES: &str = "
    aclitem bigint bit bool boolean box bpchar bytea char character cid cidr circle date
    datemultirange daterange dec decimal double float float4 float8 inet int int2 int2vector int4
    int4multirange int4range int8 int8multirange int8range integer interval json jsonb jsonpath line
    lseg macaddr macaddr8 money name national nchar numeric nummultirange numrange oid oidvector path
    pg_lsn pg_snapshot point polygon precision real refcursor regclass regcollation regconfig
    regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype smallint text
    tid time timestamp timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange
    tsvector txid_snapshot uuid varbit varchar varying xid xid8 xml";

/// Whether PostgreSQL has a type of this name itself.
pub(crate) fn is_postgres_type(name: &str) -> bool {
    POSTGRES_TYPES.split_whitespace().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_in_one_class_and_every_class_exists() {
        for text in [include_str!("postgres.txt"), include_str!("mysql.txt")] {
            let mut seen = std::collections::HashSet::new();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                if let Some(header) = line.strip_prefix('[') {
                    let name = header.trim_end_matches(']').split(" since ").next().unwrap();
                    assert!(Class::from_name(name).is_some(), "{name}");
                    continue;
                }
                for name in line.split_whitespace() {
                    assert!(seen.insert(name), "{name} stands there twice");
                }
            }
        }
    }

    #[test]
    fn a_function_of_a_later_version_is_not_reviewed_for_an_earlier_one() {
        let older = Modes { server_version: 150_000, ..Modes::postgres() };
        let newer = Modes { server_version: 180_001, ..Modes::postgres() };
        assert_eq!(class_of("any_value", &older), None);
        assert_eq!(class_of("any_value", &newer), Some(Class::Read));
        assert_eq!(class_of("pg_read_file", &older), Some(Class::Server));
        assert_eq!(class_of("lower", &Modes::postgres()), Some(Class::Read));
    }
}
