//! `portcullis init`: configuration, keys, store, and the first people of a new installation.
//!
//! In: options, a password. Out: files, a store with its first users, and their second factors
//! printed once. Possible only while the store has no users: it is no way around signing in.

mod first;

use std::path::{Path, PathBuf};

use clap::Args;
use portcullis_control::BootstrapUser;
use portcullis_domain::{Secret, UserName};
use portcullis_identity::random::OsRandom;
use portcullis_identity::totp::TotpSecret;
use serde::{Deserialize, Serialize};

use crate::cli::{Config as ConfigPath, generate_password, read_resource_files};
use crate::config::Config;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::home::write_private;
use crate::node::Node;
use crate::print::{Out, qr};
use crate::prompt;

/// Largest file of people read, in bytes.
const MAX_PEOPLE_BYTES: u64 = 1024 * 1024;

/// Options of `init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    #[command(flatten)]
    config: ConfigPath,
    /// The first administrator's name
    #[arg(long, value_name = "USER", default_value = "admin")]
    admin: UserName,
    /// Where the node keeps its files, written into a new configuration
    #[arg(long, value_name = "DIR", default_value = "/var/lib/portcullis")]
    data_dir: PathBuf,
    /// Begin with these resources instead of an administrator's role alone (may be repeated);
    /// the administrator must be a user among them
    #[arg(short, long = "file", value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Set up several people from a JSON file: [{"name", "password", "totp_secret"}], for
    /// automated installations; needs `--file`
    #[arg(long, value_name = "FILE", requires = "files")]
    people: Option<PathBuf>,
}

/// One of the first people, as in the file for automated installations.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    name: UserName,
    password: String,
    /// Base32; without it the person has no second factor yet.
    #[serde(default)]
    totp_secret: Option<String>,
}

/// What a first person must keep.
#[derive(Serialize)]
struct Shown {
    user: String,
    password: Option<String>,
    totp_secret: String,
    totp_uri: String,
}

impl Init {
    /// Sets up.
    pub(crate) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let made = self.write_configuration()?;
        let config = crate::serve::read(&self.config.config)?;
        let files = if self.files.is_empty() {
            vec![first::resources(&self.admin)]
        } else {
            read_resource_files(&self.files)?
        };
        let (people, shown) = match &self.people {
            Some(path) => (read_people(path)?, Vec::new()),
            None => {
                let (person, shown) = self.administrator()?;
                (vec![person], vec![shown])
            }
        };
        let author =
            people.first().map_or_else(|| self.admin.clone(), |person| person.name.clone());
        let node = Node::open(&config, crate::node::Addresses::of(&config)).await?;
        let done = node.control().bootstrap(&author, files, people).await;
        let authority = node.gateway().target_authority().public_key_line();
        node.close().await;
        done.map_err(|error| Failure::because("nothing was set up", &error))?;
        let authority =
            authority.map_err(|error| Failure::because("the authority is unusable", &error))?;
        tell(context.out, &config, made, &shown, &authority)?;
        Ok(Outcome::Done)
    }

    /// Writes a configuration where there is none; one that is there is used as it is.
    fn write_configuration(&self) -> Result<bool, Failure> {
        let path = &self.config.config;
        if path.exists() {
            return Ok(false);
        }
        let data_dir = std::path::absolute(&self.data_dir)
            .map_err(|error| Failure::because("the data directory is unusable", &error))?;
        let text = first::configuration(&data_dir);
        write_private(path, text.as_bytes()).map_err(|error| {
            Failure::because(format!("`{}` cannot be written", path.display()), &error)
        })?;
        Ok(true)
    }

    fn administrator(&self) -> Result<(BootstrapUser, Shown), Failure> {
        let chosen = prompt::from_environment(prompt::PASSWORD_VARIABLE);
        let made = chosen.is_none();
        let password = match chosen {
            Some(password) => password,
            None => generate_password()?,
        };
        let secret = TotpSecret::generate(&mut OsRandom)
            .map_err(|error| Failure::because("cannot make a second factor", &error))?;
        let shown = Shown {
            user: self.admin.to_string(),
            password: made.then(|| password.expose().clone()),
            totp_secret: secret.to_base32().expose().clone(),
            totp_uri: secret.otpauth_uri(&self.admin, "Portcullis").expose().clone(),
        };
        let totp_secret = Some(secret.to_base32());
        Ok((BootstrapUser { name: self.admin.clone(), password, totp_secret }, shown))
    }
}

fn read_people(path: &Path) -> Result<Vec<BootstrapUser>, Failure> {
    let unreadable = |error: &dyn std::error::Error| {
        Failure::because(format!("`{}` cannot be read", path.display()), error)
    };
    let metadata = path.metadata().map_err(|error| unreadable(&error))?;
    if metadata.len() > MAX_PEOPLE_BYTES {
        return Err(Failure::Usage(format!("`{}` is too large", path.display())));
    }
    let text = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let text = zeroize::Zeroizing::new(text);
    let people: Vec<Person> = serde_json::from_slice(&text).map_err(|error| unreadable(&error))?;
    if people.is_empty() {
        return Err(Failure::Usage(format!("`{}` names nobody", path.display())));
    }
    let user = |person: Person| BootstrapUser {
        name: person.name,
        password: Secret::new(person.password),
        totp_secret: person.totp_secret.map(Secret::new),
    };
    Ok(people.into_iter().map(user).collect())
}

fn tell(
    out: Out,
    config: &Config,
    made: bool,
    shown: &[Shown],
    authority: &str,
) -> Result<(), Failure> {
    let value = serde_json::json!({
        "config": config.path, "data_dir": config.data_dir, "people": shown,
        "target_authority": authority,
    });
    out.either(&value, |out| {
        let verb = if made { "written" } else { "used" };
        out.line(&format!("configuration {verb}: {}", config.path.display()))?;
        out.line(&format!("data directory:        {}", config.data_dir.display()))?;
        for person in shown {
            if let Some(drawn) = qr::draw(&person.totp_uri) {
                out.line(&drawn)?;
            }
            out.line(&format!("user:     {}", person.user))?;
            if let Some(password) = &person.password {
                out.line(&format!("password: {password}"))?;
            }
            out.line(&format!("one-time code secret: {}\n{}", person.totp_secret, person.totp_uri))?;
            out.line("None of this is shown again.")?;
        }
        out.line(&format!(
            "\nOn every target, put this line into a file named by TrustedUserCAKeys in sshd_config:\n{authority}\n\nNext: portcullis serve --config {}",
            config.path.display()
        ))
    })
}
