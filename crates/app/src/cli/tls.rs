//! What a sign-in keeps for clients that speak TLS: a key, a certificate, whom to trust, and a
//! connection service file for PostgreSQL's own clients.

use portcullis_control::view::LoginView;
use portcullis_domain::Secret;
use portcullis_identity::authority::{client_key, public_half};

use crate::failure::Failure;
use crate::home::Home;

/// The connection service file (`PGSERVICEFILE`).
pub(super) const SERVICES: &str = "pg_service.conf";
const KEY: &str = "tls.key";
const CERTIFICATE: &str = "tls.crt";
const AUTHORITY: &str = "tls-authority.crt";
/// Largest key file read, in bytes.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// The public half of the key kept for this command line; made when it is not there.
pub(super) fn public_key(home: &Home) -> Result<String, Failure> {
    let failed =
        |error: &dyn std::error::Error| Failure::because("the TLS key cannot be used", error);
    let path = home.path(KEY);
    let kept = match path.metadata() {
        Ok(found) if found.len() <= MAX_KEY_BYTES => {
            let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
            public_half(&Secret::new(text)).ok()
        }
        _ => None,
    };
    if let Some(public) = kept {
        return Ok(public);
    }
    let (private, public) = client_key().map_err(|error| failed(&error))?;
    home.write(KEY, private.expose().as_bytes())?;
    Ok(public)
}

/// Keeps the certificate and writes the service file.
pub(super) fn keep(home: &Home, view: &LoginView) -> Result<(), Failure> {
    let Some(certificate) = &view.tls_certificate else { return Ok(()) };
    home.write(CERTIFICATE, certificate.as_bytes())?;
    home.write(AUTHORITY, view.tls_authority.as_bytes())?;
    let Some(address) = &view.postgres_address else { return Ok(()) };
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
    let host = host.trim_matches(['[', ']']);
    let plain = |c: char| c.is_ascii_alphanumeric() || ".:-_".contains(c);
    if !host.chars().all(plain) || port.parse::<u16>().is_err() {
        return Err(Failure::Failed("the node's PostgreSQL address is no `host:port`".into()));
    }
    let path = |name| home.path(name).display().to_string();
    let text = format!(
        "# written by `portcullis login`; do not edit\n[portcullis]\nhost={host}\nport={port}\n\
         user={}\nsslmode=verify-full\nsslrootcert={}\nsslcert={}\nsslkey={}\n",
        view.user,
        path(AUTHORITY),
        path(CERTIFICATE),
        path(KEY),
    );
    home.write(SERVICES, text.as_bytes())
}
