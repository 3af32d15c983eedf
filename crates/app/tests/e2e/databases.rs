//! Databases: real `psql` through the gate to a real PostgreSQL, beside the same directly.
//!
//! Must never know: how the room does it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use portcullis_testkit::{PostgresServer, TempDir, free_port};
use serde_json::{Value, json};

use crate::gate::{Gate, Plan, SOON};
use crate::node::portcullis;

/// Longest wait for one run of a client.
const CLIENT_PATIENCE: Duration = Duration::from_secs(60);

/// What the statements below leave and find.
const SCRIPT: &str = "create table notes (id int primary key, text text);
    insert into notes values (1, 'first'), (2, 'second');
    select * from notes order by id;
    begin; update notes set text = 'changed' where id = 2; rollback;
    select text from notes where id = 2;
    copy notes to stdout;
    select 1/0;
    select count(*) from generate_series(1, 100000);
    \\d notes
    \\bind 2 \\g
    drop table notes;";

#[test]
fn psql_says_through_the_gate_what_it_says_directly() {
    let stage = Stage::new(
        "actions: [db_connect, db_read, db_write, db_ddl, db_copy_out, db_call, db_session]",
    );
    let direct = stage.directly(&["-c", "select current_user"]);
    assert_eq!(text(&direct), "app\n");
    let through = stage.psql("alice", "shop/shop", &["-c", "select current_user"]);
    assert_eq!(text(&through), "app\n", "{}", errors(&through));
    let script = SCRIPT.replace("\\bind 2 \\g\n", "");
    for statement in [script.as_str(), "select repeat('x', 2000000)", "select nothing", "notify a"]
    {
        let file = stage.file(statement);
        let direct = stage.directly(&["-f", &file]);
        let through = stage.psql("alice", "shop/shop", &["-f", &file]);
        assert_eq!(text(&through), text(&direct), "{statement}: {}", errors(&through));
        assert_eq!(errors(&through), errors(&direct), "{statement}");
    }
    let input =
        "copy_in (a int);\ncopy copy_in from stdin;\n1\n2\n\\.\nselect sum(a) from copy_in;\n";
    let _ = stage.directly(&["-c", "create table copy_in (a int)"]);
    let file = stage.file(input.strip_prefix("copy_in (a int);\n").unwrap());
    let refused = stage.psql("alice", "shop/shop", &["-f", &file]);
    assert!(errors(&refused).contains("db_copy_in"), "{}", errors(&refused));
}

#[test]
fn what_is_not_granted_is_refused_audited_and_the_session_goes_on() {
    let stage = Stage::new("actions: [db_connect, db_read]");
    let _ = stage.directly(&["-c", "create table kept (id int); insert into kept values (1)"]);
    let session = "select 1;\ndelete from kept;\nset session_replication_role = replica;\n\
        begin;\nselect 2;\ndrop table kept;\nselect 3;\nrollback;\nselect id from kept;\n\
        show default_transaction_read_only;\n";
    let file = stage.file(session);
    let ran = stage.psql("alice", "shop/shop", &["-f", &file]);
    let (said, errors) = (text(&ran), errors(&ran));
    // The transaction is aborted as by any other error.
    assert_eq!(said.trim_end(), "1\n2\n1\non", "{errors}");
    for act in ["db_write", "db_session", "db_ddl"] {
        assert!(errors.contains(&format!("`{act}` is refused here")), "{act}: {errors}");
    }
    assert!(errors.contains("current transaction is aborted"), "{errors}");
    assert_eq!(text(&stage.directly(&["-c", "select count(*) from kept"])), "1\n");
    for act in ["db_write", "db_session", "db_ddl"] {
        let entry = stage.gate.wait_for_entry(act, |entry| {
            entry.activity() == "statement" && !entry.succeeded() && entry.why().contains(act)
        });
        assert_eq!((entry.user(), entry.target()), ("alice", "shop"));
        assert_eq!(entry.event()["class_uid"], 6005);
    }
    let other = stage.psql("alice", "shop/postgres", &["-c", "select 1"]);
    assert!(!other.status.success(), "another database of the server is not offered");
    assert!(!stage.psql("bob", "shop/shop", &["-c", "select 1"]).status.success());
}

