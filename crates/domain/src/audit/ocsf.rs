//! An event as an OCSF 1.8.0 event of its class.
//!
//! The classes differ in what they require and what they have room for; what a class has no
//! attribute for goes to `unmapped`. The profiles `host` (the actor) and `security_control` (what
//! the gate did: `action_id`) are in every event.

use serde_json::{Map, Value, json};

use super::personal::{Personal, SOURCE_SEALED_AT, is_personal};
use super::{Activity, Event, Outcome, bounded};
use crate::canonical::to_canonical_json;
use crate::name::UserName;

/// The version of OCSF that entries follow.
const OCSF_VERSION: &str = "1.8.0";
/// Findings that are established and not suspected: somebody changed evidence, or lost it.
const INCIDENTS: [&str; 5] =
    ["log_damaged", "log_forked", "log_rolled_back", "recording_damaged", "recording_missing"];
/// Stands where a class requires somebody or something and nobody knows whom or what.
const UNKNOWN: &str = "unknown";

/// An event on its way into the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The OCSF event, nothing sealed yet.
    pub value: Value,
    /// What of it must be sealed.
    pub personal: Vec<Personal>,
}

impl Entry {
    /// The bytes that are hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_canonical_json(&self.value)
    }

    fn personal(&mut self, place: &str, whose: Option<&UserName>) {
        self.personal.push(Personal { place: place.to_owned(), whose: whose.cloned() });
    }
}

/// OCSF classes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Account = 3001,
    Authentication = 3002,
    AuthorizeSession = 3003,
    Entity = 3004,
    UserAccess = 3005,
    Ssh = 4007,
    Lifecycle = 6002,
    Api = 6003,
    Datastore = 6005,
    Detection = 2004,
    Incident = 2005,
}

impl Class {
    const fn has_source(self) -> bool {
        !matches!(self, Self::Lifecycle) && !self.is_finding()
    }

    const fn is_finding(self) -> bool {
        matches!(self, Self::Detection | Self::Incident)
    }

    const fn has_destination(self) -> bool {
        matches!(
            self,
            Self::Authentication | Self::AuthorizeSession | Self::Ssh | Self::Api | Self::Datastore
        )
    }

    const fn has_user(self) -> bool {
        matches!(
            self,
            Self::Account | Self::Authentication | Self::AuthorizeSession | Self::UserAccess
        )
    }
}

/// Class and `activity_id` of an event.
fn class_of(event: &Event) -> (Class, u32) {
    let failed = matches!(event.outcome, Outcome::Failed(_));
    let detail = |name| event.details.get(name).and_then(Value::as_str).unwrap_or_default();
    match event.activity {
        // Logon
        Activity::Authenticate => (Class::Authentication, 1),
        // Assign Privileges
        Activity::Authorize => (Class::AuthorizeSession, 1),
        // Open, Fail, Close, Traffic, Other
        Activity::Connect if failed => (Class::Ssh, 4),
        Activity::SessionOpen | Activity::Connect => (Class::Ssh, 1),
        Activity::SessionClose | Activity::SessionKill => (Class::Ssh, 2),
        Activity::Channel | Activity::Forward | Activity::Recording => (Class::Ssh, 6),
        Activity::File => (Class::Ssh, 99),
        // Query
        Activity::Statement => (Class::Datastore, 4),
        // Create, Read, Update, Delete
        Activity::CertificateIssue => (Class::Api, 1),
        Activity::RecordingRead | Activity::AuditRead => (Class::Api, 2),
        Activity::AuditArchive => (Class::Api, 3),
        Activity::RecordingRemove => (Class::Api, 4),
        // Assign Privileges, Revoke Privileges
        Activity::RequestCreate
        | Activity::RequestApprove
        | Activity::GrantCreate
        | Activity::BreakGlass => (Class::UserAccess, 1),
        Activity::RequestDeny
        | Activity::RequestCancel
        | Activity::RequestExpire
        | Activity::GrantRevoke
        | Activity::GrantExpire => (Class::UserAccess, 2),
        // Password Change, Password Reset, MFA Factor Enable, Other
        Activity::CredentialChange => match detail("what") {
            "password" => (Class::Account, 3),
            "reset" => (Class::Account, 4),
            "totp confirmed" => (Class::Account, 10),
            _ => (Class::Account, 99),
        },
        // Create, Update, Delete
        Activity::LockPlace | Activity::HoldPlace | Activity::GateDrop => (Class::Entity, 1),
        Activity::ResourceApply
        | Activity::SecretChange
        | Activity::KeyChange
        | Activity::ReviewClose => (Class::Entity, 3),
        Activity::LockLift | Activity::HoldLift | Activity::SubjectForget | Activity::GateRaise => {
            (Class::Entity, 4)
        }
        // Start, Stop, Other
        Activity::Node => match detail("state") {
            "started" => (Class::Lifecycle, 3),
            "stopped" => (Class::Lifecycle, 4),
            _ => (Class::Lifecycle, 99),
        },
        // Create
        Activity::Finding if INCIDENTS.contains(&detail("finding")) => (Class::Incident, 1),
        Activity::Finding => (Class::Detection, 1),
    }
}

