//! Passkeys, security keys, and what a change of factors means, as several people with software
//! authenticators.

use portcullis_testkit::Authenticator;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::node::{Node, PASSWORD, STEWARD, WARDEN};

/// Where the console of a node is that was told nothing else.
pub(crate) const ORIGIN: &str = "http://localhost:3022";

pub(crate) async fn post(node: &Node, token: Option<&str>, path: &str, body: Value) -> Answer {
    node.call("POST", path, token, Some(&body.to_string())).await
}

pub(crate) fn done(answer: Answer) -> Value {
    assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.text());
    answer.json()
}

/// Registers a credential of this kind; its view.
pub(crate) async fn register(
    node: &Node,
    token: &str,
    kind: &str,
    with: &mut Authenticator,
) -> Value {
    let body = json!({"kind": kind, "proof": {"password": PASSWORD}});
    let begun = done(post(node, Some(token), "/v1/me/passkeys", body).await);
    let answer = with.register(&begun["public_key"]);
    let body = json!({"name": "laptop", "answer": answer});
    done(post(node, Some(token), "/v1/me/passkeys/confirm", body).await)
}

/// Signs in with a passkey; the last answer.
async fn sign_in(node: &Node, who: Value, with: &mut Authenticator) -> Answer {
    let begun = done(post(node, None, "/v1/login/passkey", who).await);
    let answer = with.answer(&begun["public_key"]);
    post(node, None, "/v1/login/passkey/finish", json!({"answer": answer})).await
}

#[tokio::test]
async fn a_passkey_signs_in_alone_and_a_security_key_beside_a_password() {
    let node = Node::start().await;
    let alice = node.sign_in("alice").await;
    let mut passkey = Authenticator::new(ORIGIN);
    let view = register(&node, &alice, "passkey", &mut passkey).await;
    assert_eq!((&view["kind"], &view["name"]), (&json!("passkey"), &json!("laptop")));
    let issued = done(sign_in(&node, json!({}), &mut passkey).await);
    assert_eq!(issued["user"], "alice");
    let token = issued["token"].as_str().unwrap();
    assert_eq!(node.call("GET", "/v1/whoami", Some(token), None).await.json()["user"], "alice");

    let bob = node.sign_in("bob").await;
    let mut key = Authenticator::new(ORIGIN);
    key.verifies = false;
    let view = register(&node, &bob, "security_key", &mut key).await;
    assert_eq!(view["kind"], "security_key");
    let password = json!({"user": "bob", "password": PASSWORD});
    assert_eq!(done(sign_in(&node, password.clone(), &mut key).await)["user"], "bob");
    let refused = sign_in(&node, json!({}), &mut key).await;
    assert_eq!((refused.status, refused.problem()), (422, "passkey_refused".into()));
    // The password alone is no sign-in any more.
    let answer = post(&node, None, "/v1/login", password).await;
    assert_eq!((answer.status, answer.problem()), (401, "second_factor_required".into()));
    let wrong = json!({"user": "bob", "password": "not the one"});
    assert_eq!(post(&node, None, "/v1/login/passkey", wrong).await.status, 401);
    let others = json!({"user": "bob", "password": PASSWORD});
    assert_eq!(sign_in(&node, others, &mut passkey).await.status, 422, "alice's for bob");
}

