//! A node: everything real, in a directory of its own, listening on loopback.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_api::{install_recorder, serve};
use portcullis_control::view::ResourceFile;
use portcullis_control::{BootstrapUser, Control, Settings, SolverSettings};
use portcullis_domain::{ControlAction, Secret};
use portcullis_evidence::log::{Log, LogOptions, NoteSigner};
use portcullis_gateway::{Clock, Gateway, Hasher, Parts, SystemClock};
use portcullis_identity::authority::{SignInAuthority, TargetAuthority, TlsAuthority};
use portcullis_identity::password::{Parameters, Passwords};
use portcullis_identity::random::OsRandom;
use portcullis_identity::totp::{TotpSecret, current_code};
use portcullis_store::{MasterKey, Store};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, call};

/// Everyone's password.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// People with every control right, beside `alice`: as many as there are endpoints, so that each
/// can be called by somebody whom no other call has touched.
pub(crate) const ADMINISTRATORS: usize = 128;

/// Has every control right too, and one-time codes, which deciding for others takes.
pub(crate) const WARDEN: &str = "warden";
/// The same for a second such person.
pub(crate) const STEWARD: &str = "steward";
/// After how long without use a browser's sign-in ends.
const IDLE: Duration = Duration::from_secs(1800);
/// Base32.
const WARDEN_CODES: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