#[test]
fn nobody_gets_in_without_tls_certificate_or_password_and_no_credential_shows() {
    let stage = Stage::new("actions: [db_connect, db_read]");
    let plain = stage.client("sslmode=disable", "alice", "shop/shop", &["-c", "select 1"]);
    assert!(errors(&plain).contains("TLS"), "{}", errors(&plain));
    let wrong = stage.client("password=wrong", "alice", "shop/shop", &["-c", "select 1"]);
    assert!(!wrong.status.success());
    let password = format!("password='{}'", stage.gate.person("alice").password);
    let known = stage.client(&password, "alice", "shop/shop", &["-c", "select 1"]);
    assert_eq!(text(&known), "1\n", "{}", errors(&known));
    let told = stage.psql("alice", "shop/shop", &["-c", "select 1", "-c", "select pg_sleep(0)"]);
    assert!(!text(&told).contains("app-password") && !errors(&told).contains("app-password"));
    let stolen =
        stage.client(&stage.certificate("alice"), "carol", "shop/shop", &["-c", "select 1"]);
    assert!(!stolen.status.success(), "alice's certificate is not carol's");
}

#[test]
fn a_killed_session_ends_within_a_second_in_the_middle_of_a_statement_and_is_recorded() {
    let stage = Stage::new("actions: [db_connect, db_read, db_call]");
    let started = stage
        .command(&stage.certificate("alice"), "alice", "shop/shop")
        .args(["-c", "select 41 + 1", "-c", "select pg_sleep(60)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let live = stage.gate.wait_for_sessions(1);
    std::thread::sleep(Duration::from_millis(700));
    let id = live[0]["id"].as_str().unwrap().to_owned();
    let before = Instant::now();
    let body = json!({"reason": "a test"});
    stage.gate.api("carol").post(&format!("/v1/sessions/{id}/kill"), &body);
    let ended = started.wait_with_output().unwrap();
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    assert!(errors(&ended).contains("portcullis:"), "{}", errors(&ended));
    // The statement does not go on without its session.
    let running = "select count(*) from pg_stat_activity where query like '%pg_sleep%' \
        and state = 'active' and pid <> pg_backend_pid()";
    let deadline = Instant::now() + SOON;
    while text(&stage.directly(&["-c", running])) != "0\n" {
        assert!(Instant::now() < deadline, "the statement still runs");
        std::thread::sleep(Duration::from_millis(200));
    }
    let frames = stage.frames(&id);
    let statement = frames.iter().find(|(kind, _)| kind == "statement").unwrap();
    assert_eq!(statement.1["text"], "select 41 + 1");
    let result = frames.iter().find(|(kind, _)| kind == "result").unwrap();
    assert_eq!((&result.1["rows"], &result.1["outcome"]), (&json!(1), &json!("ok")));
    let _ = stage.gate.verify_offline();
}

#[test]
fn a_client_cancels_its_own_statement_through_the_gate() {
    let stage = Stage::new("actions: [db_connect, db_read, db_call]");
    let mut started = stage
        .command(&stage.certificate("alice"), "alice", "shop/shop")
        .args(["-c", "select pg_sleep(60)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    stage.gate.wait_for_sessions(1);
    std::thread::sleep(Duration::from_millis(700));
    let pid = started.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let before = Instant::now();
    let _ = started.wait().unwrap();
    let ended = started.wait_with_output().unwrap();
    assert!(before.elapsed() < Duration::from_secs(10));
    assert!(
        errors(&ended).contains("canceling statement due to user request"),
        "{}",
        errors(&ended)
    );
}

/// A gate, a server that wants SCRAM over TLS, and a person signed in at the command line.
struct Stage {
    gate: Gate,
    server: PostgresServer,
    port: u16,
    home: TempDir,
    files: TempDir,
}

impl Stage {
    fn new(actions: &str) -> Self {
        let server = PostgresServer::start();
        let authority = secure(&server);
        let port = free_port();
        let mut plan = Plan::base();
        plan.configuration = format!("[postgres]\nlisten = \"127.0.0.1:{port}\"\n");
        plan.resources = format!(
            "---\nkind: Target\nmetadata: {{name: shop}}\nspec:\n  environment: open\n  postgres:\n    \
             host: localhost\n    port: {}\n    databases: [shop]\n    logins: [{{name: app, password: \
             {{secret: shop-app}}}}]\n    tls:\n      authority: |\n{}\n---\nkind: Role\nmetadata: \
             {{name: shop}}\nspec:\n  allow:\n    - targets: [shop]\n      {actions}\n---\nkind: \
             RoleAssignment\nmetadata: {{name: shop}}\nspec: {{role: shop, groups: [developers]}}\n",
            server.port(),
            authority.lines().map(|line| format!("        {line}\n")).collect::<String>(),
        );
        let gate = plan.start();
        let path = "/v1/environments/open/secrets/shop-app";
        let body = json!({"value": "app-password"});
        let (status, said) = gate.api("carol").call("PUT", path, Some(&body));
        assert_eq!(status, 204, "{said}");
        let (home, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let address = format!("http://{}", gate.node.api);
        let output = portcullis(
            &["login", "alice"],
            &[
                ("PORTCULLIS_HOME", home.path().to_str().unwrap()),
                ("PORTCULLIS_ADDRESS", &address),
                ("PORTCULLIS_PASSWORD", &gate.person("alice").password),
                ("PORTCULLIS_CODE", &gate.code("alice")),
            ],
        );
        assert!(output.status.success(), "{}", errors(&output));
        assert!(text(&output).contains("service=portcullis"), "{}", text(&output));
        Self { gate, server, port, home, files }
    }

    /// How alice's certificate is shown, whoever is claimed.
    fn certificate(&self, name: &str) -> String {
        assert_eq!(name, "alice");
        let at = |file: &str| self.home.path().join(file).display().to_string();
        format!("sslcert={} sslkey={}", at("tls.crt"), at("tls.key"))
    }

    fn psql(&self, user: &str, database: &str, arguments: &[&str]) -> Output {
        self.client(&self.certificate("alice"), user, database, arguments)
    }

    fn client(&self, how: &str, user: &str, database: &str, arguments: &[&str]) -> Output {
        self.command(how, user, database).args(arguments).output().unwrap()
    }

    fn command(&self, how: &str, user: &str, database: &str) -> Command {
        let root = self.home.path().join("tls-authority.crt").display().to_string();
        let verify = if how.contains("sslmode") { "" } else { "sslmode=verify-full" };
        let place = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user={user} dbname={database} sslrootcert={root} \
             {verify} {how} connect_timeout=20",
            self.port
        );
        psql(&place)
    }

    /// The same server without the gate.
    fn directly(&self, arguments: &[&str]) -> Output {
        let place = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=app password=app-password dbname=shop \
             sslmode=require",
            self.server.port()
        );
        psql(&place).args(arguments).output().unwrap()
    }

    fn file(&self, text: &str) -> String {
        let path: PathBuf = self.files.path().join("script.sql");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Kinds and contents of the frames of a closed session.
    fn frames(&self, id: &str) -> Vec<(String, Value)> {
        use base64::Engine as _;
        let path = format!("/v1/sessions/{id}/recording?format=frames");
        let lines = self.gate.api("carol").lines(&path);
        let engine = base64::engine::general_purpose::STANDARD;
        let frame = |frame: Value| {
            let data = engine.decode(frame["data"].as_str().unwrap_or_default()).unwrap();
            let inner = serde_json::from_slice(&data).unwrap_or(Value::Null);
            (frame["kind"].as_str().unwrap_or_default().to_owned(), inner)
        };
        lines.into_iter().map(frame).collect()
    }
}

/// `psql` with nothing of this machine's own configuration.
fn psql(place: &str) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg(CLIENT_PATIENCE.as_secs().to_string())
        .args(["psql", "-XqAt", "-v", "VERBOSITY=default", place])
        .env("HOME", "/nonexistent")
        .env_remove("PGPASSWORD")
        .stdin(Stdio::null());
    command
}

/// Makes the server take TLS with SCRAM from `app` and nothing else, and gives the certificate it
/// is to be known by.
fn secure(server: &PostgresServer) -> String {
    server.query("create role app login password 'app-password' nosuperuser");
    server.query("create database shop owner app");
    let data = server.query("show data_directory");
    let data = Path::new(data.trim());
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(data.join("server.key"))
        .arg("-out")
        .arg(data.join("server.crt"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", errors(&made));
    let owner = fs::metadata(data).unwrap();
    for name in ["server.key", "server.crt"] {
        let path = data.join(name);
        chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let rules = "hostssl all app all scram-sha-256\nhost all postgres all trust\n";
    fs::write(data.join("pg_hba.conf"), rules).unwrap();
    server.query("alter system set ssl = on");
    server.query("select pg_reload_conf()");
    fs::read_to_string(data.join("server.crt")).unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
