//! Certificates people sign in with: used with plain `ssh`, and forged by somebody who has stolen the
//! gate's own authority, so that each check is met alone.

use std::path::Path;
use std::time::Instant;

use portcullis_domain::Timestamp;
use portcullis_store::{MasterKeySource, Store};
use portcullis_testkit::{CertificateAuthority, SshClient, UserKey, current_user};
use serde_json::json;

use crate::gate::{Gate, Plan, SOON};
use crate::http::Api;
use crate::node::portcullis;

/// Twelve hours, and the five minutes clocks may differ by.
const LONGEST_SECONDS: i64 = 12 * 3600 + 300;

#[test]
fn a_key_of_ones_own_is_certified_for_plain_ssh() {
    let gate = Plan::base().start();
    let (home, key) = (tempfile::tempdir().unwrap(), UserKey::generate());
    let address = format!("http://{}", gate.node.api);
    let public = key.public_path();
    let output = portcullis(
        &["login", "alice", "--key", public.to_str().unwrap()],
        &[
            ("PORTCULLIS_HOME", home.path().to_str().unwrap()),
            ("PORTCULLIS_ADDRESS", &address),
            ("PORTCULLIS_PASSWORD", &gate.person("alice").password),
            ("PORTCULLIS_CODE", &gate.code("alice")),
        ],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let certificate = home.path().join("own-key-cert.pub");
    let (after, before) = validity(&certificate);
    assert!(before - after <= LONGEST_SECONDS, "good for {} s", before - after);

    let plain = gate.stranger("alice:web").identity_files(&key.private_path(), Some(&certificate));
    assert_eq!(plain.run(&["echo in"]).assert_success().stdout_text(), "in\n");
    let config = home.path().join("ssh_config");
    let by_name = SshClient::with_config(&config, &format!("{}@web.portcullis", current_user()));
    assert_eq!(by_name.run(&["echo in"]).assert_success().stdout_text(), "in\n");
    let bare = gate.stranger("alice:web").identity_files(&key.private_path(), None);
    let _ = bare.run(&["true"]).assert_refused();
}

#[test]
fn a_forged_certificate_is_refused_for_what_is_wrong_with_it() {
    let mut plan = Plan::base();
    plan.people = vec![("mallory", "developers")];
    let gate = plan.start();
    let thief = Thief::new(&gate);
    // What follows is refused for the one thing that differs from this.
    let control = thief.forge(&[]);
    let _ = gate.stranger("alice:web").identity(&control).run(&["true"]).assert_success();

    let command = ["-O", "critical:force-command=true"];
    let source = ["-O", "critical:source-address=127.0.0.1/32"];
    let unknown = ["-O", "critical:new@example.com"];
    // Of the last two the SSH library tells nobody why; that the sign-in came to nothing is logged.
    let cases: [(&str, &[&str], &str); 12] = [
        ("another principal", &["-n", "mallory"], "is not for `alice` alone"),
        ("two principals", &["-n", "alice,mallory"], "is not for `alice` alone"),
        ("a principal in capitals", &["-n", "Alice"], "is not for `alice` alone"),
        ("a command", &command, "critical option `force-command`"),
        ("a source", &source, "critical option `source-address`"),
        ("an unknown option", &unknown, "critical option `new@example.com`"),
        ("a long life", &["-V", "-1m:+13h"], "longer than 12 hours"),
        ("for ever", &["-V", "always:forever"], "longer than 12 hours"),
        ("another key id", &["-I", "portcullis:user:mallory"], "key id"),
        ("a serial never given", &["-z", "4711"], "4711 is revoked"),
        ("expired", &["-V", "-2h:-1h"], "was not completed"),
        ("not valid yet", &["-V", "+1h:+2h"], "was not completed"),
    ];
    let mut failed = Vec::new();
    for (what, changed, why) in cases {
        let key = thief.forge(changed);
        let before = gate.audit().len();
        let output = gate.stranger("alice:web").identity(&key).run(&["true"]).assert_refused();
        assert!(
            output.stderr_text().contains("Permission denied"),
            "{what}: {}",
            output.describe()
        );
        let said = || gate.audit().into_iter().skip(before);
        let deadline = Instant::now() + SOON;
        while !said().any(|entry| entry.why().contains(why)) {
            if Instant::now() > deadline {
                let said: Vec<_> = said().map(|entry| entry.why().to_owned()).collect();
                failed.push(format!("{what}: {said:?}"));
                break;
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    // Mallory's own sign-in does not make alice's certificate hers.
    let _ = gate.stranger("mallory:web").identity(&control).run(&["true"]).assert_refused();
}

/// Somebody with the gate's sign-in authority and a genuine certificate of alice's.
struct Thief {
    authority: CertificateAuthority,
    serial: String,
    factors: String,
}

impl Thief {
    fn new(gate: &Gate) -> Self {
        let key = UserKey::generate();
        let body = json!({
            "user": "alice", "password": gate.person("alice").password, "code": gate.code("alice"),
            "public_key": key.public_line(),
        });
        let view = Api::new(gate.node.api, None).post("/v1/login", &body);
        std::fs::write(key.certificate_path(), view["certificate"].as_str().unwrap()).unwrap();
        let shown = listing(&key.certificate_path());
        let serial = shown.split("Serial: ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let at = Timestamp::from_millis(validity(&key.certificate_path()).0 * 1000).to_string();
        Self {
            authority: CertificateAuthority::from_private_text(&stolen(gate)),
            serial: serial.unwrap().to_owned(),
            factors: format!(
                "extension:factors@portcullis={}",
                json!([{"kind": "password", "at": at}, {"kind": "totp", "at": at}])
            ),
        }
    }

    /// A key and a certificate as the gate would give it, but for `changed`: of two values for one
    /// option of `ssh-keygen` the later holds.
    fn forge(&self, changed: &[&str]) -> UserKey {
        let key = UserKey::generate();
        let mut arguments =
            vec!["-I", "portcullis:user:alice", "-n", "alice", "-V", "-1m:+1h", "-z", &self.serial];
        arguments.extend(["-O", &self.factors]);
        arguments.extend(changed);
        self.authority.sign_with(&key, &arguments);
        key
    }
}

/// The sign-in authority's private key, out of the node's own store.
fn stolen(gate: &Gate) -> String {
    let url = format!("sqlite://{}", gate.path("data/portcullis.db").display());
    let master = MasterKeySource::File(gate.path("data/master.key"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let now = Timestamp::from_millis(0);
        let store = Store::open_with(&url, &master, now).await.unwrap();
        store.key("sign_in_authority").await.unwrap().unwrap()
    });
    String::from_utf8(found.expose().clone()).unwrap()
}

fn listing(certificate: &Path) -> String {
    let mut keygen = std::process::Command::new("ssh-keygen");
    let output = keygen.env("TZ", "UTC").arg("-Lf").arg(certificate).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// From when and until when, in seconds since 1970.
fn validity(certificate: &Path) -> (i64, i64) {
    let shown = listing(certificate);
    let mut words = shown.split("Valid: from ").nth(1).unwrap().split_whitespace();
    let mut next = || {
        let text = words.next().unwrap().to_owned() + "Z";
        text.parse::<Timestamp>().unwrap().as_millis() / 1000
    };
    let after = next();
    words.next();
    let text = words.next().unwrap().to_owned() + "Z";
    (after, text.parse::<Timestamp>().unwrap().as_millis() / 1000)
}
