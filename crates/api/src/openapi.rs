//! The API described for programs (OpenAPI 3.1), made from the same list the router is made from.
//!
//! What an endpoint is called by, needs and may answer flows out. The form of a body is read off the
//! example that a test sends, so that what is described is what is taken.

use serde_json::{Map, Value, json};

use crate::endpoint::{Endpoint, Method, Right, Weight};
use crate::endpoints::ENDPOINTS;
use crate::origin;

/// Lists, which take `limit` and `cursor`. A test holds this against what answers with a list.
pub(crate) const LISTS: [&str; 17] = [
    "/v1/audit/exports",
    "/v1/changes",
    "/v1/environments",
    "/v1/environments/{environment}/secrets",
    "/v1/grants",
    "/v1/holds",
    "/v1/locks",
    "/v1/me/reach",
    "/v1/me/sign-ins",
    "/v1/people",
    "/v1/policies",
    "/v1/requests",
    "/v1/resources",
    "/v1/reviews",
    "/v1/sessions",
    "/v1/suggestions",
    "/v1/who-can",
];

/// The whole document.
pub(crate) fn openapi() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let entry = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(operations) = entry.as_object_mut() {
            operations.insert(method, operation(endpoint));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": "1",
            "summary": "What the command line and the console use; see docs/api.md",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "from `POST /v1/login`"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-portcullis",
                    "description": "from `POST /v1/session`; on plain loopback HTTP it is called `portcullis`"},
                "csrf": {"type": "apiKey", "in": "header", "name": origin::HEADER,
                    "description": "beside the cookie, with everything that changes something"},
            },
            "schemas": {"Problem": problem()},
            "responses": {"Problem": {
                "description": "it did not happen; `code` says why to programs, `detail` to people",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }},
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.path.trim_start_matches("/v1").split('/').nth(1).unwrap_or_default()],
        "parameters": parameters(endpoint),
        "responses": responses(endpoint),
        "security": match (endpoint.right, endpoint.method) {
            (Right::Anonymous, _) => json!([]),
            (_, Method::Get) => json!([{"token": []}, {"cookie": []}]),
            _ => json!([{"token": []}, {"cookie": [], "csrf": []}]),
        },
        "x-right": match endpoint.right {
            Right::Anonymous => "none".to_owned(),
            Right::SignedIn => "signed in".to_owned(),
            Right::OwnOr(right) => format!("own, or {right}"),
            Right::Control(right) => right.to_string(),
        },
    });
    if let Some(body) = endpoint.example.body {
        let example: Value = serde_json::from_str(body).unwrap_or_default();
        let content = json!({"schema": form(&example), "example": example});
        let body = json!({"required": true, "content": {"application/json": content}});
        if let Some(fields) = operation.as_object_mut() {
            fields.insert("requestBody".to_owned(), body);
        }
    }
    operation
}

/// `POST /v1/requests/{id}/deny` is `post_requests_id_deny`.
fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.trim_start_matches("/v1").replace(['{', '}'], "");
    endpoint.method.as_str().to_ascii_lowercase() + &path.replace(['/', '-', '.'], "_")
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let text = json!({"type": "string"});
    let in_path = endpoint.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({"name": name, "in": "path", "required": true, "schema": text}))
    });
    let query = endpoint.example.target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let in_query = pairs.map(|(name, value)| {
        let form = match value {
            "true" | "false" => json!({"type": "boolean"}),
            number if number.parse::<u64>().is_ok() => json!({"type": "integer", "minimum": 0}),
            _ => text.clone(),
        };
        json!({"name": name, "in": "query", "schema": form, "example": value})
    });
    let pages = (endpoint.method == Method::Get && LISTS.contains(&endpoint.path)).then(|| {
        [
            json!({"name": "limit", "in": "query", "description": "most entries of the page",
                "schema": {"type": "integer", "minimum": 1, "maximum": 1000}}),
            json!({"name": "cursor", "in": "query",
                "description": "from the `Link` of the page before", "schema": {"type": "string"}}),
        ]
    });
    in_path.chain(in_query).chain(pages.into_iter().flatten()).collect()
}

