//! Sessions through the gate with the real OpenSSH client and server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod gate;

use std::time::{Duration, Instant};

use portcullis_domain::ActionKind;
use portcullis_gateway::EndReason;
use portcullis_protocol_ssh::Options;

fn everything() -> gate::Gate {
    gate::start(&ActionKind::ALL, Options::default())
}

#[test]
fn a_command_runs_with_its_output_errors_and_status() {
    let gate = everything();
    let ran = gate.alice().run(&["echo out; echo err >&2; exit 7"]);
    assert_eq!(ran.code(), Some(7), "{}", ran.describe());
    assert_eq!(ran.stdout_text(), "out\n");
    assert!(ran.stderr_text().contains("err"), "{}", ran.describe());
}

#[test]
fn megabytes_go_through_a_program_that_reads_and_writes_at_once() {
    let gate = everything();
    let input: Vec<u8> = (0..24u32 << 20).map(|i| (i ^ (i >> 11)) as u8).collect();
    let ran = gate.alice().run_with_input(&["cat"], &input);
    assert!(ran.success(), "{}", ran.describe());
    assert_eq!(ran.stdout.len(), input.len());
    assert!(ran.stdout == input);
}

#[test]
fn output_flows_although_nobody_reads_the_input() {
    let gate = everything();
    let input = vec![b'x'; 16 << 20];
    let ran = gate.alice().run_with_input(
        &["head -c 20000000 /dev/zero | wc -c; head -c 20000000 /dev/zero"],
        &input,
    );
    assert!(ran.stdout.len() > 20_000_000, "{}", ran.stdout.len());
}

#[test]
fn keys_are_renewed_in_the_middle_of_everything() {
    let gate = everything();
    let input: Vec<u8> = (0..16u32 << 20).map(|i| (i ^ (i >> 7)) as u8).collect();
    let ran = gate.alice().option("RekeyLimit", "1M").run_with_input(&["cat"], &input);
    assert!(ran.success(), "{}", ran.describe());
    assert!(ran.stdout == input);
}

#[test]
fn the_agent_is_forwarded_where_allowed_and_refused_aloud_elsewhere() {
    let key = portcullis_testkit::UserKey::generate();
    let agent = portcullis_testkit::SshAgent::start();
    agent.add(&key);
    let list = |gate: &gate::Gate| {
        gate.alice().agent(&agent).option("ForwardAgent", "yes").run(&["ssh-add -l"])
    };
    let ran = list(&everything()).assert_success();
    assert!(ran.stdout_text().contains("ED25519"), "{}", ran.describe());
    let ran = list(&gate::start(&[ActionKind::Exec], Options::default()));
    assert!(!ran.success() && !ran.stdout_text().contains("ED25519"), "{}", ran.describe());
    assert!(ran.stderr_text().contains("agent forwarding refused"), "{}", ran.describe());
}

#[test]
fn a_signal_reaches_the_program_and_its_death_is_told() {
    let gate = everything();
    let ran = gate.alice().run(&["kill -TERM $$"]);
    assert_eq!(ran.code(), Some(255), "{}", ran.describe());
}

#[test]
fn a_paused_forward_does_not_hold_up_a_program() {
    use std::io::Read;
    let gate = everything();
    let source = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source_port = source.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in source.incoming().flatten() {
            std::thread::spawn(move || {
                use std::io::Write;
                while stream.write_all(&[0; 65536]).is_ok() {}
            });
        }
    });
    let local = portcullis_testkit::free_port();
    let forward = format!("127.0.0.1:{local}:127.0.0.1:{source_port}");
    let directory = tempfile::tempdir().unwrap();
    let client = gate
        .alice()
        .option("ControlPath", directory.path().join("c").to_str().unwrap())
        .option("ControlMaster", "auto")
        .option("ControlPersist", "20");
    let _master = client.spawn_with(&["-N", "-L", &forward], &[]);
    assert!(portcullis_testkit::wait_for_port(local, Duration::from_secs(20)));
    let mut paused = std::net::TcpStream::connect(("127.0.0.1", local)).unwrap();
    paused.read_exact(&mut [0; 1000]).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let begun = Instant::now();
    let ran = client.run(&["echo through"]).assert_success();
    assert_eq!(ran.stdout_text(), "through\n");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn a_shell_has_a_terminal_that_resizes() {
    let gate = everything();
    let mut shell = gate.alice().pty(&["-tt"], &["sh"]);
    shell.send_line("PS1=ready; echo mark-$((40+2))");
    shell.expect("mark-42", Duration::from_secs(20));
    shell.resize(33, 101);
    std::thread::sleep(Duration::from_millis(300));
    shell.send_line("stty size");
    shell.expect("33 101", Duration::from_secs(20));
    shell.send_line("exit 3");
    assert_eq!(shell.wait_exit(Duration::from_secs(20)).code(), Some(3));
}

