//! Forwards that would go around a room.
//!
//! A forward through one target to another that Portcullis knows would reach it without its own
//! policy, recording and credentials. Such a forward is refused whatever the roles say. Names are
//! compared as the client wrote them, against every name and address a target is declared with, and
//! by the addresses both have as seen from the gate. What the far target alone resolves them to is
//! out of the gate's sight, which `docs/` says.

use std::collections::BTreeSet;
use std::net::IpAddr;

use portcullis_domain::{Facts, Target};

use crate::live::LiveSession;
use crate::lookup::addresses_of;

/// Names the hosts files of common systems give to loopback.
const LOOPBACK_NAMES: [&str; 8] = [
    "localhost",
    "localhost4",
    "localhost6",
    "localhost.localdomain",
    "localhost4.localdomain4",
    "localhost6.localdomain6",
    "ip6-localhost",
    "ip6-loopback",
];

/// The suffix under which targets are reached through a generated `ssh_config`.
pub const HOST_SUFFIX: &str = ".portcullis";

impl LiveSession {
    /// What to tell the user if a forward to `host:port` would reach a target around its room.
    ///
    /// Takes as long as asking the resolver does, bounded by [`crate::lookup`], and only where a
    /// target listens on this port at all.
    pub async fn forward_goes_around(&self, host: &str, port: u16) -> Option<String> {
        let snapshot = self.gateway().snapshot();
        let facts = &snapshot.facts;
        let found = match known_target(facts, self.target(), host, port) {
            Some(name) => Some(name),
            None => known_by_address(facts, self.target(), host, port).await,
        };
        found.map(|name| {
            format!(
                "`{name}` is behind this gate; go through its own door (`ssh {name}{HOST_SUFFIX}`) \
                 instead of a forward"
            )
        })
    }
}

/// The known target that has an address of `host`, as the gate's resolver sees both. A name that
/// is not resolved here is judged by its text alone.
async fn known_by_address<'a>(
    facts: &'a Facts,
    through: &Target,
    host: &str,
    port: u16,
) -> Option<&'a portcullis_domain::TargetName> {
    let candidates: Vec<&Target> =
        facts.targets.values().filter(|target| target.port() == port).collect();
    if candidates.is_empty() {
        return None;
    }
    let wanted = addresses_of(BTreeSet::from([canonical(host)])).await;
    let wanted: BTreeSet<String> =
        wanted.into_iter().map(|(_, address)| canonical(&address.to_string())).collect();
    let by_text = wanted.iter().find_map(|address| known_target(facts, through, address, port));
    if by_text.is_some() || wanted.is_empty() {
        return by_text;
    }
    let names = candidates.iter().flat_map(|target| names(target, through)).collect();
    let known = addresses_of(names).await;
    let hit: BTreeSet<String> = known
        .into_iter()
        .filter(|(_, address)| wanted.contains(&canonical(&address.to_string())))
        .map(|(name, _)| name)
        .collect();
    let meets = |target: &&&Target| names_any(target, through, &hit);
    candidates.iter().find(meets).map(|target| &target.name)
}

fn names_any(target: &Target, through: &Target, hit: &BTreeSet<String>) -> bool {
    names(target, through).any(|name| hit.contains(&name))
}

/// The known target a forward through `through` to `host:port` would reach.
fn known_target<'a>(
    facts: &'a Facts,
    through: &Target,
    host: &str,
    port: u16,
) -> Option<&'a portcullis_domain::TargetName> {
    let wanted = canonical(host);
    if let Some(name) = wanted.strip_suffix(HOST_SUFFIX)
        && let Some(target) = facts.targets.values().find(|target| target.name.as_str() == name)
    {
        return Some(&target.name);
    }
    facts
        .targets
        .values()
        .find(|target| target.port() == port && names(target, through).any(|name| name == wanted))
        .map(|target| &target.name)
}

/// Every name and address `target` may go by, seen from `through`. From a host itself, loopback
/// is one more name for it.
fn names<'a>(target: &'a Target, through: &Target) -> impl Iterator<Item = String> + 'a {
    let own = target.name == through.name || is_loopback(&canonical(target.host()));
    let loopback: &[&str] = if own { &["localhost", "127.0.0.1", "::1"] } else { &[] };
    target
        .hosts()
        .chain(std::iter::once(target.name.as_str()))
        .map(canonical)
        .chain(loopback.iter().map(|name| canonical(name)))
}

