//! Files for an unmodified OpenSSH client, and the authorities' public keys.

use portcullis_gateway::{Authenticated, HOST_SUFFIX};

use crate::view::{AuthoritiesView, SshConfigView};
use crate::{Control, ControlError};

impl Control {
    /// `ssh_config` and `known_hosts` for the caller. `~` and file names are the command line's
    /// concern: it puts its own key and certificate in front.
    pub fn ssh_config(&self, who: &Authenticated) -> Result<SshConfigView, ControlError> {
        self.must_be_active(who)?;
        let settings = self.settings();
        let (host, port) = settings
            .ssh_address
            .rsplit_once(':')
            .ok_or_else(|| ControlError::unavailable("the node's ssh address has no port"))?;
        let host = host.trim_matches(['[', ']']);
        let user = who.user();
        let config = format!(
            "Host portcullis-gate\n  HostName {host}\n  Port {port}\n  User {user}\n\n\
             Host *{HOST_SUFFIX}\n  ProxyJump portcullis-gate\n  HostKeyAlias portcullis-gate\n\n\
             Host portcullis-gate *{HOST_SUFFIX}\n  HostKeyAlias portcullis-gate\n"
        );
        let key = settings.gate_host_key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Ok(SshConfigView { config, known_hosts: format!("portcullis-gate {key}\n") })
    }

    /// Public keys of the authorities.
    pub fn authorities(&self, who: &Authenticated) -> Result<AuthoritiesView, ControlError> {
        self.must_be_active(who)?;
        let gateway = self.gateway();
        let line = |line: Result<String, _>| {
            line.map_err(|error: portcullis_identity::authority::AuthorityKeyError| {
                ControlError::unavailable(error)
            })
        };
        Ok(AuthoritiesView {
            sign_in: line(gateway.sign_in_authority().public_key_line())?,
            target: line(gateway.target_authority().public_key_line())?,
        })
    }
}
