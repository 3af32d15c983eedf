//! `postgres:` in a Target: how the gate reaches a PostgreSQL server.

use portcullis_domain::database::MAX_DATABASE_BYTES;
use portcullis_domain::{Login, PostgresCredential, PostgresTarget, PostgresTls};

use super::secret;
use super::target::{SECRET, host, mark_addresses, port};
use crate::node::{Node, Value};
use crate::problem::is_deceptive;
use crate::reader::{Read, Reader};

/// PostgreSQL's own port, as registered with IANA.
pub(crate) const POSTGRES_PORT: u16 = 5432;
/// Most databases of one target.
const MAX_DATABASES: usize = 256;
/// Longest list of authorities in PEM, in bytes.
const MAX_AUTHORITY_BYTES: usize = 64 * 1024;
const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

pub(crate) const POSTGRES: &[&str] = &["host", "port", "aliases", "databases", "logins", "tls"];
pub(crate) const LOGIN: &[&str] = &["name", "password", "certificate"];

pub(super) fn postgres(reader: &mut Reader<'_>, node: &Node) -> Read<PostgresTarget> {
    let fields = reader.fields(node, "`postgres`", POSTGRES)?;
    let host_name = fields.required(reader, "host", "`host:` with a host name or address", host);
    let port = fields.optional(reader, "port", port);
    let aliases = fields.or_default(reader, "aliases", |r, node| r.set(node, host));
    let hint = "`databases:` with the databases that may be entered";
    let databases = fields.required(reader, "databases", hint, databases);
    let hint = "`logins:` with roles of the server and their credentials";
    let logins = fields.required(reader, "logins", hint, logins);
    let tls = fields.optional(reader, "tls", tls);
    let port = port?.unwrap_or(POSTGRES_PORT);
    mark_addresses(reader, node, port);
    let (logins, credentials) = logins?.into_iter().unzip();
    Ok(PostgresTarget {
        host: host_name?,
        port,
        aliases: aliases?,
        databases: databases?,
        logins,
        credentials,
        tls: tls?.unwrap_or(PostgresTls::SystemRoots),
    })
}

fn databases(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<String>> {
    let databases = reader.list(node, |reader, node| {
        let name = reader.line(node, MAX_DATABASE_BYTES)?;
        if name.is_empty() {
            let help = "write its exact name";
            return Err(reader.note(node.at, "a database has a name", Some(help.into())));
        }
        Ok(name)
    })?;
    if databases.is_empty() || databases.len() > MAX_DATABASES {
        let message = format!("a target has between 1 and {MAX_DATABASES} databases");
        let help = "name those that may be entered through the gate";
        return Err(reader.note(node.at, message, Some(help.into())));
    }
    Ok(databases)
}

fn logins(reader: &mut Reader<'_>, node: &Node) -> Read<Vec<(Login, PostgresCredential)>> {
    let mut logins: Vec<(Login, PostgresCredential)> = Vec::new();
    let mut outcome = Ok(());
    for item in reader.items(node)? {
        match login(reader, item) {
            Ok((name, _)) if logins.iter().any(|(known, _)| *known == name) => {
                let help = "keep one of the two".to_owned();
                outcome = Err(reader.note(item.at, "this login is listed twice", Some(help)));
            }
            Ok(login) => logins.push(login),
            Err(noted) => outcome = Err(noted),
        }
    }
    outcome?;
    if logins.is_empty() {
        let help = "name at least one role of the server";
        let message = "a target without logins cannot be entered";
        return Err(reader.note(node.at, message, Some(help.into())));
    }
    Ok(logins)
}

/// `{name: ROLE, password: {secret: NAME}}` or `{name: ROLE, certificate: {secret: NAME}}`.
fn login(reader: &mut Reader<'_>, node: &Node) -> Read<(Login, PostgresCredential)> {
    let fields = reader.fields(node, "a login", LOGIN)?;
    let hint = "`name:` with the name of the role on the server";
    let name = fields.required(reader, "name", hint, |r, node| r.parse(node));
    let named = |reader: &mut Reader<'_>, node: &Node| {
        let fields = reader.fields(node, "the credential", SECRET)?;
        fields.required(reader, "secret", "`secret:` with the name of a stored secret", secret)
    };
    let password = fields.optional(reader, "password", named);
    let certificate = fields.optional(reader, "certificate", named);
    let credential = match (password?, certificate?) {
        (Some(secret), None) => PostgresCredential::Password { secret },
        (None, Some(secret)) => PostgresCredential::Certificate { secret },
        _ => {
            let help = "write `password: {secret: NAME}` or `certificate: {secret: NAME}`";
            return Err(reader.note(node.at, "a login has one credential", Some(help.into())));
        }
    };
    Ok((name?, credential))
}

/// `system_roots`, `plaintext` or `{authority: PEM}`.
fn tls(reader: &mut Reader<'_>, node: &Node) -> Read<PostgresTls> {
    if !matches!(node.value, Value::Map(_)) {
        let words = [("system_roots", false), ("plaintext", true)];
        let what = "how a server proves itself: `system_roots`, `{authority: PEM}` or `plaintext`";
        let plain = reader.one_of(node, what, &words)?;
        return Ok(if plain { PostgresTls::Plaintext } else { PostgresTls::SystemRoots });
    }
    let fields = reader.fields(node, "`tls`", &["authority"])?;
    let hint = "`authority: |` with certificates in PEM";
    fields.required(reader, "authority", hint, authority)
}

/// Certificates in PEM and nothing else; whether they can be read is found when they are used.
fn authority(reader: &mut Reader<'_>, node: &Node) -> Read<PostgresTls> {
    let text = reader.text(node)?;
    let is_private = text.contains("PRIVATE KEY");
    let plain = text.chars().all(|c| c == '\n' || !is_deceptive(c));
    if is_private || !plain || !text.contains(PEM_BEGIN) || text.len() > MAX_AUTHORITY_BYTES {
        let message = "these are not certificates in PEM";
        let help = "paste the certificates of the authority, each from `-----BEGIN CERTIFICATE-----` to its end";
        // A private key may stand here by mistake: it is not repeated.
        return Err(reader.note_unshown(node.at, message, Some(help.into())));
    }
    Ok(PostgresTls::Authority { certificates: text.to_owned() })
}