#[test]
fn environment_variables_pass_only_if_the_target_names_them() {
    let gate = everything();
    let client = gate
        .alice()
        .environment("LC_TEST", "through")
        .environment("LANG", "kept out")
        .option("SendEnv", "LC_TEST LANG");
    let ran = client.run(&["echo $LC_TEST/$LANG"]).assert_success();
    assert_eq!(ran.stdout_text(), "through/\n");
}

#[test]
fn a_refused_action_says_why_and_runs_nothing() {
    let gate = gate::start(&[ActionKind::Shell], Options::default());
    let ran = gate.alice().run(&["id"]);
    assert_eq!(ran.code(), Some(254), "{}", ran.describe());
    assert!(ran.stderr_text().contains("portcullis:"), "{}", ran.describe());
    assert_eq!(ran.stdout_text(), "");
}

#[test]
fn keys_of_every_usual_kind_sign_in() {
    use portcullis_testkit::KeyKind;
    for kind in [KeyKind::Rsa, KeyKind::Ecdsa] {
        let key = portcullis_testkit::UserKey::generate_kind(kind);
        let gate = gate::start_for(key, &ActionKind::ALL, Options::default(), |_| {});
        let _ = gate.alice().run(&["echo in"]).assert_success();
    }
}

#[test]
fn a_password_signs_in_and_a_wrong_one_does_not() {
    let gate = everything();
    let bob = |password: &str| {
        gate.client("bob:web")
            .option("PreferredAuthentications", "keyboard-interactive")
            .option("BatchMode", "no")
            .option("NumberOfPasswordPrompts", "1")
            .answer("Password:", password)
            .run(&["echo in"])
    };
    let ran = bob(gate::BOBS_PASSWORD);
    assert_eq!(ran.stdout_text(), "in\n", "{}", ran.describe());
    let ran = bob("wrong");
    assert_eq!(ran.code(), Some(255), "{}", ran.describe());
}

#[test]
fn strangers_keys_and_unknown_targets_lead_nowhere() {
    let gate = everything();
    let key = portcullis_testkit::UserKey::generate();
    assert_eq!(gate.client("alice:web").identity(&key).run(&["id"]).code(), Some(255));
    let ran = gate.client("alice:nowhere").identity(&gate.alice).run(&["id"]);
    assert_eq!(ran.code(), Some(254), "{}", ran.describe());
}

#[test]
fn without_a_target_only_jumps_are_served() {
    let gate = everything();
    let outer = gate.client("alice").identity(&gate.alice);
    let ran = outer.run(&["id"]);
    assert_eq!(ran.code(), Some(255), "{}", ran.describe());
    assert!(ran.stderr_text().contains("name a target"), "{}", ran.describe());
    let inner =
        gate.client(&portcullis_testkit::current_user()).host("web.portcullis").jump(&outer);
    let ran = inner.run(&["echo inside"]).assert_success();
    assert_eq!(ran.stdout_text(), "inside\n");
    let input = vec![7; 5 << 20];
    let ran = inner.run_with_input(&["cat"], &input);
    assert!(ran.stdout == input, "{} {}", ran.stdout.len(), ran.describe());
}

#[test]
fn files_come_and_go_by_sftp_and_by_both_scps() {
    let gate = everything();
    let here = tempfile::tempdir().unwrap();
    let there = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..9_000_000u32).map(|i| (i * 7) as u8).collect();
    let file = here.path().join("file");
    std::fs::write(&file, &data).unwrap();
    let client = gate.alice();
    for (i, options) in [&[][..], &["-O"][..]].into_iter().enumerate() {
        let up = there.path().join(format!("up{i}"));
        let back = here.path().join(format!("back{i}"));
        let _ = client
            .scp(options, file.to_str().unwrap(), &client.remote(up.to_str().unwrap()))
            .assert_success();
        assert!(std::fs::read(&up).unwrap() == data);
        let _ = client
            .scp(options, &client.remote(up.to_str().unwrap()), back.to_str().unwrap())
            .assert_success();
        assert!(std::fs::read(&back).unwrap() == data);
    }
    let batch = format!(
        "put {} {}/x\nls -l {}\nrm {}/x\n",
        file.display(),
        there.path().display(),
        there.path().display(),
        there.path().display()
    );
    let _ = client.sftp(&batch).assert_success();
    assert!(!there.path().join("x").exists());
}

