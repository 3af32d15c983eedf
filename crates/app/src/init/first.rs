//! What a new installation begins with where nothing else is given.

use std::path::Path;

use portcullis_control::view::ResourceFile;
use portcullis_domain::{ControlAction, UserName};

/// A configuration with everything said that has a default.
pub(super) fn configuration(data_dir: &Path) -> String {
    // A TOML basic string escapes as JSON does for every path that is UTF-8.
    let quoted = serde_json::Value::from(data_dir.display().to_string());
    format!(
        r#"# Portcullis. Every key is explained in docs/operations.md; a key nobody knows is an error.

[node]
name = "gate"            # part of the audit log's identity: never change it
data_dir = {quoted}

[ssh]
listen = "0.0.0.0:2022"
# advertise = "gate.example:2022"   # what people are told to connect to

[api]
listen = "127.0.0.1:3022"           # loopback only

[sign_in]
lifetime = "12h"

[log]
level = "info"
format = "text"                     # or "json"

# [store]
# url = "postgres://portcullis@db.internal/portcullis"

# [master_key]                      # one of
# file = "master.key"
# env = "PORTCULLIS_MASTER_KEY"
# command = ["vault-client", "read", "portcullis"]
"#
    )
}

/// One administrator with every right over Portcullis itself, and none on any target.
pub(super) fn resources(admin: &UserName) -> ResourceFile {
    let control: Vec<_> = ControlAction::ALL.iter().map(ToString::to_string).collect();
    let text = format!(
        "kind: Group
metadata: {{name: administrators}}
spec: {{description: People who set Portcullis up}}
---
kind: User
metadata: {{name: \"{admin}\"}}
spec: {{groups: [administrators]}}
---
kind: Role
metadata: {{name: administrator}}
spec:
  description: Everything about Portcullis itself, and no access to any target
  control: [{}]
---
kind: RoleAssignment
metadata: {{name: administrators}}
spec: {{role: administrator, groups: [administrators]}}
",
        control.join(", ")
    );
    ResourceFile { name: "the first resources".into(), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_first_configuration_is_valid() {
        let text = configuration(Path::new("/var/lib/a \"quoted\" place"));
        let config = Config::parse(&text, Path::new("/etc/portcullis.toml")).unwrap();
        assert_eq!(config.data_dir, Path::new("/var/lib/a \"quoted\" place"));
    }

    #[test]
    fn the_first_resources_are_valid_and_reach_no_target() {
        let file = resources(&UserName::new("root.admin").unwrap());
        let found =
            portcullis_resources::parse(&[(file.name.as_str(), file.text.as_str())]).unwrap();
        assert_eq!(found.len(), 4);
        assert!(!file.text.contains("allow"));
    }
}
