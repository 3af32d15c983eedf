//! One's own sign-ins: programs and browsers, seen and ended one by one.

use clap::Subcommand;
use hyper::Method;
use portcullis_control::Carrier;
use portcullis_control::view::SignInRow;

use crate::client::path;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{escape, short, time};

#[derive(Debug, Subcommand)]
pub(super) enum SignIns {
    /// What you are signed in with: this command line, others, browsers
    #[command(subcommand)]
    SignIns(SignInsCommand),
}

#[derive(Debug, Subcommand)]
pub(super) enum SignInsCommand {
    /// List your sign-ins, newest first
    List,
    /// End one of them, with the certificate it came with and what runs by it
    End {
        /// The sign-in's id, or its last characters
        id: String,
    },
}

impl SignIns {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let (client, out, Self::SignIns(command)) = (context.client()?, context.out, self);
        match command {
            SignInsCommand::List => {
                let found: Vec<SignInRow> = client.list("/v1/me/sign-ins", usize::MAX).await?;
                out.either(&found, |out| {
                    let rows = found.iter().map(row).collect();
                    let titles = ["id", "by", "from", "proved", "since", "seen", "until"];
                    out.table(&titles, rows, "you are not signed in")
                })?;
            }
            SignInsCommand::End { id } => {
                client
                    .tell(Method::DELETE, &path("/v1/me/sign-ins/{}", &[&id]), None::<&()>)
                    .await?;
                out.either(&serde_json::json!({"ended": id}), |out| out.line("it has ended"))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn row(sign_in: &SignInRow) -> Vec<String> {
    let held = match sign_in.carrier {
        Carrier::Bearer => "program",
        Carrier::Cookie => "browser",
    };
    let client = sign_in.client.as_deref().map(escape::line).unwrap_or_default();
    let this = if sign_in.current { " (this one)" } else { "" };
    let proved: Vec<&str> = sign_in.factors.iter().map(|factor| factor.as_str()).collect();
    vec![
        short(sign_in.id),
        format!("{held} {client}{this}"),
        escape::line(&sign_in.source),
        proved.join(", "),
        time(sign_in.issued),
        time(sign_in.seen),
        time(sign_in.expires),
    ]
}