#[tokio::test]
async fn an_answer_is_good_once_for_the_sign_in_it_was_asked_in() {
    let node = Node::start().await;
    let (alice, again) = (node.sign_in("alice").await, node.sign_in("alice").await);
    let mut passkey = Authenticator::new(ORIGIN);
    register(&node, &alice, "passkey", &mut passkey).await;
    let begun = done(post(&node, None, "/v1/login/passkey", json!({})).await);
    let answer = json!({"answer": passkey.answer(&begun["public_key"])});
    done(post(&node, None, "/v1/login/passkey/finish", answer.clone()).await);
    let replayed = post(&node, None, "/v1/login/passkey/finish", answer).await;
    assert_eq!((replayed.status, replayed.problem()), (409, "not_open".into()));

    let asked = || async {
        done(node.call("POST", "/v1/me/challenge", Some(&again), None).await)["public_key"].clone()
    };
    let elsewhere = json!({"passkey": passkey.answer(&asked().await)});
    let refused = post(&node, Some(&alice), "/v1/me/step-up", elsewhere).await;
    assert_eq!(refused.status, 409, "another sign-in's: {}", refused.text());
    let no_sign_in = json!({"answer": passkey.answer(&asked().await)});
    let refused = post(&node, None, "/v1/login/passkey/finish", no_sign_in).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    let proof = json!({"passkey": passkey.answer(&asked().await)});
    assert_eq!(post(&node, Some(&again), "/v1/me/step-up", proof).await.status, 204);
    // A registration that was begun in one sign-in is not finished in another.
    let body = json!({"kind": "passkey", "proof": {"password": PASSWORD, "code": "123456"}});
    assert_eq!(post(&node, Some(&alice), "/v1/me/passkeys", body).await.status, 401);
    let challenge = done(node.call("POST", "/v1/me/challenge", Some(&alice), None).await);
    let proof = json!({"passkey": passkey.answer(&challenge["public_key"])});
    let body = json!({"kind": "passkey", "proof": proof});
    let begun = done(post(&node, Some(&alice), "/v1/me/passkeys", body).await);
    let excluded = begun["public_key"]["excludeCredentials"].as_array().unwrap().len();
    assert_eq!(excluded, 1, "an authenticator is registered once");
    let mut other = Authenticator::new(ORIGIN);
    let body = json!({"name": "x", "answer": other.register(&begun["public_key"])});
    let refused = post(&node, Some(&again), "/v1/me/passkeys/confirm", body).await;
    assert_eq!((refused.status, refused.problem()), (409, "not_open".into()));
}

#[tokio::test]
async fn a_copy_of_a_credential_is_noticed_by_its_counter() {
    let node = Node::start().await;
    let alice = node.sign_in("alice").await;
    let mut passkey = Authenticator::new(ORIGIN);
    register(&node, &alice, "passkey", &mut passkey).await;
    done(sign_in(&node, json!({}), &mut passkey).await);
    passkey.sign_count = 1;
    assert_eq!(sign_in(&node, json!({}), &mut passkey).await.status, 422);
    let log = node.call("GET", "/v1/audit/search?activity=finding", Some(&alice), None).await;
    assert!(log.text().contains("passkey_counter"), "{}", log.text());
    // One that does not count is taken as it is.
    let mut silent = Authenticator::new(ORIGIN);
    silent.sign_count = 0;
    let bob = node.sign_in("bob").await;
    register(&node, &bob, "passkey", &mut silent).await;
    done(sign_in(&node, json!({}), &mut silent).await);
    done(sign_in(&node, json!({}), &mut silent).await);
}

#[tokio::test]
async fn factors_are_listed_named_and_removed_with_a_proof() {
    let node = Node::start().await;
    let alice = node.sign_in("alice").await;
    let mut passkey = Authenticator::new(ORIGIN);
    let id = register(&node, &alice, "passkey", &mut passkey).await["id"].clone();
    let path = format!("/v1/me/factors/{}", id.as_str().unwrap());
    let name = json!({"name": "phone"}).to_string();
    assert_eq!(node.call("PUT", &path, Some(&alice), Some(&name)).await.status, 204);
    let bob = node.sign_in("bob").await;
    assert_eq!(node.call("PUT", &path, Some(&bob), Some(&name)).await.status, 404, "alice's");
    let listed = done(node.call("GET", "/v1/me/factors", Some(&alice), None).await);
    assert_eq!(listed["factors"][0]["name"], "phone");
    let warden = node.sign_in(WARDEN).await;
    let of_alice = done(node.call("GET", "/v1/users/alice/factors", Some(&warden), None).await);
    assert_eq!(of_alice["factors"], listed["factors"]);
    let remove = format!("{path}/remove");
    let alone = post(&node, Some(&alice), &remove, json!({"password": PASSWORD})).await;
    assert_eq!((alone.status, alone.problem()), (401, "second_factor_required".into()));
    let challenge = done(node.call("POST", "/v1/me/challenge", Some(&alice), None).await);
    let proof = json!({"passkey": passkey.answer(&challenge["public_key"])});
    assert_eq!(post(&node, Some(&alice), &remove, proof).await.status, 204);
    let begun = done(post(&node, None, "/v1/login/passkey", json!({})).await);
    let answer = json!({"answer": passkey.answer(&begun["public_key"])});
    assert_eq!(post(&node, None, "/v1/login/passkey/finish", answer).await.status, 422);
}

