//! Listings and errors of S3: the few elements of their XML that matter. Pure.
//!
//! Not an XML parser: it knows elements and their text, and refuses what is not closed. Keys are
//! asked for percent-encoded, so that no character of theirs is special.

/// Deepest nesting read.
const MAX_DEPTH: usize = 8;
/// Longest error code shown, in characters.
const MAX_CODE_CHARS: usize = 100;

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Keys.
    pub keys: Vec<String>,
    /// Common prefixes: what a file system calls directories.
    pub prefixes: Vec<String>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

impl Listing {
    /// Reads a `ListBucketResult`; `None` where it is none.
    #[must_use]
    pub fn parse(xml: &[u8]) -> Option<Self> {
        let mut listing = Self::default();
        let mut truncated = false;
        leaves(std::str::from_utf8(xml).ok()?, |path, text| match path {
            ["ListBucketResult", "Contents", "Key"] => listing.keys.push(percent_decoded(text)),
            ["ListBucketResult", "CommonPrefixes", "Prefix"] => {
                listing.prefixes.push(percent_decoded(text));
            }
            ["ListBucketResult", "NextContinuationToken"] => listing.next = Some(text.to_owned()),
            ["ListBucketResult", "IsTruncated"] => truncated = text == "true",
            _ => {}
        })
        .filter(|root| *root == "ListBucketResult")?;
        if !truncated {
            listing.next = None;
        }
        // A page that says there is more and not where cannot be the whole answer.
        (truncated == listing.next.is_some()).then_some(listing)
    }
}

/// The code in an error's body, such as `NoSuchKey`; empty where there is none.
#[must_use]
pub fn error_code(xml: &[u8]) -> String {
    let mut code = String::new();
    let text = std::str::from_utf8(xml).unwrap_or_default();
    let _ = leaves(text, |path, text| {
        if path == ["Error", "Code"] {
            code = text.chars().filter(|c| !c.is_control()).take(MAX_CODE_CHARS).collect();
        }
    });
    code
}

/// Calls `found` with the path and text of every element; returns the root's name where every
/// element is closed.
fn leaves(xml: &str, mut found: impl FnMut(&[&str], &str)) -> Option<&str> {
    let (mut path, mut rest, mut root): (Vec<&str>, _, _) = (Vec::new(), xml, None);
    let mut text = String::new();
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at(at);
        text.push_str(before);
        let end = tag.find('>')?;
        let inner = tag.get(1..end)?;
        rest = tag.get(end + 1..)?;
        if inner.starts_with(['?', '!']) {
            continue;
        }
        if let Some(name) = inner.strip_prefix('/') {
            if path.last() != Some(&name.trim_end()) {
                return None;
            }
            found(&path, &unescaped(&text));
            path.pop();
        } else {
            let name = inner.split([' ', '\t', '\r', '\n', '/']).next()?;
            root = root.or(Some(name));
            if !inner.ends_with('/') {
                path.push(name);
            }
            if path.len() > MAX_DEPTH {
                return None;
            }
        }
        text.clear();
    }
    root.filter(|_| path.is_empty())
}

fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#34;", "\""), ("&apos;", "'")];
    let plain = entities.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    plain.replace("&amp;", "&")
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, more)) = rest.split_first() {
        let pair = more.get(..2).filter(|_| *byte == b'%');
        match pair.and_then(|pair| hex::decode(pair).ok()) {
            Some(decoded) => {
                bytes.extend(decoded);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix>t/</Prefix>
<NextContinuationToken>a&amp;b==</NextContinuationToken><KeyCount>2</KeyCount><Delimiter/>
<IsTruncated>true</IsTruncated>
<Contents><Key>t%2F000</Key><Owner><ID>x</ID></Owner></Contents><Contents><Key>t/001</Key></Contents>
<CommonPrefixes><Prefix>t/x001/</Prefix></CommonPrefixes></ListBucketResult>"#;

    #[test]
    fn a_page_of_a_listing_is_read() {
        let listing = Listing::parse(PAGE.as_bytes()).unwrap();
        assert_eq!(listing.keys, ["t/000", "t/001"]);
        assert_eq!(listing.prefixes, ["t/x001/"]);
        assert_eq!(listing.next.as_deref(), Some("a&b=="));
    }

    #[test]
    fn half_a_page_is_none() {
        for end in 0..PAGE.len() {
            assert_eq!(Listing::parse(&PAGE.as_bytes()[..end]), None, "{end}");
        }
        let endless = PAGE.replace("NextContinuationToken", "Token");
        assert_eq!(Listing::parse(endless.as_bytes()), None, "more, and not where");
        assert_eq!(Listing::parse(b"<Error><Code>NoSuchBucket</Code></Error>"), None);
    }

    #[test]
    fn an_error_tells_its_code() {
        assert_eq!(error_code(b"<Error><Code>NoSuchKey</Code><Key>a</Key></Error>"), "NoSuchKey");
        assert_eq!(error_code(b"<html>"), "");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>, text in "[<>/a-zKey&%; ]{0,200}") {
            crate::fuzzing::fuzz_listing(&bytes);
            crate::fuzzing::fuzz_listing(text.as_bytes());
        }
    }
}