impl Event {
    /// The event as OCSF, with the places that must be sealed before it is written.
    pub fn to_entry(&self) -> Entry {
        let (class, activity) = class_of(self);
        let mut entry = Entry { value: self.core(class, activity), personal: Vec::new() };
        let mut own = Map::new();
        self.put_people(class, &mut entry);
        self.put_endpoints(class, &mut entry, &mut own);
        self.put_required(class, &mut entry);
        self.put_details(&mut entry, &mut own);
        if let Outcome::Refused(reason) | Outcome::Failed(reason) = &self.outcome {
            put(&mut entry, "status_detail", bounded(reason.as_str().into()));
            entry.personal("/status_detail", self.user.as_ref());
        }
        if !own.is_empty() {
            put(&mut entry, "unmapped", Value::Object(own));
        }
        entry
    }

    /// The canonical JSON with nothing sealed: for events that concern nobody, and for tests.
    pub fn to_ocsf(&self) -> Vec<u8> {
        self.to_entry().to_bytes()
    }

    fn core(&self, class: Class, activity: u32) -> Value {
        let class_uid = class as u32;
        let status = match (class, &self.outcome) {
            // The status of a finding is where it stands: new.
            (class, _) if class.is_finding() => 1,
            (_, Outcome::Success) => 1,
            _ => 2,
        };
        json!({
            "action_id": match self.outcome {
                Outcome::Success => 1,
                Outcome::Refused(_) => 2,
                Outcome::Failed(_) => 0,
            },
            "activity_id": activity,
            "category_uid": class_uid / 1000,
            "class_uid": class_uid,
            "type_uid": class_uid * 100 + activity,
            "severity_id": self.severity(class),
            "status_id": status,
            "time": self.at.as_millis(),
            "metadata": {
                "event_code": self.activity.as_str(),
                "product": {"name": "Portcullis", "vendor_name": "Portcullis"},
                "profiles": ["host", "security_control"],
                "uid": self.id.to_string(),
                "version": OCSF_VERSION,
            },
        })
    }

    /// Informational, High or Critical.
    fn severity(&self, class: Class) -> u8 {
        match self.activity {
            Activity::BreakGlass => 5,
            _ if class == Class::Incident => 5,
            _ if class == Class::Detection => 4,
            _ => 1,
        }
    }

    fn put_people(&self, class: Class, entry: &mut Entry) {
        if let Some(user) = &self.user {
            put(entry, "actor", json!({"user": {"name": user.as_str()}}));
            entry.personal("/actor/user/name", Some(user));
        }
        if !class.has_user() {
            return;
        }
        // Whom it is about: the other person where there is one.
        match self.persons.get("of").or(self.user.as_ref()) {
            Some(user) => {
                put(entry, "user", json!({"name": user.as_str()}));
                entry.personal("/user/name", Some(user));
            }
            None => put(entry, "user", json!({"uid": UNKNOWN})),
        }
    }

