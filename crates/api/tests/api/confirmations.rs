//! A client that waits for a factor proved elsewhere: a room's side of the gate, and the person's.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_domain::Secret;
use portcullis_gateway::{Asked, ConfirmError, Confirming, SignInFlow};
use portcullis_testkit::Authenticator;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::factors::{ORIGIN, done, post, register};
use crate::node::{HOST_KEY, Node, PASSWORD};

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
const USER: &str = "alice:asks-1";

/// An environment that asks everybody for a second factor, and nobody for a request.
async fn node() -> Node {
    let more = format!(
        "---
kind: Environment
metadata: {{name: asking}}
spec: {{tier: staging, access: standing, second_factor: {{max_age: 0s}}}}
---
kind: Target
metadata: {{name: asks-1}}
spec:
  environment: asking
  ssh: {{host: 127.0.0.1, port: 2299, logins: [deploy], host_keys: [{HOST_KEY}], credential: {{password: {{secret: x}}}}}}
"
    );
    Node::start_with(&more, &[]).await
}

/// Alice, signed in, with a passkey.
async fn alice(node: &Node) -> (String, Authenticator) {
    let token = node.sign_in("alice").await;
    let mut passkey = Authenticator::new(ORIGIN);
    register(node, &token, "passkey", &mut passkey).await;
    (token, passkey)
}

/// A connection of hers whose person has proved a password, and waits.
async fn waiting(node: &Node) -> (SignInFlow, Confirming) {
    let mut flow = node.control.gateway().sign_in(SOURCE);
    assert!(flow.ask_confirmation("ssh").await.is_err(), "before a first factor there is no code");
    let asked = flow.password(USER, Secret::new(PASSWORD.into())).await;
    assert_eq!(asked.unwrap(), Asked::SecondFactor);
    let waiting = flow.ask_confirmation("psql\u{1b}[31m 16").await.unwrap();
    (flow, waiting)
}

async fn get(node: &Node, token: &str, code: &str) -> Answer {
    node.call("GET", &format!("/v1/confirmations/{code}"), Some(token), None).await
}

async fn proof(node: &Node, token: &str, passkey: &mut Authenticator) -> Value {
    let challenge = done(node.call("POST", "/v1/me/challenge", Some(token), None).await);
    json!({"passkey": passkey.answer(&challenge["public_key"])})
}

#[tokio::test]
async fn the_person_sees_what_waits_and_proves_a_factor_for_it() {
    let node = node().await;
    let (token, mut passkey) = alice(&node).await;
    let (mut flow, waiting) = waiting(&node).await;
    let (told, code) = (waiting.told(), waiting.code().to_string());
    assert!(told.contains(&code) && told.contains("http://localhost:3022/confirm"), "{told}");
    let seen = done(get(&node, &token, &code.to_lowercase().replace('-', "")).await);
    assert_eq!((&seen["source"], &seen["target"]), (&json!("198.51.100.7"), &json!("asks-1")));
    assert_eq!(seen["device"], "psql[31m 16", "{seen}");
    let bob = node.sign_in("bob").await;
    assert_eq!(get(&node, &bob, &code).await.status, 404, "it is not bob's");
    let confirm = format!("/v1/confirmations/{code}/confirm");
    assert_eq!(post(&node, Some(&token), &confirm, json!({"code": "000000"})).await.status, 401);
    let proof = proof(&node, &token, &mut passkey).await;
    let (flowed, answer) =
        tokio::join!(flow.confirmed(USER, waiting), post(&node, Some(&token), &confirm, proof),);
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(flowed.unwrap(), Asked::Done);
    assert!(flow.finish().unwrap().authentication().second_factor_at().is_some());
    assert_eq!(get(&node, &token, &code).await.status, 404, "it is good once");
}

#[tokio::test]
async fn a_newer_code_a_refusal_and_a_lock_end_the_waiting() {
    let node = node().await;
    let (token, _) = alice(&node).await;
    let (mut first, older) = waiting(&node).await;
    let (mut second, newer) = waiting(&node).await;
    assert!(matches!(first.confirmed(USER, older).await, Err(ConfirmError::Superseded)));
    let refuse = format!("/v1/confirmations/{}/refuse", newer.code());
    let refused = node.call("POST", &refuse, Some(&token), None);
    let (flowed, answer) = tokio::join!(second.confirmed(USER, newer), refused);
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert!(matches!(flowed, Err(ConfirmError::Refused)));
    let log = node.call("GET", "/v1/audit/search?activity=finding", Some(&token), None).await;
    assert!(log.text().contains("confirmation_refused"), "{}", log.text());

    let (mut third, last) = waiting(&node).await;
    let code = last.code().to_string();
    let lock = json!({"subject": {"kind": "user", "name": "alice"}, "reason": "stolen"});
    let locked = node.sign_in("admin-0").await;
    let (flowed, answer) =
        tokio::join!(third.confirmed(USER, last), post(&node, Some(&locked), "/v1/locks", lock),);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(matches!(flowed, Err(ConfirmError::Ended)));
    assert_eq!(get(&node, &token, &code).await.status, 403);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_code_along_and_codes_are_not_had_without_end() {
    let node = node().await;
    let (token, _) = alice(&node).await;
    let mut flow = node.control.gateway().sign_in(SOURCE);
    flow.password(USER, Secret::new(PASSWORD.into())).await.unwrap();
    let mut given = 0;
    let refused = loop {
        match flow.ask_confirmation("ssh").await {
            Ok(waiting) => {
                given += 1;
                let code = waiting.code().to_string();
                drop(waiting);
                if given == 1 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    assert_eq!(get(&node, &token, &code).await.status, 404);
                }
            }
            Err(error) => break error,
        }
        assert!(given < 10, "codes are given without end");
    };
    assert!(matches!(refused, ConfirmError::TooMany { .. }), "{refused}");
}

#[tokio::test]
async fn codes_are_not_found_by_trying() {
    let node = node().await;
    let (token, _) = alice(&node).await;
    for code in ["BCDF-GHJK", "BCDF-GHJL", "BCDF-GHJM", "BCDF-GHJN", "BCDF-GHJP", "BCDF-GHJQ"] {
        if get(&node, &token, code).await.status == 429 {
            return;
        }
    }
    panic!("codes can be tried without end");
}
