//! Small valid values of every kind.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_domain::lock::LockKind;
use portcullis_domain::*;
use portcullis_store::{Changes, SessionRecord, Store};
use serde_json::Value;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

pub(crate) fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

pub(crate) fn user_name(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

pub(crate) fn target_name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

pub(crate) fn environment_name(name: &str) -> EnvironmentName {
    EnvironmentName::new(name).unwrap()
}

pub(crate) fn group(name: &str, description: &str) -> Resource {
    let description = Some(description.to_owned());
    Resource::Group(Group { name: GroupName::new(name).unwrap(), description })
}

pub(crate) fn user(name: &str) -> Resource {
    Resource::User(User {
        name: user_name(name),
        full_name: None,
        groups: BTreeSet::new(),
        ssh_keys: Vec::new(),
        disabled: false,
    })
}

pub(crate) fn target(name: &str, environment: &str, host: &str) -> Resource {
    Resource::Target(Target {
        name: target_name(name),
        environment: environment_name(environment),
        labels: BTreeMap::new(),
        protocol: Protocol::Ssh(SshTarget {
            host: host.to_owned(),
            port: 22,
            aliases: BTreeSet::new(),
            logins: vec![Login::new("root").unwrap()],
            host_keys: Vec::new(),
            host_authorities: Vec::new(),
            credential: SshCredential::Certificate,
            legacy_algorithms: BTreeSet::new(),
            accept_env: Vec::new(),
        }),
    })
}

pub(crate) fn upsert(resources: impl IntoIterator<Item = Resource>) -> Changes {
    Changes { upserts: resources.into_iter().collect(), deletes: Vec::new() }
}

pub(crate) fn delete(resource: &Resource) -> Changes {
    Changes { upserts: Vec::new(), deletes: vec![resource.key()] }
}

pub(crate) fn request(user: &str, target: &str, approvals: u32) -> AccessRequest {
    AccessRequest {
        id: RequestId::generate(NOW),
        user: user_name(user),
        target: target_name(target),
        environment: environment_name("production"),
        actions: BTreeSet::new(),
        login: None,
        duration: Duration::from_secs(3600),
        reason: "ticket 42".to_owned(),
        ticket: None,
        extends: None,
        also: BTreeSet::new(),
        scope: Scope::Target,
        terms: RequestTerms::default(),
        asked_at: NOW,
        rule: ApprovalRule::of([GroupName::new("leads").unwrap()].into(), approvals),
        state: RequestState::Pending { approvals: Vec::new() },
    }
}

/// A grant in force from [`NOW`] for an hour, by the only way there is.
pub(crate) async fn granted(store: &Store, user: &str, target: &str) -> Grant {
    let request = request(user, target, 1);
    store.create_request(&request).await.unwrap();
    approve(store, request.id, "lead").await.unwrap()
}

/// The grant that came of it, or `None` while more people are needed.
pub(crate) async fn approve(store: &Store, id: RequestId, by: &str) -> Option<Grant> {
    let by = user_name(by);
    let decide = |request: AccessRequest| request.approve(by, NOW, GrantId::generate(NOW));
    store.transition(id, decide).await.unwrap().grant
}

pub(crate) fn lock(subject: LockSubject) -> Lock {
    Lock {
        id: LockId::generate(NOW),
        subject,
        kind: LockKind::Lock,
        reason: "laptop stolen".to_owned(),
        by: user_name("officer"),
        at: NOW,
        expires: None,
    }
}

pub(crate) fn drop_of(environment: &str) -> Lock {
    let subject = LockSubject::Environment(environment_name(environment));
    Lock { kind: LockKind::Drop { raised_by: Vec::new() }, ..lock(subject) }
}

pub(crate) fn session(user: &str, node: &str, started_at: Timestamp) -> SessionRecord {
    SessionRecord {
        id: SessionId::generate(started_at),
        user: user_name(user),
        target: target_name("prod-web"),
        environment: environment_name("production"),
        login: Some(Login::new("root").unwrap()),
        protocol: "ssh".to_owned(),
        source: "192.0.2.1".to_owned(),
        grant: None,
        node: node.to_owned(),
        started_at,
        opened_entry: Some(7),
        end: None,
        removal: None,
    }
}

pub(crate) fn ended(reason: &str, at: Timestamp) -> portcullis_store::SessionEnd {
    let recording = Value::from("summary");
    portcullis_store::SessionEnd { at, reason: reason.to_owned(), recording }
}
