//! What watches the node asks: alive, ready, how it is doing.

use crate::node::Node;

#[tokio::test]
async fn a_node_says_that_it_is_alive_and_ready() {
    let node = Node::start().await;
    assert_eq!(node.call("GET", "/healthz", None, None).await.status, 200);
    let answer = node.call("GET", "/readyz", None, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_node_that_lets_nobody_in_says_why() {
    let node = Node::start().await;
    node.control.gateway().stop(std::time::Duration::ZERO).await;
    let answer = node.call("GET", "/readyz", None, None).await;
    assert_eq!((answer.status, answer.problem()), (503, "not_ready".into()));
    assert!(answer.text().contains("shutting down"), "{}", answer.text());
    assert_eq!(node.call("GET", "/healthz", None, None).await.status, 200);
}

#[tokio::test]
async fn metrics_name_endpoints_and_never_what_was_sent() {
    let node = Node::start().await;
    node.call("GET", "/v1/requests/req-sent-by-somebody", None, None).await;
    let answer = node.call("GET", "/metrics", None, None).await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    assert!(text.contains("process_resident_memory_bytes"), "{text}");
    assert!(text.contains("path=\"/v1/requests/{id}\""), "{text}");
    assert!(!text.contains("sent-by-somebody"), "{text}");
}
