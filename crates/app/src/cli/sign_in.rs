//! Signing in and out. The answer to a sign-in is kept for the next commands and for `ssh`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hyper::Method;
use portcullis_control::view::{LoginBody, LoginView, WhoamiView};

use super::{ssh, tls};
use crate::client::{Client, ClientError};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::home::Credentials;
use crate::keys::UserKey;
use crate::print::{Out, escape, time};
use crate::prompt::{self, CODE_VARIABLE, PASSWORD_VARIABLE};

#[derive(Debug, Subcommand)]
pub(super) enum SignIn {
    /// Sign in; get certificates for ssh and TLS, and a token for this command line
    ///
    /// Asks for the password and a one-time code. For scripts both are taken from
    /// PORTCULLIS_PASSWORD and PORTCULLIS_CODE: every process of the same user can read them, so
    /// set them for this one command only.
    Login(Login),
    /// Sign out; the token and the certificate kept here are forgotten
    Logout,
    /// Say who you are and what you may do
    Whoami,
}

#[derive(Debug, Args)]
pub(super) struct Login {
    /// Your name
    user: String,
    /// Certify this SSH key (its .pub file is read) instead of one made for you
    #[arg(long, value_name = "PATH", conflicts_with = "no_key")]
    key: Option<PathBuf>,
    /// Ask for no certificates
    #[arg(long)]
    no_key: bool,
}

impl SignIn {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Login(login) => login.run(context).await?,
            Self::Logout => logout(context).await?,
            Self::Whoami => {
                let me: WhoamiView = context.client()?.get("/v1/whoami").await?;
                context.out.either(&me, |out| print_whoami(out, &me))?;
            }
        }
        Ok(Outcome::Done)
    }
}

impl Login {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.anonymous()?;
        let key = match (&self.key, self.no_key) {
            (_, true) => None,
            (Some(path), _) => Some(UserKey::existing(path)?),
            (None, _) => Some(UserKey::kept(&context.home)?),
        };
        let password = prompt::secret("password: ", PASSWORD_VARIABLE)?;
        let mut body = LoginBody {
            user: self.user,
            password: password.expose().clone(),
            code: None,
            public_key: key.as_ref().map(|key| key.public_line().to_owned()),
            tls_public_key: (!self.no_key).then(|| tls::public_key(&context.home)).transpose()?,
        };
        if let Some(code) = prompt::from_environment(CODE_VARIABLE) {
            body.code = Some(code.expose().clone());
        }
        let view = sign_in(&client, &mut body).await?;
        context.home.keep(&Credentials {
            address: client.address().to_string(),
            user: view.user.to_string(),
            token: view.token.clone(),
            expires: view.expires,
        })?;
        if let (Some(key), Some(certificate)) = (&key, &view.certificate) {
            key.keep_certificate(&context.home, certificate)?;
        }
        tls::keep(&context.home, &view)?;
        let signed_in = Client::new(client.address().clone(), Some(view.token.clone()));
        ssh::refresh(context, &signed_in, key.as_ref()).await?;
        context.out.either(&told(&view), |out| print_login(out, context, &view))
    }
}

/// Signs in, asking for the code only when the node wants one.
async fn sign_in(client: &Client, body: &mut LoginBody) -> Result<LoginView, Failure> {
    match client.post("/v1/login", body).await {
        Err(ClientError::Refused(problem))
            if problem.code == "second_factor_required" && body.code.is_none() =>
        {
            let code = prompt::secret("one-time code: ", CODE_VARIABLE)?;
            body.code = Some(code.expose().clone());
            Ok(client.post("/v1/login", body).await?)
        }
        other => Ok(other?),
    }
}

/// What `--json` prints: everything but the token, which is kept in its file only.
fn told(view: &LoginView) -> serde_json::Value {
    serde_json::json!({
        "user": view.user,
        "expires": view.expires,
        "certificate": view.certificate,
        "tls_certificate": view.tls_certificate,
        "postgres_address": view.postgres_address,
        "gate_host_key": view.gate_host_key,
        "ssh_address": view.ssh_address,
    })
}

fn print_login(out: Out, context: &Context, view: &LoginView) -> Result<(), Failure> {
    let address = escape::line(&view.ssh_address);
    let (host, port) = address.rsplit_once(':').unwrap_or((&address, "2022"));
    let config = context.home.path("ssh_config");
    if view.postgres_address.is_some() && view.tls_certificate.is_some() {
        let services = context.home.path(tls::SERVICES);
        out.line(&format!(
            "  PGSERVICEFILE={} psql \"service=portcullis dbname=TARGET/DATABASE\"",
            services.display()
        ))?;
    }
    out.line(&format!(
        "signed in as {} until {}\n  ssh -p {port} {}:TARGET@{host}\n  ssh -F {} LOGIN@TARGET.portcullis",
        view.user,
        time(view.expires),
        view.user,
        config.display()
    ))
}

async fn logout(context: &Context) -> Result<(), Failure> {
    // Forgotten here whatever the node says; the node is told first, so that the token ends there.
    let told = match context.client() {
        Ok(client) => client.tell(Method::POST, "/v1/logout", None::<&()>).await,
        Err(_) => Ok(()),
    };
    context.home.forget()?;
    match told {
        Ok(()) => {}
        Err(ClientError::Refused(problem)) if problem.status == 401 => {}
        Err(error) => return Err(error.into()),
    }
    context.out.either(&serde_json::json!({"signed_out": true}), |out| out.line("signed out"))
}

fn print_whoami(out: Out, me: &WhoamiView) -> Result<(), Failure> {
    let control: Vec<_> = me.control.iter().map(ToString::to_string).collect();
    let or_none = |items: &[String]| {
        if items.is_empty() { "none".to_owned() } else { escape::line(&items.join(", ")) }
    };
    out.line(&format!("user:           {}", me.user))?;
    out.line(&format!("second factors: {}", or_none(&me.second_factors)))?;
    out.line(&format!("control:        {}", or_none(&control)))?;
    for role in &me.roles {
        let via = role.via.join("; ");
        out.line(&format!(
            "role:           {} ({})",
            escape::line(&role.role),
            escape::line(&via)
        ))?;
    }
    Ok(())
}
