//! One's own second factors, and clients that wait for one.

use std::io::IsTerminal;

use clap::Subcommand;
use hyper::Method;
use portcullis_control::view::{
    ConfirmationView, FactorNameBody, FactorView, FactorsView, ProofBody, WhoamiView,
};

use crate::client::{Client, path};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, escape, time};
use crate::prompt::{self, CODE_VARIABLE, PASSWORD_VARIABLE};

#[derive(Debug, Subcommand)]
pub(super) enum Factors {
    /// Your second factors: one-time codes, passkeys, security keys
    ///
    /// Passkeys and security keys are registered in the console, with a browser.
    #[command(subcommand)]
    Factors(FactorsCommand),
    /// Prove a second factor for a client that waits and shows a code
    ///
    /// `ssh` and database clients show such a code. Look at what waits before you go on: whoever is
    /// there comes in as you. For scripts the one-time code is taken from PORTCULLIS_CODE.
    Confirm {
        /// What the client shows
        code: String,
        /// It is not you: refuse it, and have it looked at
        #[arg(long)]
        refuse: bool,
        /// Do not ask whether it is you
        #[arg(long, short, conflicts_with = "refuse")]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum FactorsCommand {
    /// List your second factors, or somebody's
    List {
        /// Whose
        #[arg(long)]
        user: Option<String>,
    },
    /// Give a passkey or security key another name
    Rename {
        /// The id, or at least its last six digits
        id: String,
        /// What you call it
        name: String,
    },
    /// Remove a second factor; you stay out of production for a while
    Remove {
        /// The id, or at least its last six digits; `totp` or `recovery_codes`
        id: String,
    },
    /// Prove a second factor anew, for what needs a fresh one
    Prove,
}

impl Factors {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        match self {
            Self::Factors(FactorsCommand::List { user }) => {
                let asked = match &user {
                    Some(user) => path("/v1/users/{}/factors", &[user]),
                    None => "/v1/me/factors".to_owned(),
                };
                let view: FactorsView = client.get(&asked).await?;
                out.either(&view, |out| print_factors(out, &view))?;
            }
            Self::Factors(FactorsCommand::Rename { id, name }) => {
                let path = path("/v1/me/factors/{}", &[&id]);
                let body = FactorNameBody { name };
                client.tell(Method::PUT, &path, Some(&body)).await?;
                out.either(&serde_json::json!({"renamed": id}), |out| out.line("renamed"))?;
            }
            Self::Factors(FactorsCommand::Remove { id }) => {
                let body = proof(&client).await?;
                let path = path("/v1/me/factors/{}/remove", &[&id]);
                client.tell(Method::POST, &path, Some(&body)).await?;
                let done = serde_json::json!({"removed": id});
                out.either(&done, |out| {
                    out.line("removed; `portcullis factors list` says what it means for production")
                })?;
            }
            Self::Factors(FactorsCommand::Prove) => {
                client.tell(Method::POST, "/v1/me/step-up", Some(&fresh_code()?)).await?;
                out.either(&serde_json::json!({"proved": true}), |out| out.line("proved"))?;
            }
            Self::Confirm { code, refuse, yes } => {
                confirm(&client, out, &code, refuse, yes).await?;
            }
        }
        Ok(Outcome::Done)
    }
}

/// Password, and a present code where a second factor exists: whoever finds an open terminal cannot
/// replace it.
pub(super) async fn proof(client: &Client) -> Result<ProofBody, Failure> {
    let me: WhoamiView = client.get("/v1/whoami").await?;
    let password = prompt::secret("password: ", PASSWORD_VARIABLE)?;
    let mut body = ProofBody { password: Some(password.expose().clone()), ..ProofBody::default() };
    if !me.second_factors.is_empty() {
        let code = prompt::secret("present one-time or recovery code: ", CODE_VARIABLE)?;
        body.code = Some(code.expose().clone());
    }
    Ok(body)
}

fn fresh_code() -> Result<ProofBody, Failure> {
    let code = prompt::secret("one-time code: ", CODE_VARIABLE)?;
    Ok(ProofBody { code: Some(code.expose().clone()), ..ProofBody::default() })
}

async fn confirm(
    client: &Client,
    out: Out,
    code: &str,
    refuse: bool,
    yes: bool,
) -> Result<(), Failure> {
    let waiting: ConfirmationView = client.get(&path("/v1/confirmations/{}", &[code])).await?;
    if refuse {
        let path = path("/v1/confirmations/{}/refuse", &[code]);
        client.tell(Method::POST, &path, None::<&()>).await?;
        let done = serde_json::json!({"refused": waiting});
        return out.either(&done, |out| {
            out.line("refused. Whoever it was has your password or key: change it, and tell your administrator")
        });
    }
    if !out.json {
        print_waiting(out, &waiting)?;
    }
    if !yes && std::io::stdin().is_terminal() && !prompt::confirm("is this you?")? {
        return Err(Failure::Failed("nothing was confirmed".into()));
    }
    let path = path("/v1/confirmations/{}/confirm", &[code]);
    client.tell(Method::POST, &path, Some(&fresh_code()?)).await?;
    out.either(&serde_json::json!({"confirmed": waiting}), |out| {
        out.line("confirmed; the client goes on")
    })
}

fn print_waiting(out: Out, waiting: &ConfirmationView) -> Result<(), Failure> {
    let target = waiting.target.as_ref().map_or("not said yet", |target| target.as_str());
    out.line(&format!("client:  {}", escape::line(&waiting.device)))?;
    out.line(&format!("from:    {}", waiting.source))?;
    out.line(&format!("target:  {target}"))?;
    out.line(&format!("waiting: since {}, until {}", time(waiting.at), time(waiting.expires)))
}

fn print_factors(out: Out, view: &FactorsView) -> Result<(), Failure> {
    let moment = |at: Option<_>| at.map_or("-".to_owned(), time);
    let row = |factor: &FactorView| {
        vec![
            factor.id.rsplit_once('-').map_or(factor.id.as_str(), |(_, id)| last(id)).to_owned(),
            factor.kind.clone(),
            escape::line(&factor.name),
            moment(factor.created),
            moment(factor.used),
        ]
    };
    let rows = view.factors.iter().map(row).collect();
    out.table(&["id", "kind", "name", "since", "last used"], rows, "no second factors")?;
    match view.production_opens {
        Some(until) => out.line(&format!(
            "these changed a short while ago: production opens at {}, or when another person approves it in `portcullis changes`",
            time(until)
        )),
        None => Ok(()),
    }
}

/// The last eight digits of an id: enough to point at it.
fn last(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id)
}
