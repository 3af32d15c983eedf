//! What everybody can send: other hosts, other methods, too much, too slowly, not HTTP.

use std::time::Duration;

use portcullis_api::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::client::raw;
use crate::node::{Node, recorder};

#[tokio::test]
async fn a_name_that_was_made_to_resolve_here_is_refused() {
    let node = Node::start().await;
    for path in ["/v1/login", "/v1/whoami", "/healthz", "/nowhere"] {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: rebind.example\r\nConnection: close\r\n\r\n");
        let answer = raw(node.address, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    }
    let none = raw(node.address, b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(none.starts_with("HTTP/1.1 400 "), "{none}");
}

#[tokio::test]
async fn every_answer_forbids_caches_and_guessing_and_none_invites_other_origins() {
    let node = Node::start().await;
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/v1/whoami", 401),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/whoami", 405),
        ("OPTIONS", "/v1/login", 405),
    ] {
        let answer = node.call(method, path, None, None).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(!answer.headers.keys().any(|name| name.as_str().starts_with("access-control")));
        if status >= 400 {
            answer.problem();
        }
    }
}

#[tokio::test]
async fn bodies_are_json_of_a_known_form_and_size() {
    let node = Node::start().await;
    let token = node.sign_in("alice").await;
    let lock = async |body: &str| {
        let answer = node.call("POST", "/v1/locks", Some(&token), Some(body)).await;
        (answer.status, answer.problem())
    };
    assert_eq!(lock("{").await.0, 400);
    assert_eq!(lock("{}").await.0, 422);
    let unknown = r#"{"subject":{"kind":"user","name":"bob"},"reason":"x","forever":true}"#;
    assert_eq!(lock(unknown).await, (422, "invalid".into()));
    let large = format!(r#"{{"reason":"{}"}}"#, "x".repeat(1024 * 1024));
    assert_eq!(lock(&large).await, (413, "too_large".into()));
    let head = "POST /v1/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}";
    let answer = raw(node.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    let answer = node.call("GET", "/v1/sessions?alive=true", Some(&token), None).await;
    assert_eq!((answer.status, answer.problem()), (422, "invalid".into()));
}

#[tokio::test]
async fn two_authorizations_are_none() {
    let node = Node::start().await;
    let token = node.sign_in("alice").await;
    let head = format!(
        "GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let answer = raw(node.address, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn endless_heads_and_other_protocols_are_cut_off() {
    let node = Node::start().await;
    let many = "X: y\r\n".repeat(100);
    let large = format!("X: {}\r\n", "y".repeat(64 * 1024));
    for fields in [many, large] {
        let head = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let answer = raw(node.address, head.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let answer = raw(node.address, b"SSH-2.0-OpenSSH_9.9\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(node.call("GET", "/healthz", None, None).await.status, 200);
}

#[tokio::test]
async fn whoever_does_not_finish_a_head_or_never_begins_is_let_go() {
    let node = Node::start().await;
    let closed = async |begun: &[u8]| {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        tokio::time::timeout(Duration::from_secs(15), read).await.is_ok()
    };
    let half = b"GET /healthz HTTP/1.1\r\nHost: loc";
    assert_eq!(tokio::join!(closed(b""), closed(half)), (true, true));
}

#[tokio::test]
async fn a_listener_that_others_can_reach_is_refused() {
    let node = Node::start().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let stop = CancellationToken::new();
    let error = serve(node.control.clone(), listener, recorder(), stop).await.unwrap_err();
    assert!(error.to_string().contains("not a loopback address"), "{error}");
}
