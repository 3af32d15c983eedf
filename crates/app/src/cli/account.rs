//! One's own account: password and second factors.

use clap::Subcommand;
use hyper::Method;
use portcullis_control::view::{ConfirmBody, ProofBody, RecoveryCodesView, TotpView};
use serde::Serialize;

use super::factors::proof;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, escape, qr};
use crate::prompt;

#[derive(Debug, Subcommand)]
pub(super) enum Account {
    /// Change your password
    Password,
    /// Set up your second factor
    #[command(subcommand)]
    Factor(Factor),
}

#[derive(Debug, Subcommand)]
pub(super) enum Factor {
    /// Load a new secret for one-time codes into your authenticator application
    Enrol,
    /// Get new recovery codes; the old ones stop working
    RecoveryCodes,
}

impl Account {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out) = (context.client()?, context.out);
        match self {
            Self::Password => password(context, &client).await?,
            Self::Factor(Factor::Enrol) => enrol(&client, out).await?,
            Self::Factor(Factor::RecoveryCodes) => recovery_codes(&client, out).await?,
        }
        Ok(Outcome::Done)
    }
}

/// Body of `POST /v1/me/password`, with a code where the person has a second factor.
#[derive(Serialize)]
struct NewPassword {
    old: String,
    new: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

async fn password(context: &Context, client: &Client) -> Result<(), Failure> {
    let ProofBody { password, code, .. } = proof(client).await?;
    let old = password.unwrap_or_default();
    let new = prompt::new_password()?.expose().clone();
    client.tell(Method::POST, "/v1/me/password", Some(&NewPassword { old, new, code })).await?;
    // The node has ended every sign-in of this person, this one included.
    context.home.forget()?;
    context.out.either(&serde_json::json!({"changed": true}), |out| {
        out.line("your password is changed and you are signed out everywhere; sign in again with `portcullis login USER`")
    })
}

async fn enrol(client: &Client, out: Out) -> Result<(), Failure> {
    let body = proof(client).await?;
    let view: TotpView = client.post("/v1/me/totp", &body).await?;
    if out.json {
        // For programs: they compute the code and confirm with the API themselves.
        return out.json(&view);
    }
    if let Some(drawn) = qr::draw(&view.uri) {
        out.line(&drawn)?;
    }
    out.line(&format!(
        "secret: {}\nuri:    {}\nLoad one of them into your authenticator application; neither is shown again.",
        escape::line(&view.secret),
        escape::line(&view.uri)
    ))?;
    let code = prompt::secret("code it shows: ", "PORTCULLIS_NEW_CODE")?;
    let body = ConfirmBody { code: code.expose().clone() };
    client.tell(Method::POST, "/v1/me/totp/confirm", Some(&body)).await?;
    out.line(
        "your second factor is set up; get recovery codes with `portcullis factor recovery-codes`",
    )
}

async fn recovery_codes(client: &Client, out: Out) -> Result<(), Failure> {
    let body = proof(client).await?;
    let view: RecoveryCodesView = client.post("/v1/me/recovery-codes", &body).await?;
    out.either(&view, |out| {
        out.line(
            "each of these works once, instead of a one-time code; they are not shown again:",
        )?;
        view.codes.iter().try_for_each(|code| out.line(&format!("  {}", escape::line(code))))
    })
}
