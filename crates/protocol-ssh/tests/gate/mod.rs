//! A whole gate in one process for tests: real store, log and recordings in a temporary
//! directory, the SSH room on loopback, and a real OpenSSH server as its target.

#![allow(dead_code, reason = "not every test file uses everything")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::{
    Access, ActionKind, Environment, EnvironmentName, Login, Protocol, Recording, Resource, Role,
    RoleAssignment, RoleName, Rule, Secret, SshCredential, SshTarget, Target, TargetName, Tier,
    Timestamp, User, UserName,
};
use portcullis_evidence::log::{Log, LogOptions, NoteSigner};
use portcullis_gateway::{Gateway, Hasher, Parts, SystemClock};
use portcullis_identity::authority::{SignInAuthority, TargetAuthority, TlsAuthority};
use portcullis_identity::keys::PrivateKey;
use portcullis_identity::keys::ssh_key::private::Ed25519Keypair;
use portcullis_identity::password::{Parameters, Passwords};
use portcullis_identity::random::OsRandom;
use portcullis_protocol_ssh::{Options, SshRoom};
use portcullis_store::{Changes, MasterKey, Store};
use portcullis_testkit::{SshClient, SshServer, UserKey, current_user};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Password of the user `bob`.
pub(crate) const BOBS_PASSWORD: &str = "correct horse battery staple";

