//! `portcullis login --device`: signing in where no browser is, by a code that is entered elsewhere.

use std::time::Duration;

use portcullis_control::view::{DeviceBegunView, DeviceBody, DeviceTokenBody, LoginView};

use crate::client::{Client, ClientError};
use crate::context::now;
use crate::failure::Failure;

/// Longest pause between two questions, whatever the node asks for.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// Shows a code and waits until somebody has approved it.
pub(super) async fn sign_in(
    client: &Client,
    public_key: Option<String>,
) -> Result<LoginView, Failure> {
    let begun: DeviceBegunView =
        client.post("/v1/login/device", &DeviceBody { public_key }).await?;
    // On standard error: standard output is the answer's, with `--json` too.
    eprintln!(
        "Open {} where you are signed in, enter the code {} and approve this machine;\nor run there: portcullis devices approve {}",
        crate::print::escape::line(&begun.verification_uri),
        begun.user_code,
        begun.user_code
    );
    let interval = Duration::from_secs(begun.interval_seconds.max(1)).min(MAX_INTERVAL);
    let body = DeviceTokenBody { device_code: begun.device_code };
    while now() < begun.expires {
        tokio::time::sleep(interval).await;
        match client.post("/v1/login/device/token", &body).await {
            Err(ClientError::Refused(problem)) if problem.code == "authorization_pending" => {}
            answer => return Ok(answer?),
        }
    }
    Err(Failure::Failed("nobody approved this machine in time; run it again".into()))
}
