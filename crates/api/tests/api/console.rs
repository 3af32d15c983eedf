//! What browsers are served that is no endpoint, and what every answer tells them.

use portcullis_api::{ENDPOINTS, Right};

use crate::client::browse;
use crate::node::{Node, WARDEN};

const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9");

#[tokio::test]
async fn a_page_of_the_console_loads_from_here_only_and_runs_nothing_inline() {
    let node = Node::start().await;
    for path in ["/", "/requests", "/sessions/ses-0198f0000000700080000000000000aa"] {
        let answer = browse(node.address, "GET", path, &[PAGE], None).await;
        // Built without the console, the page says how to build it.
        assert!(matches!(answer.status, 200 | 503), "{path} {}", answer.status);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.split("; ").any(|said| said == part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let text = answer.text();
        assert!(!text.contains("<script>") && !text.contains("style=") && !text.contains("onload"));
    }
}

#[tokio::test]
async fn what_is_no_page_is_a_problem() {
    let node = Node::start().await;
    for (method, path, headers) in [
        ("GET", "/v1/nowhere", &[PAGE][..]),
        ("GET", "/v1", &[PAGE]),
        ("GET", "/assets/missing-1234.js", &[PAGE]),
        ("GET", "/favicon.png", &[PAGE]),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", &[]),
        ("GET", "/requests", &[("accept", "application/json")]),
        ("POST", "/requests", &[PAGE]),
        ("DELETE", "/", &[PAGE]),
    ] {
        let answer = browse(node.address, method, path, headers, None).await;
        assert_eq!((answer.status, answer.problem()), (404, "no_such_endpoint".into()), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn no_answer_of_the_api_is_a_page() {
    let node = Node::start().await;
    let warden = node.sign_in(WARDEN).await;
    let endless = ["/v1/audit/tail", "/v1/events"];
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !endless.contains(&endpoint.path)) {
        let token = (endpoint.right != Right::Anonymous).then_some(warden.as_str());
        let (method, example) = (endpoint.method.as_str(), endpoint.example);
        if endpoint.path.ends_with("logout")
            || (method == "DELETE" && endpoint.path == "/v1/session")
        {
            continue;
        }
        let answer = node.call(method, example.target, token, example.body).await;
        let media = answer.header("content-type").unwrap_or("none");
        let data = [
            "none",
            "application/json",
            "application/problem+json",
            "application/x-ndjson",
            "application/x-asciicast",
            "application/octet-stream",
            "application/x-tar",
            "text/event-stream",
        ];
        let text = media.starts_with("text/plain") || media.starts_with("text/yaml");
        assert!(data.contains(&media) || text, "{endpoint:?}: {media}");
        let policy = answer.header("content-security-policy");
        assert_eq!(
            policy,
            Some("default-src 'none'; frame-ancestors 'none'; sandbox"),
            "{endpoint:?}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}