/// `alice` has every control right, `nora` none, and `bob` is someone else.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) control: Control,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    _directory: TempDir,
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with("", &[]).await
    }

    /// A node with more resources, and people in more groups, from the beginning.
    pub(crate) async fn start_with(more: &str, groups: &[(&str, &str)]) -> Self {
        Self::start_over(more, groups, SolverSettings::default(), IDLE).await
    }

    /// With sign-ins of browsers that end after so long without use.
    pub(crate) async fn start_idle(idle: Duration) -> Self {
        Self::start_over("", &[], SolverSettings::default(), idle).await
    }

    /// With a solver of the test's own.
    pub(crate) async fn start_with_solver(solver: SolverSettings) -> Self {
        Self::start_over("", &[], solver, IDLE).await
    }

    async fn start_over(
        more: &str,
        groups: &[(&str, &str)],
        solver: SolverSettings,
        idle: Duration,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let control = empty_with(&directory, solver, idle).await;
        bootstrap(&control, more, groups).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = serve(control.clone(), listener, recorder(), stop.clone());
        Self { address, control, stop, served: tokio::spawn(serving), _directory: directory }
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        target: &str,
        token: Option<&str>,
        body: Option<&str>,
    ) -> Answer {
        call(self.address, method, target, token, body).await
    }

    /// A token for this person.
    pub(crate) async fn sign_in(&self, user: &str) -> String {
        let code = matches!(user, WARDEN | STEWARD).then(|| self.code());
        let body = json!({"user": user, "password": PASSWORD, "code": code}).to_string();
        let answer = self.call("POST", "/v1/login", None, Some(&body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// The present one-time code of the warden and the steward.
    pub(crate) fn code(&self) -> String {
        let secret = TotpSecret::from_base32(&Secret::new(WARDEN_CODES.into())).unwrap();
        current_code(&secret, self.control.gateway().now()).expose().clone()
    }
}

pub(crate) fn recorder() -> metrics_exporter_prometheus::PrometheusHandle {
    static RECORDER: OnceLock<metrics_exporter_prometheus::PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| install_recorder().unwrap()).clone()
}

/// Use cases over a new store and log, before there is anybody.
pub(crate) async fn empty(directory: &TempDir, solver: SolverSettings) -> Control {
    empty_with(directory, solver, IDLE).await
}

async fn empty_with(directory: &TempDir, solver: SolverSettings, idle: Duration) -> Control {
    let clock = SystemClock::new();
    let now = clock.now();
    let url = format!("sqlite://{}", directory.path().join("portcullis.db").display());
    let store = Store::open(&url, MasterKey::generate().unwrap(), now).await.unwrap();
    let signer = NoteSigner::new("gate.example/log", &[7; 32]).unwrap();
    let at = directory.path().join("log");
    let opened = tokio::task::spawn_blocking(move || Log::open(&at, signer, LogOptions::default()));
    let recordings = directory.path().join("recordings");
    std::fs::create_dir(&recordings).unwrap();
    // The cheapest Argon2id there is: these passwords protect nothing.
    let cheap = Parameters { memory_kib: 8, iterations: 1, lanes: 1 };
    let passwords = Arc::new(Passwords::new(cheap).unwrap());
    let gateway = Gateway::start(Parts {
        recording_keys: store.key_wrap("recordings", now).await.unwrap(),
        store,
        log: opened.await.unwrap().unwrap(),
        clock: Arc::new(clock),
        sign_in_authority: SignInAuthority::generate(&mut OsRandom).unwrap(),
        target_authority: TargetAuthority::generate(&mut OsRandom).unwrap(),
        tls_authority: tls_authority(),
        recordings,
        hasher: Hasher::start(passwords).unwrap(),
        node: "test".into(),
        connections_per_person: portcullis_gateway::CONNECTIONS_PER_PERSON,
    })
    .await
    .unwrap();
    let settings = Settings {
        ssh_address: "127.0.0.1:2222".into(),
        postgres_address: None,
        gate_host_key: HOST_KEY.into(),
        log_directory: directory.path().join("log"),
        sign_in_lifetime: Duration::from_secs(3600),
        sign_in_idle: idle,
        solver,
    };
    Control::new(gateway, settings)
}

async fn bootstrap(control: &Control, more: &str, groups: &[(&str, &str)]) {
    let people = ["alice", "bob", "nora", WARDEN, STEWARD].into_iter().map(str::to_owned);
    let people: Vec<String> = people.chain((0..ADMINISTRATORS).map(administrator)).collect();
    let users = people.iter().map(|name| BootstrapUser {
        name: name.parse().unwrap(),
        password: Secret::new(PASSWORD.into()),
        totp_secret: matches!(name.as_str(), WARDEN | STEWARD)
            .then(|| Secret::new(WARDEN_CODES.into())),
    });
    let files = vec![ResourceFile {
        name: "resources.yaml".into(),
        text: resources(&people, groups) + more,
    }];
    control.bootstrap(&"alice".parse().unwrap(), files, users.collect()).await.unwrap();
}

/// The name of one of those people.
pub(crate) fn administrator(number: usize) -> String {
    format!("admin-{number}")
}

pub(crate) const HOST_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEdArmNHsBcsASVP9VuuWv9RmfREbn9tZD1AGFs/R1FF";

fn resources(people: &[String], more: &[(&str, &str)]) -> String {
    let rights: Vec<&str> = ControlAction::ALL.iter().map(|action| action.as_str()).collect();
    let mut yaml = format!(
        "kind: Environment
metadata: {{name: production}}
spec: {{tier: production, approval: {{groups: [leads], count: 1}}}}
---
kind: Target
metadata: {{name: web-1}}
spec:
  environment: production
  ssh:
    host: 127.0.0.1
    logins: [deploy]
    host_keys: [{HOST_KEY}]
    credential: {{password: {{secret: web-1}}}}
---
kind: Group
metadata: {{name: leads}}
spec: {{}}
---
kind: Group
metadata: {{name: administrators}}
spec: {{}}
---
kind: Role
metadata: {{name: administrator}}
spec:
  control: [{}]
---
kind: RoleAssignment
metadata: {{name: administrators}}
spec: {{role: administrator, groups: [administrators]}}
",
        rights.join(", ")
    );
    for name in people {
        let own = if matches!(name.as_str(), "bob" | "nora") { "" } else { "administrators" };
        let more = more.iter().filter(|(user, _)| user == name).map(|(_, group)| *group);
        let groups: Vec<&str> = more.chain([own]).filter(|group| !group.is_empty()).collect();
        let groups = groups.join(", ");
        write!(yaml, "---\nkind: User\nmetadata: {{name: {name}}}\nspec: {{groups: [{groups}]}}\n")
            .unwrap();
    }
    yaml
}

fn tls_authority() -> TlsAuthority {
    let now = portcullis_gateway::Clock::now(&SystemClock::new());
    let made = TlsAuthority::generate(now).unwrap();
    TlsAuthority::from_pem(&made).unwrap()
}