fn responses(endpoint: &Endpoint) -> Value {
    let list = endpoint.method == Method::Get && LISTS.contains(&endpoint.path);
    let mut good = match endpoint.weight {
        Weight::Stream => json!({"description": "lines or pieces, as they come"}),
        Weight::Light | Weight::Heavy => {
            json!({"description": "it is done, or this is what was asked for"})
        }
    };
    if let (true, Some(fields)) = (list, good.as_object_mut()) {
        let next = "the next page, where there is one: `<PATH>; rel=\"next\"`";
        fields.insert(
            "headers".into(),
            json!({"link": {"description": next, "schema": {"type": "string"}}}),
        );
        let all = json!({"application/json": {"schema": {"type": "array"}}});
        fields.insert("content".into(), all);
    }
    let mut all = Map::from_iter([("2XX".to_owned(), good)]);
    let problem = json!({"$ref": "#/components/responses/Problem"});
    for status in statuses(endpoint) {
        all.insert(status.to_string(), problem.clone());
    }
    Value::Object(all)
}

/// The problems a call may come to, beside those of every call.
fn statuses(endpoint: &Endpoint) -> Vec<u16> {
    let mut statuses = vec![400, 408, 421, 500, 503];
    let anonymous = endpoint.right == Right::Anonymous;
    if !anonymous || endpoint.method != Method::Get {
        statuses.extend([401, 403, 429]);
    }
    if endpoint.path.contains('{') || endpoint.method != Method::Get {
        statuses.extend([404, 409]);
    }
    if endpoint.example.body.is_some() {
        statuses.extend([413, 415]);
    }
    if !anonymous || endpoint.method != Method::Get {
        statuses.push(422);
    }
    statuses.sort_unstable();
    statuses
}

/// The form of a body: fields that are known, and nothing else is taken.
fn form(example: &Value) -> Value {
    match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "number"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(items) => match items.first() {
            Some(first) => json!({"type": "array", "items": form(first)}),
            None => json!({"type": "array"}),
        },
        Value::Object(fields) => {
            let forms: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), form(value))).collect();
            json!({"type": "object", "properties": forms})
        }
    }
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string", "description": "for a person, with the next step"},
            "code": {"type": "string", "description": "stable, for programs"},
        },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `UPDATE_OPENAPI=1 cargo test -p portcullis-api openapi` rewrites it.
    const REVIEWED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

    #[test]
    fn the_description_is_the_reviewed_one() {
        let text = serde_json::to_string_pretty(&openapi()).unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(REVIEWED, &text).unwrap();
        }
        let reviewed = std::fs::read_to_string(REVIEWED).unwrap_or_default();
        assert!(
            text == reviewed,
            "the API differs from docs/openapi.json; look at the difference after UPDATE_OPENAPI=1"
        );
    }

    #[test]
    fn what_is_described_is_what_is_served_and_every_problem_is() {
        let document = openapi();
        let mut described = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                described.insert((method.to_uppercase(), path.clone()));
                assert!(names.insert(operation["operationId"].to_string()), "{method} {path}");
                let braces = path.matches('{').count();
                let parameters = operation["parameters"].as_array().unwrap();
                let in_path = parameters.iter().filter(|one| one["in"] == "path").count();
                assert_eq!(in_path, braces, "{method} {path}");
                let open = operation["security"] == json!([]);
                assert!(open || operation["responses"]["401"].is_object(), "{method} {path}");
                assert!(open || operation["responses"]["403"].is_object(), "{method} {path}");
                assert!(operation["responses"]["503"].is_object(), "{method} {path}");
            }
        }
        let served = ENDPOINTS.iter();
        let served: BTreeSet<_> =
            served.map(|one| (one.method.as_str().to_owned(), one.path.to_owned())).collect();
        assert_eq!(described, served);
    }

    #[test]
    fn lists_are_endpoints() {
        for path in LISTS {
            let found = |one: &&Endpoint| one.path == path && one.method == Method::Get;
            assert!(ENDPOINTS.iter().any(|one| found(&one)), "{path}");
        }
    }
}
