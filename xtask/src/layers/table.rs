//! Which crate may use which, and why. To change a layer is to change this file, where a
//! reviewer sees it.

/// A crate may use another for this reason.
pub(crate) struct Edge {
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
    pub(crate) reason: &'static str,
}

const fn edge(from: &'static str, to: &'static str, reason: &'static str) -> Edge {
    Edge { from, to, reason }
}

/// The edges of what is shipped. Every one is used; every one that is used stands here.
pub(crate) const EDGES: &[Edge] = &[
    edge("resources", "domain", "a resource is parsed into the shared nouns"),
    edge("policy", "domain", "facts and decisions speak of principals, targets and terms"),
    edge("proof", "domain", "facts are what an invariant is proved of"),
    edge("proof", "policy", "what is proved is what decides; a counterexample is confirmed by it"),
    edge("store", "domain", "repositories keep the shared nouns"),
    edge("identity", "domain", "authentication proves who a principal is"),
    edge("gateway", "domain", "the one path speaks in the shared nouns"),
    edge("gateway", "policy", "the one path asks for a decision"),
    edge("gateway", "evidence", "it records before it forwards and audits before it answers"),
    edge("gateway", "store", "it loads facts and watches grants and locks"),
    edge("gateway", "identity", "it runs the login state machine"),
    edge("connectors", "domain", "exports carry times and secrets in the shared types"),
    edge("connectors", "evidence", "exports read the log; tiles may lie in a bucket"),
    edge("protocol-ssh", "domain", "the room names targets, actions and terms"),
    edge("protocol-ssh", "gateway", "the room reaches a target only with a permit of the gate"),
    edge("protocol-postgres", "domain", "the room names targets, acts and terms"),
    edge(
        "protocol-postgres",
        "gateway",
        "the room reaches a server only with a permit of the gate",
    ),
    edge("protocol-postgres", "sql", "what a statement can reach is told before it is forwarded"),
    edge("control", "domain", "use cases speak in the shared nouns"),
    edge("control", "resources", "plan and apply read resources"),
    edge("control", "policy", "why and who-can explain decisions; plan compares them"),
    edge("control", "proof", "plan, apply and prove ask for proofs"),
    edge("control", "evidence", "use cases are audited; recordings and the log are read"),
    edge("control", "store", "use cases change what is stored"),
    edge("control", "identity", "enrolment and sign-in issue credentials and certificates"),
    edge(
        "control",
        "connectors",
        "who may, sees how exports stand; one that is overdue is a finding",
    ),
    edge("control", "gateway", "locks, kills and drops end live sessions"),
    edge("api", "domain", "answers carry the shared nouns"),
    edge("api", "control", "an endpoint calls one use case"),
    edge("app", "domain", "the binary chooses and assembles the concrete types"),
    edge("app", "resources", "the binary prints the schema and reads files for plan"),
    edge("app", "evidence", "audit verify works offline, without a server"),
    edge("app", "store", "the binary chooses SQLite or PostgreSQL"),
    edge("app", "identity", "the binary makes the first user and the certificate authority"),
    edge("app", "gateway", "the binary opens the gate"),
    edge("app", "proof", "the binary chooses the solver, and doctor looks for it"),
    edge("app", "protocol-ssh", "the binary opens the SSH room"),
    edge("app", "protocol-postgres", "the binary opens the PostgreSQL room"),
    edge("app", "connectors", "the binary chooses the receivers of exports"),
    edge("app", "control", "the binary runs the reconcilers"),
    edge("app", "api", "the binary serves the API"),
];

/// The edges only tests use. `testkit` may be used by the tests of every crate.
pub(crate) const TEST_EDGES: &[Edge] = &[
    edge("api", "evidence", "endpoints are tested over a real node, which has a log"),
    edge("api", "gateway", "endpoints are tested over a real node, which has a gate"),
    edge("api", "identity", "endpoints are tested over a real node, which has authorities"),
    edge("api", "store", "endpoints are tested over a real node, which has a store"),
    edge("proof", "resources", "policy sets with known holes are written as resources"),
    edge("protocol-ssh", "evidence", "the room is tested over a real gate, which has a log"),
    edge("protocol-ssh", "identity", "the room is tested over a real gate, which has authorities"),
    edge("protocol-ssh", "store", "the room is tested over a real gate, which has a store"),
];

/// The crate of real parts for tests, never part of what is shipped.
pub(crate) const TESTKIT: &str = "testkit";

/// A heavy or sharp dependency, and the only crates that may name it.
pub(crate) struct Fence {
    pub(crate) dependency: &'static str,
    pub(crate) inside: &'static [&'static str],
    pub(crate) reason: &'static str,
}

const fn fence(
    dependency: &'static str,
    inside: &'static [&'static str],
    reason: &'static str,
) -> Fence {
    Fence { dependency, inside, reason }
}

/// Fences hold for tests too.
pub(crate) const FENCES: &[Fence] = &[
    fence("sqlx", &["store"], "SQL stays behind the repositories"),
    fence(
        "cedar-policy",
        &["policy", "proof"],
        "everybody else asks for a decision or a proof, not for Cedar",
    ),
    fence("cedar-policy-symcc", &["proof"], "the symbolic compiler and its solver stay together"),
    fence("axum", &["api"], "HTTP stays in the API"),
    fence("metrics-exporter-prometheus", &["api"], "only the edge exposes metrics"),
    fence("russh", &["protocol-ssh", "identity"], "the SSH wire, and keys and certificates"),
    fence("serde-saphyr", &["resources"], "YAML is read in one place, strictly"),
    fence("schemars", &["resources"], "schemas describe resources"),
    fence("argon2", &["identity"], "passwords are hashed in one place"),
    fence("totp-rs", &["identity"], "one-time codes are checked in one place"),
    fence("zstd", &["evidence"], "decompression is bounded in one place"),
    fence("avt", &["evidence"], "hostile terminal output is emulated within bounds, in one place"),
    fence("clap", &["app"], "only the binary has a command line"),
    fence("toml", &["app"], "only the binary reads its configuration"),
    fence(
        "hyper",
        &["app", "api", "connectors"],
        "HTTP/1.1: the command line is a client of the API; the API bounds each connection; connectors send to the outside",
    ),
    fence(
        "rustls",
        &["connectors", "gateway", "protocol-postgres"],
        "who is trusted is decided by connectors outside and by the gateway for doors and targets; rooms only drive it",
    ),
    fence(
        "tokio-rustls",
        &["connectors", "protocol-postgres"],
        "TLS begins where a connection is made or taken",
    ),
    fence(
        "rustls-native-certs",
        &["connectors", "gateway"],
        "who is trusted is decided in two places: for the outside, and for targets",
    ),
    fence(
        "rcgen",
        &["identity", "connectors"],
        "X.509 certificates are made by the authority, and by tests of connectors",
    ),
    fence("postgres-protocol", &["protocol-postgres"], "the PostgreSQL wire"),
    fence("sqlparser", &["sql"], "SQL is read in one place, and what is not understood is refused"),
    fence(
        "rustix",
        &["testkit", "gateway", "proof"],
        "the system calls of the program's own: the hashing thread's priority, the solver's memory",
    ),
];

/// Crates that decide without looking: no runtime, no sockets, no database.
pub(crate) const PURE: &[&str] = &["domain", "resources", "policy", "identity", "sql"];

/// What a pure crate cannot have and stay pure; its tests may.
pub(crate) const IMPURE: &[&str] =
    &["tokio", "tokio-util", "futures", "async-trait", "hyper", "axum", "sqlx", "reqwest"];