/// Lower case without a final dot; addresses in their one canonical form, every loopback and
/// unspecified address as one.
fn canonical(host: &str) -> String {
    let plain = host.trim().trim_matches(['[', ']']);
    // A zone (RFC 6874) says through which interface, not to whom.
    let plain = plain.split_once('%').map_or(plain, |(address, _)| address);
    let plain = plain.trim_end_matches('.').to_ascii_lowercase();
    match plain.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) if ip.is_loopback() || ip.is_unspecified() => "127.0.0.1".into(),
        Ok(ip) => ip.to_string(),
        Err(_) if LOOPBACK_NAMES.contains(&plain.as_str()) || plain.ends_with(".localhost") => {
            "127.0.0.1".into()
        }
        Err(_) => decimal_address(&plain).unwrap_or(plain),
    }
}

/// The C library also reads `2130706433`, `0x7f.1` and `127.1` as IPv4 addresses.
fn decimal_address(text: &str) -> Option<String> {
    let parts = text.split('.').map(number).collect::<Option<Vec<u32>>>()?;
    let (last, leading) = parts.split_last()?;
    if leading.len() > 3 || leading.iter().any(|part| *part > 255) {
        return None;
    }
    let free_bits = 32 - 8 * u32::try_from(leading.len()).ok()?;
    if free_bits < 32 && u64::from(*last) >= 1u64 << free_bits {
        return None;
    }
    let mut address = *last;
    for (index, part) in leading.iter().enumerate() {
        address |= part << (24 - 8 * u32::try_from(index).ok()?);
    }
    Some(canonical(&std::net::Ipv4Addr::from(address).to_string()))
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8).ok(),
        None => text.parse().ok(),
    }
}

fn is_loopback(canonical: &str) -> bool {
    canonical == "127.0.0.1"
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::{
        EnvironmentName, Login, Protocol, SshCredential, SshTarget, TargetName,
    };

    #[test]
    fn a_forward_to_a_known_target_is_found_by_every_spelling() {
        let facts = facts();
        let web = facts.targets.values().find(|t| t.name.as_str() == "web").unwrap();
        for host in [
            "10.0.0.7",
            "DB.internal.",
            "db",
            "db.portcullis",
            "::ffff:10.0.0.7",
            "167772167",
            "10.7",
        ] {
            assert!(known_target(&facts, web, host, 22).is_some(), "{host}");
        }
        assert!(known_target(&facts, web, "db.portcullis", 9999).is_some());
    }

    #[test]
    fn loopback_seen_from_a_target_is_that_target() {
        let facts = facts();
        let web = facts.targets.values().find(|t| t.name.as_str() == "web").unwrap();
        for host in [
            "localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
            "0.0.0.0",
            "0x7f.1",
            "::1%lo",
            "ip6-localhost",
        ] {
            assert!(known_target(&facts, web, host, 22).is_some(), "{host}");
            assert!(known_target(&facts, web, host, 8080).is_none(), "{host}");
        }
    }

    #[test]
    fn other_destinations_are_left_to_policy() {
        let facts = facts();
        let web = facts.targets.values().next().unwrap();
        for host in ["10.0.0.70", "example.org", "", "256.1.1.1", "1.2.3.4.5"] {
            assert!(known_target(&facts, web, host, 22).is_none(), "{host}");
        }
    }

    #[tokio::test]
    async fn a_name_is_known_by_the_address_it_has_here() {
        let mut facts = facts();
        for target in facts.targets.values_mut() {
            // Whatever this machine calls itself by name: it resolves to loopback here.
            if target.name.as_str() == "db" {
                let Protocol::Ssh(ssh) = &mut target.protocol else { unreachable!() };
                ssh.host = "localhost".into();
                ssh.aliases.clear();
            }
        }
        let web = facts.targets.values().find(|t| t.name.as_str() == "web").unwrap();
        let found = known_by_address(&facts, web, "127.0.0.1", 22).await;
        assert_eq!(found.map(|name| name.as_str()), Some("db"));
        assert!(known_by_address(&facts, web, "127.0.0.1", 23).await.is_none());
        assert!(known_by_address(&facts, web, "no-such-name.invalid", 22).await.is_none());
        assert!(known_by_address(&facts, web, "192.0.2.1", 22).await.is_none());
    }

    fn facts() -> Facts {
        let mut facts = Facts::default();
        for (name, host, alias) in
            [("web", "10.0.0.5", "www.internal"), ("db", "10.0.0.7", "db.internal")]
        {
            facts.insert(portcullis_domain::Resource::Target(Target {
                name: TargetName::new(name).unwrap(),
                environment: EnvironmentName::new("production").unwrap(),
                labels: Default::default(),
                protocol: Protocol::Ssh(SshTarget {
                    host: host.into(),
                    port: 22,
                    aliases: [alias.to_owned()].into(),
                    logins: vec![Login::new("root").unwrap()],
                    host_keys: vec![],
                    host_authorities: vec![],
                    credential: SshCredential::Certificate,
                    legacy_algorithms: Default::default(),
                    accept_env: vec![],
                }),
            }));
        }
        facts
    }
}