#[test]
fn who_may_only_download_cannot_upload() {
    let gate = gate::start(&[ActionKind::Download], Options::default());
    let there = tempfile::tempdir().unwrap();
    let source = there.path().join("source");
    std::fs::write(&source, b"content").unwrap();
    let client = gate.alice();
    let got = there.path().join("got");
    let _ = client
        .scp(&[], &client.remote(source.to_str().unwrap()), got.to_str().unwrap())
        .assert_success();
    for options in [&[][..], &["-O"][..]] {
        let put = there.path().join("put");
        let ran =
            client.scp(options, source.to_str().unwrap(), &client.remote(put.to_str().unwrap()));
        assert!(!ran.success(), "{}", ran.describe());
        assert!(!put.exists());
    }
}

#[test]
fn forwards_reach_other_places_and_not_another_targets_door() {
    let gate = everything();
    let echo = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let echo_port = echo.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in echo.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = stream.try_clone().unwrap();
                let mut writer = stream;
                let _ = std::io::copy(&mut reader, &mut writer);
            });
        }
    });
    let local = portcullis_testkit::free_port();
    let blocked = portcullis_testkit::free_port();
    let remote = portcullis_testkit::free_port();
    let arguments = [
        "-N".to_owned(),
        "-L".into(),
        format!("127.0.0.1:{local}:127.0.0.1:{echo_port}"),
        "-L".into(),
        format!("127.0.0.1:{blocked}:127.0.0.1:{}", gate.target.port()),
        "-R".into(),
        format!("127.0.0.1:{remote}:127.0.0.1:{echo_port}"),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let _client = gate.alice().spawn_with(&arguments, &[]);
    assert!(portcullis_testkit::wait_for_port(local, Duration::from_secs(20)));
    assert!(portcullis_testkit::wait_for_port(remote, Duration::from_secs(20)));
    for port in [local, remote] {
        assert_eq!(echoed(port, 3 << 20), Some(3 << 20), "{port}");
    }
    assert_eq!(echoed(blocked, 10), Some(0));
}

/// Bytes that come back of `bytes` sent.
fn echoed(port: u16, bytes: usize) -> Option<usize> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let mut writer = stream.try_clone().ok()?;
    std::thread::spawn(move || {
        let _ = writer.write_all(&vec![b'e'; bytes]);
        let _ = writer.shutdown(std::net::Shutdown::Write);
    });
    let mut back = Vec::new();
    let _ = stream.read_to_end(&mut back);
    Some(back.len())
}

#[test]
fn a_session_ends_within_a_second_even_if_nobody_reads() {
    let gate = everything();
    let mut shell = gate.alice().pty(&["-tt"], &["sh"]);
    shell.send_line("echo mark-$((40+2))");
    shell.expect("mark-42", Duration::from_secs(20));
    let mut stalled = gate.alice().spawn(&["yes"]);
    while gate.gateway.live_sessions().len() < 2 {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    for view in gate.gateway.live_sessions() {
        let session = gate.gateway.live_session(view.id).unwrap();
        session.end(EndReason::Killed {
            by: portcullis_domain::UserName::new("carol").unwrap(),
            reason: "enough".into(),
        });
    }
    while !gate.gateway.live_sessions().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(5));
    }
    shell.expect("ended by carol: enough", Duration::from_secs(5));
    assert_eq!(shell.wait_exit(Duration::from_secs(5)).code(), Some(254));
    let _ = &mut stalled;
}

#[test]
fn a_changed_host_key_is_refused_before_anything_is_sent() {
    let mut gate = everything();
    gate.target.rotate_host_key();
    let ran = gate.alice().run(&["id"]);
    assert_eq!(ran.code(), Some(254), "{}", ran.describe());
    assert!(ran.stderr_text().contains("host key"), "{}", ran.describe());
}

#[test]
fn strangers_have_little_time_and_few_places() {
    let options = Options {
        max_half_open_per_source: 3,
        login_grace: Duration::from_secs(2),
        ..Options::default()
    };
    let gate = gate::start(&ActionKind::ALL, options);
    let idle: Vec<_> =
        (0..10).map(|_| std::net::TcpStream::connect(("127.0.0.1", gate.port)).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(gate.alice().run(&["id"]).code(), Some(255));
    std::thread::sleep(Duration::from_millis(2300));
    let _ = gate.alice().run(&["id"]).assert_success();
    drop(idle);
}

#[test]
fn several_sessions_share_one_connection() {
    let gate = everything();
    let directory = tempfile::tempdir().unwrap();
    let control = directory.path().join("c");
    let client = gate
        .alice()
        .option("ControlPath", control.to_str().unwrap())
        .option("ControlMaster", "auto")
        .option("ControlPersist", "10");
    for i in 0..5 {
        let ran = client.run(&[&format!("echo {i}")]).assert_success();
        assert_eq!(ran.stdout_text(), format!("{i}\n"));
    }
    assert_eq!(gate.gateway.live_sessions().len(), 1);
}
