//! The messages that are looked into (manual, 55.7). Names and texts stay bytes: their encoding is
//! the server's business.

use super::{take_i32, take_text, take_u16};

/// A message that is not of the form its type has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message that is not of the form its type has")]
pub struct Malformed;

/// Parse (`P`): a statement is prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Name it is prepared under; empty for the unnamed one.
    pub name: &'a [u8],
    /// Its text.
    pub text: &'a [u8],
}

/// The beginning of Bind (`B`): a portal is made of a statement and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind<'a> {
    /// Name of the portal; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Name of the statement.
    pub statement: &'a [u8],
    /// Values, as far as the beginning holds them whole.
    pub values: Vec<Value<'a>>,
    /// How many values there are.
    pub count: usize,
}

/// One value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    /// Whether it is in the binary format of its type.
    pub binary: bool,
    /// Its bytes; `None` is NULL.
    pub bytes: Option<&'a [u8]>,
}

/// What Describe (`D`) and Close (`C`) name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// A prepared statement.
    Statement(&'a [u8]),
    /// A portal.
    Portal(&'a [u8]),
}

/// The text of Query (`Q`): exactly one, to the end.
pub fn query(body: &[u8]) -> Result<&[u8], Malformed> {
    match take_text(body) {
        Some((text, [])) => Ok(text),
        _ => Err(Malformed),
    }
}

/// Reads Parse.
pub fn parse(body: &[u8]) -> Result<Parse<'_>, Malformed> {
    let (name, rest) = take_text(body).ok_or(Malformed)?;
    let (text, rest) = take_text(rest).ok_or(Malformed)?;
    let (types, rest) = take_u16(rest).ok_or(Malformed)?;
    if rest.len() != usize::from(types) * 4 {
        return Err(Malformed);
    }
    Ok(Parse { name, text })
}

/// Reads the beginning of Bind; `most` values are kept.
pub fn bind(prefix: &[u8], most: usize) -> Result<Bind<'_>, Malformed> {
    let (portal, rest) = take_text(prefix).ok_or(Malformed)?;
    let (statement, rest) = take_text(rest).ok_or(Malformed)?;
    let mut bind = Bind { portal, statement, values: Vec::new(), count: 0 };
    let Some((formats, rest)) = formats(rest) else { return Ok(bind) };
    let Some((count, mut rest)) = take_u16(rest) else { return Ok(bind) };
    bind.count = usize::from(count);
    for at in 0..bind.count.min(most) {
        let Some((length, after)) = take_i32(rest) else { break };
        // No formats: all text. One: for all. Otherwise one each.
        let binary = match formats {
            [] => false,
            [one] => *one == [0, 1],
            each => each.get(at) == Some(&[0, 1]),
        };
        let bytes = match usize::try_from(length) {
            Err(_) => None,
            Ok(length) => match after.split_at_checked(length) {
                Some((bytes, after)) => {
                    rest = after;
                    Some(bytes)
                }
                None => break,
            },
        };
        if bytes.is_none() {
            rest = after;
        }
        bind.values.push(Value { binary, bytes });
    }
    Ok(bind)
}

fn formats(bytes: &[u8]) -> Option<(&[[u8; 2]], &[u8])> {
    let (count, rest) = take_u16(bytes)?;
    let (formats, rest) = rest.split_at_checked(usize::from(count) * 2)?;
    Some((formats.as_chunks::<2>().0, rest))
}

/// Reads Describe or Close.
pub fn named(body: &[u8]) -> Result<Named<'_>, Malformed> {
    let (kind, rest) = body.split_first().ok_or(Malformed)?;
    match (kind, take_text(rest)) {
        (b'S', Some((name, []))) => Ok(Named::Statement(name)),
        (b'P', Some((name, []))) => Ok(Named::Portal(name)),
        _ => Err(Malformed),
    }
}

/// The portal Execute (`E`) names.
pub fn execute(body: &[u8]) -> Result<&[u8], Malformed> {
    match take_text(body) {
        Some((portal, rest)) if rest.len() == 4 => Ok(portal),
        _ => Err(Malformed),
    }
}

/// SQLSTATE and text of an ErrorResponse or NoticeResponse.
pub fn error(body: &[u8]) -> (String, String) {
    let (mut state, mut text) = (String::new(), String::new());
    let mut rest = body;
    while let Some((field, after)) = rest.split_first() {
        if *field == 0 {
            break;
        }
        let Some((value, after)) = take_text(after) else { break };
        match field {
            b'C' => state = String::from_utf8_lossy(value).into_owned(),
            b'M' => text = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
        rest = after;
    }
    (state, text)
}

/// Rows a CommandComplete tag counts (`SELECT 5`, `INSERT 0 1`); 0 where it counts none.
pub fn rows(tag: &[u8]) -> u64 {
    let tag = std::str::from_utf8(tag).unwrap_or_default().trim_end_matches('\0');
    tag.rsplit(' ').next().and_then(|last| last.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_one_text_to_the_end_and_nothing_after_it() {
        assert_eq!(query(b"select 1\0"), Ok(&b"select 1"[..]));
        for body in [&b"select 1"[..], b"select 1\0; drop table x\0", b""] {
            assert_eq!(query(body), Err(Malformed));
        }
    }

    #[test]
    fn the_values_of_a_bind_are_read_as_far_as_they_are_there() {
        let body = [
            &b"p\0s\0"[..],
            &[0, 1, 0, 0],
            &[0, 3],
            &[0, 0, 0, 2],
            b"42",
            &[0xff; 4],
            &[0, 0, 0, 9],
            b"cut",
        ]
        .concat();
        let read = bind(&body, 8).unwrap();
        assert_eq!((read.portal, read.statement, read.count), (&b"p"[..], &b"s"[..], 3));
        let text = |bytes| Value { binary: false, bytes };
        assert_eq!(read.values, [text(Some(&b"42"[..])), text(None)]);
    }

    #[test]
    fn a_tag_counts_its_rows() {
        assert_eq!([rows(b"SELECT 5\0"), rows(b"INSERT 0 7\0"), rows(b"BEGIN\0")], [5, 7, 0]);
    }
}
