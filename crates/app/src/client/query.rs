//! Paths and queries with everything in them that must be, percent-encoded (RFC 3986, 2.1).

use serde::Serialize;
use serde_json::Value;

/// `/v1/locks/{}` with each `{}` replaced by an encoded segment.
pub(crate) fn path(template: &str, segments: &[&str]) -> String {
    let mut out = String::new();
    let mut segments = segments.iter();
    let mut pieces = template.split("{}");
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.push_str(&encode(segments.next().copied().unwrap_or_default()));
        out.push_str(piece);
    }
    out
}

/// A path with the fields of `query` that are set; absent and false ones are left out.
pub(crate) fn with_query<Q: Serialize>(path: &str, query: &Q) -> String {
    let mut pairs = Vec::new();
    if let Ok(Value::Object(fields)) = serde_json::to_value(query) {
        for (name, value) in fields {
            let text = match value {
                Value::Null | Value::Bool(false) => continue,
                Value::String(text) => text,
                other => other.to_string(),
            };
            pairs.push(format!("{}={}", encode(&name), encode(&text)));
        }
    }
    // Whatever order the fields came in: the same query is the same text.
    pairs.sort();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// The path of the next page a `Link` names (RFC 8288); on this node only, whatever it says.
pub(crate) fn next_page(link: &str) -> Option<String> {
    let (path, relation) = link.strip_prefix('<')?.split_once('>')?;
    let here = path.starts_with('/') && !path.starts_with("//");
    (here && relation.trim_start_matches([';', ' ']) == "rel=\"next\"").then(|| path.to_owned())
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_on_this_node() {
        let next = next_page("</v1/s?cursor=x>; rel=\"next\"");
        assert_eq!(next.as_deref(), Some("/v1/s?cursor=x"));
        for other in [
            "",
            "</v1/s>",
            "</v1/s>; rel=\"prev\"",
            "<http://x/v1>; rel=\"next\"",
            "<//x/v1>; rel=\"next\"",
        ] {
            assert_eq!(next_page(other), None, "{other}");
        }
    }

    #[test]
    fn what_people_type_cannot_leave_its_place_in_a_path_or_query() {
        assert_eq!(path("/v1/locks/{}", &["../x?y#z"]), "/v1/locks/..%2Fx%3Fy%23z");
        let query =
            serde_json::json!({"user": "a&b=c ü", "live": true, "own": false, "limit": null});
        assert_eq!(with_query("/v1/s", &query), "/v1/s?live=true&user=a%26b%3Dc%20%C3%BC");
        assert_eq!(with_query("/v1/s", &serde_json::json!({})), "/v1/s");
    }
}
