//! Other people's credentials and the secrets of targets.

use clap::{Args, Subcommand};
use hyper::Method;
use portcullis_control::view::{ResetBody, ResetView, SecretBody};
use portcullis_domain::Secret;
use portcullis_identity::random::{OsRandom, Random};

use crate::client::path;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, escape, short, time};
use crate::prompt;

/// Letters and digits that are not mistaken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 24 of 32 symbols: 120 bits.
const PASSWORD_SYMBOLS: usize = 24;

#[derive(Debug, Subcommand)]
pub(super) enum Credentials {
    /// Users' credentials
    #[command(subcommand)]
    User(User),
    /// Secrets the gate uses at targets: keys and passwords, each of one environment
    #[command(subcommand)]
    Secret(SecretCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Propose to give somebody a temporary password; their factors and sessions end
    ///
    /// It is in force once another administrator has approved it with `portcullis changes approve`.
    Reset(Reset),
}

#[derive(Debug, Args)]
pub(super) struct Reset {
    /// Who
    user: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Ask for the temporary password instead of making one up
    #[arg(long)]
    ask: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum SecretCommand {
    /// Store a secret, read from standard input or asked for
    Put {
        /// The environment it belongs to
        environment: String,
        /// Its name, as targets refer to it
        name: String,
    },
    /// List the names of an environment's secrets
    List {
        /// The environment
        environment: String,
    },
}

impl Credentials {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        match self {
            Self::User(User::Reset(reset)) => {
                let password = match reset.ask {
                    true => prompt::new_password()?,
                    false => generate_password()?,
                };
                let body = ResetBody { password: password.expose().clone(), reason: reset.reason };
                let path = path("/v1/users/{}/credentials/reset", &[&reset.user]);
                let proposed: ResetView = client.post(&path, &body).await?;
                let made = (!reset.ask).then(|| password.expose().clone());
                let answer = serde_json::json!({
                    "user": reset.user, "password": made, "change": proposed.change,
                    "expires": proposed.expires,
                });
                out.either(&answer, |out| print_reset(out, &reset.user, made.as_ref(), &proposed))?;
            }
            Self::Secret(SecretCommand::Put { environment, name }) => {
                let value = prompt::secret_or_input("secret: ")?;
                let body = SecretBody { value: value.expose().clone() };
                let path = path("/v1/environments/{}/secrets/{}", &[&environment, &name]);
                client.tell(Method::PUT, &path, Some(&body)).await?;
                let stored = serde_json::json!({"environment": environment, "name": name});
                out.either(&stored, |out| {
                    out.line(&format!("secret {name} of {environment} is stored"))
                })?;
            }
            Self::Secret(SecretCommand::List { environment }) => {
                let path = path("/v1/environments/{}/secrets", &[&environment]);
                let names: Vec<String> = client.list(&path, usize::MAX).await?;
                out.either(&names, |out| {
                    let rows = names.iter().map(|name| vec![name.clone()]).collect();
                    out.table(&["name"], rows, "no secrets")
                })?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn print_reset(
    out: Out,
    user: &str,
    made: Option<&String>,
    proposed: &ResetView,
) -> Result<(), Failure> {
    if let Some(password) = made {
        out.line(&format!("temporary password: {password}\nIt is not shown again."))?;
    }
    out.line(&format!(
        "it is good for {} once another administrator has run, until {}:\n  portcullis changes approve {}\nTell {0} to change it with `portcullis password`",
        escape::line(user),
        time(proposed.expires),
        short(proposed.change)
    ))
}

/// A password nobody chose: 120 random bits in symbols that can be read out over a telephone.
pub(crate) fn generate_password() -> Result<Secret<String>, Failure> {
    let mut random = zeroize::Zeroizing::new([0_u8; PASSWORD_SYMBOLS]);
    OsRandom
        .fill(&mut *random)
        .map_err(|error| Failure::because("cannot make up a password", &error))?;
    let mut text = String::with_capacity(PASSWORD_SYMBOLS + PASSWORD_SYMBOLS / 6);
    for (index, byte) in random.iter().enumerate() {
        if index > 0 && index % 6 == 0 {
            text.push('-');
        }
        let symbol = ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'x');
        text.push(char::from(symbol));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_password_is_long_readable_and_never_the_same() {
        let (first, second) = (generate_password().unwrap(), generate_password().unwrap());
        assert_ne!(first.expose(), second.expose());
        assert_eq!(first.expose().len(), 27);
        assert!(first.expose().bytes().all(|byte| byte == b'-' || ALPHABET.contains(&byte)));
    }
}
