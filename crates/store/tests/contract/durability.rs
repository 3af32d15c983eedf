//! Writers killed with SIGKILL while they work, and what the store holds afterwards.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use portcullis_domain::Secret;
use portcullis_store::{MasterKeySource, Store};

use super::home::Home;
use super::samples::*;

/// Tells the victim what to do and where.
const TASK: &str = "PORTCULLIS_VICTIM_TASK";
const URL: &str = "PORTCULLIS_VICTIM_URL";
const KEY: &str = "PORTCULLIS_VICTIM_KEY";
const ROUNDS: u64 = 6;
const SECRETS: usize = 40;

pub(crate) async fn a_writer_killed_at_any_moment_leaves_whole_changes_and_loses_none_acknowledged(
    home: Home,
) {
    let source = MasterKeySource::File(home.file("master.key"));
    for round in 0..ROUNDS {
        let acknowledged = kill_at_work(&home, "apply", round).await;
        let store = Store::open_with(&home.url, &source, NOW).await.unwrap();
        let facts = store.load_facts(NOW).await.unwrap();
        assert!(facts.revision >= acknowledged, "{} < {acknowledged}", facts.revision);
        let said: Vec<_> = facts.groups.values().map(|group| group.description.clone()).collect();
        assert_eq!(said[0], said[1], "half of a change was kept");
        assert_eq!(said[0], Some(facts.revision.to_string()));
    }
}

pub(crate) async fn a_rotation_killed_at_any_moment_leaves_every_secret_readable(home: Home) {
    let source = MasterKeySource::File(home.file("master.key"));
    let production = environment_name("production");
    let store = Store::open_with(&home.url, &source, NOW).await.unwrap();
    for n in 0..SECRETS {
        let value = Secret::new(format!("value {n}").into_bytes());
        store.put_target_secret(&production, &format!("s{n}"), &value, NOW).await.unwrap();
    }
    drop(store);
    for round in 0..ROUNDS {
        kill_at_work(&home, "rotate", round).await;
        let store = Store::open_with(&home.url, &source, NOW).await.unwrap();
        for n in 0..SECRETS {
            let found = store.target_secret(&production, &format!("s{n}")).await.unwrap();
            assert_eq!(found.expose(), format!("value {n}").as_bytes());
        }
    }
}

/// What the killed process does: one thing after the other, each printed when it is done.
pub(crate) async fn victim() {
    let Ok(task) = std::env::var(TASK) else { return };
    let source = MasterKeySource::File(std::env::var(KEY).unwrap().into());
    let store = Store::open_with(&std::env::var(URL).unwrap(), &source, NOW).await.unwrap();
    loop {
        let done = match task.as_str() {
            "apply" => {
                let next = (store.revision().await.unwrap() + 1).to_string();
                let both = upsert([group("a", &next), group("b", &next)]);
                store.apply(&both, None, &user_name("root"), NOW).await.unwrap()
            }
            "rotate" => {
                let next = source.stage_next().unwrap().unwrap();
                let rotated = store.rotate_master_key(next, NOW).await.unwrap();
                source.promote_staged().unwrap();
                rotated.values
            }
            other => panic!("`{other}` is no task"),
        };
        println!("done {done}");
    }
}

/// Starts a victim, kills it a moment after its first result, and returns its last one.
async fn kill_at_work(home: &Home, task: &str, round: u64) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["victim", "--exact", "--ignored", "--nocapture"])
        .envs([(TASK, task), (URL, &home.url), (KEY, home.file("master.key").to_str().unwrap())])
        .stdout(Stdio::piped());
    let work = move || {
        let mut child = Killed(command.spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let result = |line: &str| line.strip_prefix("done ").map(|n| n.parse::<u64>().unwrap());
        let mut last = loop {
            let line = lines.next().expect("the victim ends before its first result").unwrap();
            if let Some(result) = result(&line) {
                break result;
            }
        };
        std::thread::sleep(Duration::from_micros(1 + round * 1700));
        child.0.kill().unwrap();
        // A line cut off by the kill was not acknowledged in full.
        for line in lines.map_while(Result::ok) {
            last = line.strip_prefix("done ").and_then(|n| n.parse().ok()).unwrap_or(last);
        }
        last
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
