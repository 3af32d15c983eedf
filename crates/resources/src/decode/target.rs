//! `kind: Target`.

use std::net::IpAddr;

use portcullis_domain::{Kind, Protocol, SshCredential, SshTarget, Target};

use super::people::public_keys;
use super::postgres::postgres;
use super::{Parts, labels, reference, secret};
use crate::node::{Node, Value};
use crate::problem::quoted;
use crate::reader::{Read, Reader};
use crate::references::address;
use crate::ssh_key::KeyUse;

/// SSH's own port (RFC 4253 section 4.2).
pub(crate) const DEFAULT_PORT: u16 = 22;
/// Variables a client may set where nothing else is said: language and formats.
pub(crate) const DEFAULT_ACCEPT_ENV: [&str; 2] = ["LANG", "LC_*"];
/// Longest host name, in bytes (RFC 1035 section 2.3.4).
const MAX_HOST_BYTES: usize = 253;
/// Longest name of an environment variable, in bytes.
const MAX_VARIABLE_BYTES: usize = 128;

/// Algorithms outside the modern set that a target may name, for network devices that have nothing
/// better. Everything else is refused, so a misspelt name never weakens or breaks a connection.
pub const LEGACY_ALGORITHMS: [&str; 9] = [
    "diffie-hellman-group1-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha1",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "hmac-sha1",
    "hmac-sha1-etm@openssh.com",
    "ssh-rsa",
];

pub(crate) const SPEC: &[&str] = &["environment", "ssh", "postgres"];
pub(crate) const SSH: &[&str] = &[
    "host",
    "port",
    "aliases",
    "logins",
    "host_keys",
    "host_authorities",
    "credential",
    "legacy_algorithms",
    "accept_env",
];

pub(crate) const SECRET: &[&str] = &["secret"];

pub(super) fn target(reader: &mut Reader<'_>, parts: &Parts<'_>) -> Read<Target> {
    let name = parts.name(reader);
    let labels = match &parts.metadata {
        Ok(metadata) => metadata.or_default(reader, "labels", labels),
        Err(noted) => Err(*noted),
    };
    let fields = parts.spec(reader, "the spec of a Target", SPEC)?;
    let hint = "`environment:` with the one environment the target belongs to";
    let environment = fields.required(reader, "environment", hint, reference(Kind::Environment));
    let ssh = fields.optional(reader, "ssh", ssh);
    let postgres = fields.optional(reader, "postgres", postgres);
    let protocol = match (ssh?, postgres?) {
        (Some(ssh), None) => Protocol::Ssh(ssh),
        (None, Some(postgres)) => Protocol::Postgres(postgres),
        (None, None) => {
            let help = "add `ssh:` or `postgres:` with how to reach the target";
            let message = "neither `ssh` nor `postgres` says how the target is reached";
            return Err(reader.note(parts.spec?.at, message, Some(help.into())));
        }
        (Some(_), Some(_)) => {
            let help = "declare a machine with two ways in as two targets";
            let message = "a target has `ssh` or `postgres`, not both";
            return Err(reader.note(fields.place("postgres"), message, Some(help.into())));
        }
    };
    Ok(Target { name: name?, environment: environment?, labels: labels?, protocol })
}

fn ssh(reader: &mut Reader<'_>, node: &Node) -> Read<SshTarget> {
    let fields = reader.fields(node, "`ssh`", SSH)?;
    let host_name = fields.required(reader, "host", "`host:` with a host name or address", host);
    let port = fields.optional(reader, "port", port);
    let aliases = fields.or_default(reader, "aliases", |r, node| r.set(node, host));
    let logins =
        fields.required(reader, "logins", "`logins:` with accounts on the target", |r, node| {
            let logins = r.list(node, Reader::parse)?;
            if logins.is_empty() {
                let help = "name at least one account";
                return Err(r.note(
                    node.at,
                    "a target without logins cannot be entered",
                    Some(help.into()),
                ));
            }
            Ok(logins)
        });
    let host_keys = fields.or_default(reader, "host_keys", |r, node| {
        public_keys(r, node, KeyUse::Host, |_, _, _| ())
    });
    let host_authorities = fields.or_default(reader, "host_authorities", |r, node| {
        public_keys(r, node, KeyUse::Signing, |_, _, _| ())
    });
    let credential = fields.optional(reader, "credential", credential);
    let legacy_algorithms = fields.or_default(reader, "legacy_algorithms", |r, node| {
        let words = LEGACY_ALGORITHMS.map(|name| (name, name));
        r.set(node, |r, node| {
            r.one_of(node, "an older algorithm that can be turned on", &words).map(str::to_owned)
        })
    });
    let accept_env =
        fields.optional(reader, "accept_env", |r, node| r.list(node, variable_pattern));
    if let (Ok(keys), Ok(authorities)) = (&host_keys, &host_authorities)
        && keys.is_empty()
        && authorities.is_empty()
    {
        let message =
            "neither `host_keys` nor `host_authorities` says how the target proves itself";
        let help = "add `host_keys:` with what `ssh-keyscan` prints after the host, once you have compared it";
        return Err(reader.note(node.at, message, Some(help.into())));
    }
    let port = port?.unwrap_or(DEFAULT_PORT);
    mark_addresses(reader, node, port);
    Ok(SshTarget {
        host: host_name?,
        port,
        aliases: aliases?,
        logins: logins?,
        host_keys: host_keys?,
        host_authorities: host_authorities?,
        credential: credential?.unwrap_or(SshCredential::Certificate),
        legacy_algorithms: legacy_algorithms?,
        accept_env: accept_env?.unwrap_or_else(|| DEFAULT_ACCEPT_ENV.map(str::to_owned).into()),
    })
}

