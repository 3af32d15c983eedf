//! Every endpoint, called without a token, with bad ones, without the right and with it. The list
//! is the one the router is built from: an endpoint that is added is asked too.

use std::collections::BTreeSet;

use portcullis_api::{ENDPOINTS, Endpoint, Method, Right};
use portcullis_identity::random::OsRandom;
use portcullis_identity::token::Token;
use serde_json::json;

use crate::client::Answer;
use crate::node::{ADMINISTRATORS, Node, PASSWORD, WARDEN, administrator};

async fn ask(node: &Node, endpoint: &Endpoint, token: Option<&str>) -> Answer {
    let (method, example) = (endpoint.method.as_str(), endpoint.example);
    node.call(method, example.target, token, example.body).await
}

fn guarded() -> impl Iterator<Item = &'static Endpoint> {
    ENDPOINTS.iter().filter(|endpoint| endpoint.right != Right::Anonymous)
}

#[tokio::test]
async fn without_a_token_every_endpoint_but_sign_ins_and_probes_refuses() {
    let node = Node::start().await;
    let open: Vec<&str> = ENDPOINTS
        .iter()
        .filter(|endpoint| endpoint.right == Right::Anonymous)
        .map(|endpoint| endpoint.path)
        .collect();
    let expected = [
        "/v1/login",
        "/v1/login/passkey",
        "/v1/login/passkey/finish",
        "/v1/session",
        "/v1/session/passkey",
        "/v1/openapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
    ];
    assert_eq!(open, expected);
    for endpoint in guarded() {
        let answer = ask(&node, endpoint, None).await;
        assert_eq!(answer.status, 401, "{endpoint:?}: {}", answer.text());
        assert_eq!(answer.problem(), "unauthenticated", "{endpoint:?}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{endpoint:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_none_or_not_ours_is_refused_everywhere() {
    let node = Node::start().await;
    let ended = node.sign_in("alice").await;
    node.call("POST", "/v1/logout", Some(&ended), None).await;
    let unknown = Token::generate(&mut OsRandom).unwrap().to_text().expose().clone();
    for token in ["garbage", "pct_", "pct_0000", "' OR 1=1 --", &unknown, &ended] {
        for endpoint in guarded() {
            let answer = ask(&node, endpoint, Some(token)).await;
            assert_eq!(answer.status, 401, "{endpoint:?} `{token}`: {}", answer.text());
            assert_eq!(answer.problem(), "unauthenticated");
        }
    }
}

#[tokio::test]
async fn without_the_right_what_needs_one_is_refused() {
    let node = Node::start().await;
    let token = node.sign_in("nora").await;
    for endpoint in guarded() {
        match endpoint.right {
            Right::Control(right) => {
                let answer = ask(&node, endpoint, Some(&token)).await;
                assert_eq!(answer.status, 403, "{endpoint:?}: {}", answer.text());
                assert_eq!(answer.problem(), "forbidden");
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                assert!(detail.contains(right.as_str()), "{endpoint:?}: {detail}");
            }
            // Others' things are refused, or not known to exist.
            Right::OwnOr(_) => {
                let answer = ask(&node, endpoint, Some(&token)).await;
                assert!(matches!(answer.status, 403 | 404), "{endpoint:?}: {}", answer.text());
                answer.problem();
            }
            Right::Anonymous | Right::SignedIn => {}
        }
    }
}

#[tokio::test]
async fn refusals_are_in_the_audit_log() {
    let node = Node::start().await;
    let nora = node.sign_in("nora").await;
    let answer = node.call("GET", "/v1/export", Some(&nora), None).await;
    assert_eq!(answer.status, 403);
    let alice = node.sign_in("alice").await;
    let found = "/v1/audit/search?user=nora&outcome=refused";
    let answer = node.call("GET", found, Some(&alice), None).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(answer.text().lines().count(), 1, "{}", answer.text());
    assert!(answer.text().contains("read_resources"));
}

#[tokio::test]
async fn with_the_right_every_endpoint_comes_to_its_use_case() {
    let node = Node::start().await;
    assert!(ENDPOINTS.len() <= ADMINISTRATORS);
    let warden = node.sign_in(WARDEN).await;
    for (number, endpoint) in ENDPOINTS.iter().enumerate() {
        let decides = endpoint.path.ends_with("/raise")
            || endpoint.path == "/v1/break-glass"
            || endpoint.path.ends_with("/credentials/reset")
            || (endpoint.path.contains("/secrets/") && endpoint.example.body.is_some());
        let token =
            if decides { warden.clone() } else { node.sign_in(&administrator(number)).await };
        if ["/v1/audit/tail", "/v1/events"].contains(&endpoint.path) {
            continue; // they do not end; see `streams` and `events`
        }
        let answer = ask(&node, endpoint, Some(&token)).await;
        let expected: &[u16] = match endpoint.path {
            "/v1/session/factor" => &[422], // for browsers
            "/v1/requests" | "/v1/break-glass" if endpoint.example.body.is_some() => &[404], // reaches nothing
            path if path.contains("/{id}") => &[404], // there is none
            "/v1/audit/forget" => &[404],             // nobody of that name
            "/v1/me/totp/confirm" => &[404],          // none begun
            path if path.contains("/{code}") => &[404], // nobody waits
            "/v1/me/challenge" => &[422],             // no passkey
            "/v1/me/step-up" => &[401],               // not the code
            "/v1/login/passkey/finish" | "/v1/session/passkey" => &[422], // no answer
            "/v1/me/passkeys/confirm" => &[422],      // no answer
            path if path.ends_with("/credentials/reset") => &[202],
            "/v1/locks" | "/v1/holds" if endpoint.example.body.is_some() => &[201],
            _ => &[200, 204],
        };
        assert!(
            expected.contains(&answer.status),
            "{endpoint:?} {}: {}",
            answer.status,
            answer.text()
        );
        if answer.status == 404 {
            assert_ne!(answer.problem(), "no_such_endpoint", "{endpoint:?}");
        }
    }
}

#[tokio::test]
async fn a_locked_person_can_look_at_themselves_and_leave() {
    let node = Node::start().await;
    let alice = node.sign_in("alice").await;
    let locked = administrator(0);
    let token = node.sign_in(&locked).await;
    let body = json!({"subject": {"kind": "user", "name": locked}, "reason": "laptop stolen"});
    let answer = node.call("POST", "/v1/locks", Some(&alice), Some(&body.to_string())).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let mut passed = BTreeSet::new();
    let leaves = |endpoint: &&Endpoint| {
        endpoint.path != "/v1/logout"
            && endpoint.path != "/v1/events"
            && (endpoint.path, endpoint.method) != ("/v1/session", Method::Delete)
    };
    for endpoint in guarded().filter(leaves) {
        let answer = ask(&node, endpoint, Some(&token)).await;
        if !matches!(answer.status, 401 | 403) {
            passed.insert(endpoint.path);
        }
    }
    assert_eq!(passed, BTreeSet::from(["/v1/whoami", "/v1/session", "/v1/session/factor"]));
    let me = node.call("GET", "/v1/whoami", Some(&token), None).await.json();
    assert_eq!(me["control"], json!([]));
    assert_eq!(node.call("POST", "/v1/logout", Some(&token), None).await.status, 204);
}

#[tokio::test]
async fn whoever_has_a_second_factor_is_asked_for_it() {
    let node = Node::start().await;
    let body = json!({"user": WARDEN, "password": PASSWORD}).to_string();
    let answer = node.call("POST", "/v1/login", None, Some(&body)).await;
    assert_eq!((answer.status, answer.problem()), (401, "second_factor_required".into()));
    node.sign_in(WARDEN).await;
}

#[tokio::test]
async fn wrong_passwords_are_counted_and_the_wait_is_told() {
    let node = Node::start().await;
    let body = json!({"user": "bob", "password": "not the one"}).to_string();
    for _ in 0..100 {
        let answer = node.call("POST", "/v1/login", None, Some(&body)).await;
        if answer.status == 429 {
            answer.problem();
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
            return;
        }
        assert_eq!(answer.status, 401, "{}", answer.text());
        answer.problem();
    }
    panic!("a hundred wrong passwords in a row were taken");
}

#[test]
fn endpoints_are_unlike_each_other_and_say_what_they_do() {
    let mut seen = BTreeSet::new();
    for endpoint in ENDPOINTS {
        assert!(seen.insert((endpoint.method.as_str(), endpoint.path)), "{endpoint:?} twice");
        assert!(!endpoint.summary.is_empty() && !endpoint.summary.ends_with('.'), "{endpoint:?}");
    }
}
