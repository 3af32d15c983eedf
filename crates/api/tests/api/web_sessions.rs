//! A browser's sign-in: a cookie no script reads, worth nothing to other pages, replaced and ended.

use portcullis_api::{ENDPOINTS, Method, Right};
use serde_json::json;

use crate::client::{Answer, browse};
use crate::node::{Node, PASSWORD, WARDEN};

/// A tab with the console in it.
struct Tab<'n> {
    node: &'n Node,
    origin: String,
    cookie: String,
    csrf: String,
}

/// The cookie an answer sets, as the browser sends it back.
fn set(answer: &Answer) -> String {
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set.len(), 1, "{answer:?}");
    let set = set[0].to_str().unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert!(attributes.starts_with("Path=/; HttpOnly; SameSite=Strict"), "{set}");
    pair.to_owned()
}

impl<'n> Tab<'n> {
    async fn open(node: &'n Node, user: &str) -> Self {
        Self::open_over(node, user, &[]).await
    }

    async fn open_over(node: &'n Node, user: &str, before: &[(&str, &str)]) -> Self {
        let code = (user == WARDEN).then(|| node.code());
        let body = json!({"user": user, "password": PASSWORD, "code": code}).to_string();
        let origin = format!("http://{}", node.address);
        let mut headers = vec![("origin", origin.as_str())];
        headers.extend(before);
        let answer = browse(node.address, "POST", "/v1/session", &headers, Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(!answer.text().contains("pct_"), "the token is in the cookie alone");
        let csrf = answer.json()["csrf"].as_str().unwrap().to_owned();
        Self { node, cookie: set(&answer), origin, csrf }
    }

    async fn with(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Answer {
        let mut all = vec![("cookie", self.cookie.as_str())];
        all.extend(headers);
        browse(self.node.address, method, target, &all, body).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.with("GET", target, &[("sec-fetch-site", "same-origin")], None).await
    }

    async fn act(&self, method: &str, target: &str, body: Option<&str>) -> Answer {
        let headers = [
            ("origin", self.origin.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("x-portcullis-csrf", self.csrf.as_str()),
        ];
        self.with(method, target, &headers, body).await
    }
}

#[tokio::test]
async fn a_browser_signs_in_reads_acts_and_signs_out() {
    let node = Node::start().await;
    let tab = Tab::open(&node, "alice").await;
    let session = tab.get("/v1/session").await.json();
    assert_eq!((&session["user"], &session["csrf"]), (&json!("alice"), &json!(tab.csrf)));
    let lock = json!({"subject": {"kind": "user", "name": "bob"}, "reason": "test"}).to_string();
    let placed = tab.act("POST", "/v1/locks", Some(&lock)).await;
    assert_eq!(placed.status, 201, "{}", placed.text());
    let out = tab.act("DELETE", "/v1/session", None).await;
    assert_eq!(out.status, 204, "{}", out.text());
    assert_eq!(set(&out), "portcullis=");
    assert!(out.header("set-cookie").unwrap().ends_with("; Max-Age=0"));
    assert_eq!(tab.get("/v1/whoami").await.status, 401);
}

#[tokio::test]
async fn with_a_cookie_alone_no_endpoint_changes_anything() {
    let node = Node::start().await;
    let tab = Tab::open(&node, "alice").await;
    let other = Tab::open(&node, "bob").await;
    let own = ("origin", tab.origin.as_str());
    let csrf = ("x-portcullis-csrf", tab.csrf.as_str());
    let of_another = ("x-portcullis-csrf", other.csrf.as_str());
    let attacks: [(&str, &[(&str, &str)]); 8] = [
        ("csrf", &[own]),
        ("csrf", &[own, ("x-portcullis-csrf", "1")]),
        ("csrf", &[own, of_another]),
        ("cross_origin", &[csrf]),
        ("cross_origin", &[("origin", "https://evil.example"), csrf]),
        ("cross_origin", &[("origin", "null"), csrf]),
        ("cross_origin", &[own, ("sec-fetch-site", "same-site"), csrf]),
        ("cross_origin", &[own, own, csrf]),
    ];
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.right != Right::Anonymous) {
        let (method, example) = (endpoint.method.as_str(), endpoint.example);
        if endpoint.method == Method::Get {
            let answer =
                tab.with(method, example.target, &[("sec-fetch-site", "cross-site")], None).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (403, "cross_origin".into()),
                "{endpoint:?}"
            );
            continue;
        }
        for (why, headers) in &attacks {
            let answer = tab.with(method, example.target, headers, example.body).await;
            assert_eq!(
                (answer.status, answer.problem()),
                (403, (*why).into()),
                "{endpoint:?} {headers:?}"
            );
        }
    }
    assert_eq!(tab.get("/v1/whoami").await.status, 200, "and nothing has happened to her sign-in");
}

#[tokio::test]
async fn no_page_of_another_origin_signs_anybody_in() {
    let node = Node::start().await;
    let body = json!({"user": "alice", "password": PASSWORD}).to_string();
    for path in ["/v1/session", "/v1/login"] {
        for header in [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")] {
            let answer = browse(node.address, "POST", path, &[header], Some(&body)).await;
            assert_eq!((answer.status, answer.problem()), (403, "cross_origin".into()), "{path}");
            assert!(answer.header("set-cookie").is_none());
        }
    }
}

#[tokio::test]
async fn a_cookie_is_no_header_and_a_token_of_a_program_no_cookie() {
    let node = Node::start().await;
    let tab = Tab::open(&node, "alice").await;
    let (_, token) = tab.cookie.split_once('=').unwrap();
    assert_eq!(node.call("GET", "/v1/whoami", Some(token), None).await.status, 401);
    let bearer = node.sign_in("alice").await;
    let cookie = format!("portcullis={bearer}");
    let answer = browse(node.address, "GET", "/v1/whoami", &[("cookie", &cookie)], None).await;
    assert_eq!(answer.status, 401);
    let secure = format!("__Host-portcullis={token}");
    let answer = browse(node.address, "GET", "/v1/whoami", &[("cookie", &secure)], None).await;
    assert_eq!(answer.status, 401, "that name is for TLS");
    let twice = format!("{0}; {0}", tab.cookie);
    let answer = browse(node.address, "GET", "/v1/whoami", &[("cookie", &twice)], None).await;
    assert_eq!(answer.status, 401, "two are none");
}

#[tokio::test]
async fn signing_in_replaces_the_cookie_that_was_there() {
    let node = Node::start().await;
    let planted = Tab::open(&node, "bob").await;
    let victim = Tab::open_over(&node, "alice", &[("cookie", &planted.cookie)]).await;
    assert_ne!(planted.cookie, victim.cookie);
    assert_eq!(planted.get("/v1/whoami").await.status, 401);
    assert_eq!(victim.get("/v1/whoami").await.json()["user"], "alice");
}

#[tokio::test]
async fn a_second_factor_proved_later_replaces_the_cookie() {
    let node = Node::start().await;
    let tab = Tab::open(&node, WARDEN).await;
    let wrong = tab.act("POST", "/v1/session/factor", Some(r#"{"code":"000000"}"#)).await;
    assert_eq!(wrong.status, 401, "{}", wrong.text());
    assert_eq!(tab.get("/v1/whoami").await.status, 200, "a wrong code ends nothing");
    let used = json!({"code": node.code()}).to_string();
    let replayed = tab.act("POST", "/v1/session/factor", Some(&used)).await;
    assert_eq!(replayed.status, 401, "the code signed in already");
    let tab = Tab::open(&node, "alice").await;
    let codes = json!({"password": PASSWORD, "code": null}).to_string();
    let codes = tab.act("POST", "/v1/me/recovery-codes", Some(&codes)).await.json();
    let code = json!({"code": codes["codes"][0]}).to_string();
    let raised = tab.act("POST", "/v1/session/factor", Some(&code)).await;
    assert_eq!(raised.status, 200, "{}", raised.text());
    assert_eq!(tab.get("/v1/whoami").await.status, 401, "the old cookie is worth nothing");
    let new = Tab {
        cookie: set(&raised),
        csrf: raised.json()["csrf"].as_str().unwrap().to_owned(),
        origin: tab.origin.clone(),
        node: &node,
    };
    assert_ne!(new.csrf, tab.csrf);
    let list = new.get("/v1/me/sign-ins").await.json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!(list[0]["factors"], json!(["password", "recovery_code"]));
}

#[tokio::test]
async fn people_see_where_they_are_signed_in_and_end_it() {
    let node = Node::start().await;
    let lost = node.sign_in("alice").await;
    let bobs = node.sign_in("bob").await;
    let tab = Tab::open_over(&node, "alice", &[("user-agent", "Browser/1.0 (<b>)")]).await;
    let list = tab.get("/v1/me/sign-ins").await.json();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    let (here, there) = (&list[0], &list[1]);
    assert_eq!((&here["carrier"], &here["current"]), (&json!("cookie"), &json!(true)));
    assert_eq!(here["client"], "Browser/1.0 (<b>)");
    assert_eq!((&there["carrier"], &there["current"]), (&json!("bearer"), &json!(false)));
    let path = format!("/v1/me/sign-ins/{}", there["id"].as_str().unwrap());
    let others = node.call("DELETE", &path, Some(&bobs), None).await;
    assert_eq!((others.status, others.problem()), (404, "not_found".into()));
    assert_eq!(node.call("GET", "/v1/whoami", Some(&lost), None).await.status, 200);
    assert_eq!(tab.act("DELETE", &path, None).await.status, 204);
    assert_eq!(node.call("GET", "/v1/whoami", Some(&lost), None).await.status, 401);
    assert_eq!(tab.act("DELETE", &path, None).await.status, 404);
}

#[tokio::test]
async fn a_new_password_ends_every_sign_in() {
    let node = Node::start().await;
    let (tab, other) = (Tab::open(&node, "alice").await, Tab::open(&node, "alice").await);
    let body = json!({"old": PASSWORD, "new": "another long passphrase"}).to_string();
    let answer = tab.act("POST", "/v1/me/password", Some(&body)).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(tab.get("/v1/whoami").await.status, 401);
    assert_eq!(other.get("/v1/whoami").await.status, 401);
}

#[tokio::test]
async fn a_tab_nobody_uses_is_signed_out_even_while_it_listens() {
    let node = Node::start_idle(std::time::Duration::from_secs(2)).await;
    let tab = Tab::open(&node, "alice").await;
    let (address, cookie) = (node.address, tab.cookie.clone());
    let listening = tokio::spawn(async move {
        browse(address, "GET", "/v1/audit/tail", &[("cookie", &cookie)], None).await
    });
    let broke_off = tokio::time::timeout(std::time::Duration::from_secs(15), listening).await;
    assert!(broke_off.expect("it goes on").is_err(), "it ends as if nothing were missing");
    assert_eq!(tab.get("/v1/whoami").await.status, 401);
}