/// What stands and runs.
pub(crate) struct Gate {
    pub(crate) _runtime: Runtime,
    pub(crate) gateway: Gateway,
    pub(crate) port: u16,
    pub(crate) target: SshServer,
    pub(crate) alice: UserKey,
    stop: CancellationToken,
    _directory: tempfile::TempDir,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A gate whose only target is `web`, where `alice` (by key) and `bob` (by password) may do `allowed`.
pub(crate) fn start(allowed: &[ActionKind], options: Options) -> Gate {
    start_with(allowed, options, |_| {})
}

/// The same, with a last word on the target.
pub(crate) fn start_with(
    allowed: &[ActionKind],
    options: Options,
    change: impl FnOnce(&mut Target),
) -> Gate {
    start_for(UserKey::generate(), allowed, options, change)
}

/// The same, for a person with this key.
pub(crate) fn start_for(
    alice: UserKey,
    allowed: &[ActionKind],
    options: Options,
    change: impl FnOnce(&mut Target),
) -> Gate {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(4 << 20)
        .enable_all()
        .build()
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let authority = TargetAuthority::generate(&mut OsRandom).unwrap();
    let target = SshServer::builder()
        .trust_user_authority(authority.public_key_line().unwrap())
        .extra_line("MaxSessions 100")
        .extra_line("AcceptEnv LANG LC_*")
        .start();
    let mut declared = declared_target(&target);
    change(&mut declared);
    let resources = resources(declared, &alice, allowed);
    let root = directory.path().to_owned();
    let (gateway, port, stop) = runtime.block_on(async move {
        let now = Timestamp::from_millis(1_790_000_000_000);
        let url = format!("sqlite://{}/store.db", root.display());
        let store = Store::open(&url, MasterKey::generate().unwrap(), now).await.unwrap();
        let author = UserName::new("author").unwrap();
        let changes = Changes { upserts: resources, deletes: vec![] };
        store.apply(&changes, None, &author, now).await.unwrap();
        let recording_keys = store.key_wrap("recordings", now).await.unwrap();
        std::fs::create_dir(root.join("recordings")).unwrap();
        let signer = NoteSigner::new("test.log", &[7; 32]).unwrap();
        let log = Log::open(&root.join("log"), signer, LogOptions::default()).unwrap();
        let cheap = Parameters { memory_kib: 8 * 1024, iterations: 1, lanes: 1 };
        let passwords = Arc::new(Passwords::new(cheap).unwrap());
        let hasher = Hasher::start(passwords).unwrap();
        let hash = hasher.hash(Secret::new(BOBS_PASSWORD.to_owned())).await.unwrap();
        let bob = UserName::new("bob").unwrap();
        store.set_password_hash(&bob, hash.as_str(), now).await.unwrap();
        let gateway = Gateway::start(Parts {
            store,
            log,
            clock: Arc::new(SystemClock::new()),
            sign_in_authority: SignInAuthority::generate(&mut OsRandom).unwrap(),
            target_authority: authority,
            tls_authority: tls_authority(),
            recordings: root.join("recordings"),
            recording_keys,
            hasher,
            node: "test".into(),
            connections_per_person: portcullis_gateway::CONNECTIONS_PER_PERSON,
        })
        .await
        .unwrap();
        let stop = CancellationToken::new();
        let supervised = gateway.clone();
        let until = stop.clone();
        tokio::spawn(async move { supervised.supervise(until).await });
        let host_key = PrivateKey::from(Ed25519Keypair::from_seed(&[9; 32]));
        let room = SshRoom::new(gateway.clone(), options, host_key);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(room.serve(listener, stop.clone()));
        (gateway, port, stop)
    });
    Gate { _runtime: runtime, gateway, port, target, alice, stop, _directory: directory }
}

fn declared_target(server: &SshServer) -> Target {
    Target {
        name: TargetName::new("web").unwrap(),
        environment: EnvironmentName::new("development").unwrap(),
        labels: Default::default(),
        protocol: Protocol::Ssh(SshTarget {
            host: "127.0.0.1".into(),
            port: server.port(),
            aliases: BTreeSet::new(),
            logins: vec![Login::new(&current_user()).unwrap()],
            host_keys: vec![server.host_key_line()],
            host_authorities: vec![],
            credential: SshCredential::Certificate,
            legacy_algorithms: BTreeSet::new(),
            accept_env: vec!["LC_*".into()],
        }),
    }
}

fn resources(target: Target, alice: &UserKey, allowed: &[ActionKind]) -> Vec<Resource> {
    let user = |name: &str, keys: Vec<String>| {
        Resource::User(User {
            name: UserName::new(name).unwrap(),
            full_name: None,
            groups: BTreeSet::new(),
            ssh_keys: keys,
            disabled: false,
        })
    };
    let role = RoleName::new("developer").unwrap();
    vec![
        Resource::Environment(Environment {
            name: EnvironmentName::new("development").unwrap(),
            tier: Tier::Development,
            access: Access::Standing,
            approval: None,
            approval_for: Default::default(),
            requests: Default::default(),
            max_grant: Duration::from_secs(3600),
            second_factor_max_age: None,
            recording: Recording::Required,
            recordings: Default::default(),
            max_session: None,
            idle_timeout: None,
        }),
        Resource::Target(target),
        user("alice", vec![alice.public_line()]),
        user("bob", vec![]),
        Resource::Role(Role {
            name: role.clone(),
            description: None,
            allow: vec![Rule { actions: allowed.iter().copied().collect(), ..Rule::default() }],
            deny: vec![],
            inherits: BTreeSet::new(),
            conditions: Default::default(),
            break_glass: None,
            control: BTreeSet::new(),
        }),
        Resource::RoleAssignment(RoleAssignment {
            name: RoleName::new("everyone").unwrap(),
            role,
            users: ["alice", "bob"].map(|name| UserName::new(name).unwrap()).into(),
            groups: BTreeSet::new(),
        }),
    ]
}

impl Gate {
    /// Alice's client, aimed at the target.
    pub(crate) fn alice(&self) -> SshClient {
        self.client("alice:web").identity(&self.alice)
    }

    /// A client with this user string and no key.
    pub(crate) fn client(&self, user: &str) -> SshClient {
        SshClient::new(self.port).user(user).accept_any_host_key().timeout(Duration::from_secs(60))
    }
}

fn tls_authority() -> TlsAuthority {
    let now = portcullis_gateway::Clock::now(&SystemClock::new());
    let made = TlsAuthority::generate(now).unwrap();
    TlsAuthority::from_pem(&made).unwrap()
}