#[tokio::test]
async fn a_new_factor_keeps_its_owner_out_of_production_until_somebody_else_agrees() {
    let node = Node::start().await;
    let alice = node.sign_in("alice").await;
    register(&node, &alice, "passkey", &mut Authenticator::new(ORIGIN)).await;
    let waits = || async {
        done(node.call("GET", "/v1/me/factors", Some(&alice), None).await)["production_opens"]
            .clone()
    };
    assert!(waits().await.is_string());
    let why = "/v1/why?user=alice&target=web-1&action=shell";
    let told = node.call("GET", why, Some(&alice), None).await.text();
    assert!(told.contains("second factors changed"), "{told}");

    let warden = node.sign_in(WARDEN).await;
    let changes = done(node.call("GET", "/v1/changes", Some(&warden), None).await);
    let path = format!("/v1/changes/{}/approve", changes[0]["id"].as_str().unwrap());
    assert!(changes[0]["why"].as_str().unwrap().contains("laptop"), "{changes}");
    let own = node.call("POST", &path, Some(&alice), None).await;
    assert_eq!(own.status, 403, "{}", own.text());
    // What was added since was not agreed to.
    let challenge = json!({"kind": "security_key", "proof": {"password": PASSWORD}});
    assert_eq!(post(&node, Some(&alice), "/v1/me/passkeys", challenge).await.status, 401);
    done(node.call("POST", &path, Some(&warden), None).await);
    assert!(waits().await.is_null());
    let log = node.call("GET", "/v1/audit/search?activity=credential.change", Some(&warden), None);
    let log = log.await.text();
    assert!(log.contains("registered") && log.contains("factors confirmed"), "{log}");
}

#[tokio::test]
async fn a_reset_takes_two_administrators_and_ends_every_factor() {
    let node = Node::start().await;
    let bob = node.sign_in("bob").await;
    let mut passkey = Authenticator::new(ORIGIN);
    register(&node, &bob, "passkey", &mut passkey).await;
    let (warden, steward) = (node.sign_in(WARDEN).await, node.sign_in(STEWARD).await);
    let body = json!({"password": "a temporary one, long", "reason": "lost everything"});
    let proposed = post(&node, Some(&warden), "/v1/users/bob/credentials/reset", body).await;
    assert_eq!(proposed.status, 202, "{}", proposed.text());
    assert!(!proposed.text().contains("argon2"));
    let id = proposed.json()["change"].as_str().unwrap().to_owned();
    done(sign_in(&node, json!({}), &mut passkey).await);
    let path = format!("/v1/changes/{id}/approve");
    let own = node.call("POST", &path, Some(&warden), None).await;
    assert_eq!((own.status, own.problem()), (403, "own_change".into()));
    let shown = node.call("GET", &format!("/v1/changes/{id}"), Some(&steward), None).await;
    assert!(shown.text().contains("lost everything") && !shown.text().contains("argon2"));
    done(node.call("POST", &path, Some(&steward), None).await);
    assert_eq!(sign_in(&node, json!({}), &mut passkey).await.status, 422, "the passkey is gone");
    assert_eq!(node.call("GET", "/v1/whoami", Some(&bob), None).await.status, 401);
    let temporary = json!({"user": "bob", "password": "a temporary one, long"});
    done(post(&node, None, "/v1/login", temporary).await);
}
