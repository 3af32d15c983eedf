//! What every command is given: where to print, which node to speak to, and as whom.

use portcullis_domain::Timestamp;

use crate::client::{Address, Client, DEFAULT_ADDRESS};
use crate::failure::Failure;
use crate::home::{Credentials, Home};
use crate::print::Out;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    /// Where and how to print.
    pub(crate) out: Out,
    /// The directory of the command line.
    pub(crate) home: Home,
    address: Option<Address>,
}

impl Context {
    /// From the options every command has.
    pub(crate) fn new(address: Option<Address>, json: bool) -> Result<Self, Failure> {
        Ok(Self { out: Out::new(json), home: Home::locate()?, address })
    }

    /// The node: the one named, the one signed in to, or the one on this machine.
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        if let Some(address) = &self.address {
            return Ok(address.clone());
        }
        let kept = self.home.credentials()?.map(|credentials| credentials.address);
        kept.as_deref()
            .unwrap_or(DEFAULT_ADDRESS)
            .parse()
            .map_err(|error| Failure::because("the address of the node is unusable", &error))
    }

    /// The kept sign-in, if it is for the node named and has not run out.
    pub(crate) fn credentials(&self) -> Result<Credentials, Failure> {
        let address = self.address()?;
        let to_sign_in = "run `portcullis login USER`";
        let credentials = self
            .home
            .credentials()?
            .ok_or_else(|| Failure::Failed(format!("you are not signed in; {to_sign_in}")))?;
        if credentials.address != address.to_string() {
            return Err(Failure::Failed(format!(
                "you are signed in at {}, not at {address}; {to_sign_in} with `--address {address}`",
                credentials.address
            )));
        }
        if credentials.expires <= now() {
            return Err(Failure::Failed(format!(
                "your sign-in ended at {}; {to_sign_in}",
                crate::print::time(credentials.expires)
            )));
        }
        Ok(credentials)
    }

    /// A client that speaks as the person signed in.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let credentials = self.credentials()?;
        Ok(Client::new(self.address()?, Some(credentials.token)))
    }

    /// A client that speaks as nobody yet.
    pub(crate) fn anonymous(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.address()?, None))
    }
}

/// The wall clock of this machine.
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    Timestamp::from_millis(millis)
}