/// Remembers where each name of the target is written, now that the port is known.
pub(super) fn mark_addresses(reader: &mut Reader<'_>, settings: &Node, port: u16) {
    let Value::Map(entries) = &settings.value else { return };
    for (key, node) in entries {
        let nodes = match (key.text.as_str(), &node.value) {
            ("host", Value::Text(_)) => std::slice::from_ref(node),
            ("aliases", Value::List(items)) => items,
            _ => continue,
        };
        for node in nodes {
            if let Value::Text(text) = &node.value
                && let Some(host) = canonical_host(text)
            {
                reader.mark(address(&host, port), node.at);
            }
        }
    }
}

pub(super) fn port(reader: &mut Reader<'_>, node: &Node) -> Read<u16> {
    let port = reader.number(node, 1, u32::from(u16::MAX))?;
    u16::try_from(port).map_err(|_| reader.note(node.at, "this is not a port", None))
}

pub(super) fn host(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let text = reader.text(node)?;
    canonical_host(text).ok_or_else(|| {
        let message = format!("`{}` is not a host name or address", quoted(text));
        let help = "write the bare name or address, such as `web.internal`, `10.0.0.5` or `2001:db8::5`; the port stands in `port`";
        reader.note(node.at, message, Some(help.into()))
    })
}

/// A host in the one form it is compared in: lower case, no final dot, addresses as the standard
/// library writes them and IPv4 in IPv6 as IPv4.
fn canonical_host(text: &str) -> Option<String> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical().to_string());
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // `10.1` and `0x0a000001` are addresses to a resolver but not to us: one host, two names.
    let looks_like_a_number = name.rsplit('.').next().is_some_and(|last| {
        last.bytes().all(|b| b.is_ascii_digit())
            || last
                .strip_prefix("0x")
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    let fits =
        name.len() <= MAX_HOST_BYTES && name.split('.').all(is_label) && !looks_like_a_number;
    fits.then_some(name)
}

/// `certificate`, `{key: {secret: NAME}}` or `{password: {secret: NAME}}`.
fn credential(reader: &mut Reader<'_>, node: &Node) -> Read<SshCredential> {
    let Value::Map(_) = node.value else {
        let what =
            "a credential: `certificate`, `{key: {secret: NAME}}` or `{password: {secret: NAME}}`";
        return reader
            .one_of(node, what, &[("certificate", ())])
            .map(|()| SshCredential::Certificate);
    };
    let fields = reader.fields(node, "`credential`", &["key", "password"])?;
    let named = |reader: &mut Reader<'_>, node: &Node| {
        let fields = reader.fields(node, "the credential", SECRET)?;
        fields.required(reader, "secret", "`secret:` with the name of a stored secret", secret)
    };
    let key = fields.optional(reader, "key", named)?;
    let password = fields.optional(reader, "password", named)?;
    match (key, password) {
        (Some(secret), None) => Ok(SshCredential::Key { secret }),
        (None, Some(secret)) => Ok(SshCredential::Password { secret }),
        _ => {
            let help = "write `{key: {secret: NAME}}` or `{password: {secret: NAME}}`";
            Err(reader.note(node.at, "a target has one credential", Some(help.into())))
        }
    }
}

/// The name of a variable, `*` at the end allowed.
fn variable_pattern(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let text = reader.text(node)?;
    let name = text.strip_suffix('*').unwrap_or(text);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !starts || !rest || text.len() > MAX_VARIABLE_BYTES {
        let message = format!("`{}` is not a variable that can be let through", quoted(text));
        let help =
            "write its name, such as `LANG` or `LC_*`; `*` alone would let everything through";
        return Err(reader.note(node.at, message, Some(help.into())));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_one_written_form() {
        let same = [
            ("WEB.internal.", "web.internal"),
            ("::ffff:10.0.0.5", "10.0.0.5"),
            ("2001:DB8:0::5", "2001:db8::5"),
            ("10.0.0.5", "10.0.0.5"),
        ];
        for (text, canonical) in same {
            assert_eq!(canonical_host(text).as_deref(), Some(canonical));
        }
    }

    #[test]
    fn what_a_resolver_might_take_for_an_address_is_not_a_host_name() {
        for text in [
            "",
            ".",
            "10.1",
            "10.0.0.256",
            "0x7f000001",
            "2130706433",
            "a..b",
            "-a",
            "a b",
            "[::1]",
            "fe80::1%eth0",
            "web:22",
            "wéb",
            "a/b",
            "user@host",
        ] {
            assert_eq!(canonical_host(text), None, "{text}");
        }
    }
}