    fn put_endpoints(&self, class: Class, entry: &mut Entry, own: &mut Map<String, Value>) {
        match self.source {
            Some(source) if class.has_source() => {
                put(entry, "src_endpoint", json!({"ip": source.to_string()}));
                entry.personal(SOURCE_SEALED_AT, self.user.as_ref());
            }
            Some(source) => {
                own.insert("source".into(), source.to_string().into());
                entry.personal("/unmapped/source", self.user.as_ref());
            }
            None => {}
        }
        if let Some(target) = &self.target {
            if class.has_destination() {
                put(entry, "dst_endpoint", json!({"name": target.as_str()}));
            } else if class == Class::UserAccess {
                put(entry, "resources", json!([{"name": target.as_str(), "type": "target"}]));
            } else {
                own.insert("target".into(), target.as_str().into());
            }
        }
        if let Some(environment) = &self.environment {
            own.insert("environment".into(), environment.as_str().into());
        }
        if let Some(session) = self.session {
            own.insert("session".into(), session.to_string().into());
        }
    }

    /// What the class requires beyond that.
    fn put_required(&self, class: Class, entry: &mut Entry) {
        let detail = |name| self.details.get(name).and_then(Value::as_str);
        let gate = || json!({"name": "Portcullis"});
        match class {
            Class::Authentication => put(entry, "service", gate()),
            Class::AuthorizeSession => {
                put(entry, "privileges", json!([detail("action").unwrap_or("access")]));
            }
            Class::UserAccess => put(entry, "privileges", json!(["access"])),
            Class::Entity => {
                let (kind, _) = self.activity.as_str().split_once('.').unwrap_or_default();
                let id = ["lock", "hold", "subject_id", "review", "resource"]
                    .into_iter()
                    .find_map(detail);
                let name = id.or(self.environment.as_ref().map(|name| name.as_str()));
                put(entry, "entity", json!({"name": name.unwrap_or(kind), "type": kind}));
            }
            Class::Lifecycle => {
                let version = detail("version").unwrap_or(UNKNOWN);
                put(entry, "app", json!({"name": "Portcullis", "version": version}));
            }
            Class::Api => {
                put(entry, "api", json!({"operation": self.activity.as_str()}));
                if self.user.is_none() {
                    put(entry, "actor", json!({"app_name": "Portcullis"}));
                }
                if self.source.is_none() {
                    put(entry, "src_endpoint", json!({"svc_name": UNKNOWN}));
                }
            }
            Class::Datastore => {
                let name = detail("database").unwrap_or(UNKNOWN);
                // Relational
                put(entry, "database", json!({"name": name, "type_id": 1}));
                if self.user.is_none() {
                    put(entry, "actor", json!({"app_name": "Portcullis"}));
                }
                if self.source.is_none() {
                    put(entry, "src_endpoint", json!({"svc_name": UNKNOWN}));
                }
            }
            Class::Detection | Class::Incident => {
                let title = detail("finding").unwrap_or("finding");
                let info = json!({"title": title, "uid": self.id.to_string()});
                match class {
                    Class::Incident => {
                        put(entry, "finding_info_list", json!([info]));
                        // The class requires whose it is, and nobody has taken it yet.
                        put(entry, "assignee_group", json!({"name": UNKNOWN}));
                    }
                    _ => put(entry, "finding_info", info),
                }
            }
            // The gate is one end of whatever it records.
            Class::Ssh if self.source.is_none() && self.target.is_none() => {
                put(entry, "src_endpoint", json!({"svc_name": "Portcullis"}));
            }
            Class::Ssh | Class::Account => {}
        }
    }

    fn put_details(&self, entry: &mut Entry, own: &mut Map<String, Value>) {
        for (name, value) in &self.details {
            if is_personal(name, value) {
                entry.personal(&format!("/unmapped/{name}"), self.user.as_ref());
            }
            own.insert((*name).to_owned(), value.clone());
        }
        for (role, name) in &self.persons {
            entry.personal(&format!("/unmapped/{role}"), Some(name));
            own.insert((*role).to_owned(), name.as_str().into());
        }
    }
}

fn put(entry: &mut Entry, name: &str, value: Value) {
    if let Some(map) = entry.value.as_object_mut() {
        map.insert(name.to_owned(), value);
    }
}
