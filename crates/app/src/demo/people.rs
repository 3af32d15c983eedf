//! The three people of the demo, with credentials made up for one run.

use std::path::Path;

use portcullis_control::BootstrapUser;
use portcullis_domain::{Secret, Timestamp, UserName};
use portcullis_identity::random::OsRandom;
use portcullis_identity::totp::{STEP, TotpSecret, current_code};
use serde::{Deserialize, Serialize};

use crate::cli::generate_password;
use crate::failure::Failure;

const FILE: &str = "people.json";
const CAST: [(&str, &str); 3] =
    [("alice", "developer"), ("bob", "lead, approves"), ("carol", "security officer")];

/// Somebody, with everything that person knows. Made for the demo and printed on purpose, so not a
/// [`Secret`].
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) password: String,
    /// Base32.
    pub(super) totp_secret: String,
    /// For an authenticator application.
    pub(super) totp_uri: String,
}

/// Makes the cast up.
pub(super) fn cast() -> Result<Vec<Person>, Failure> {
    CAST.into_iter().map(|(name, role)| Person::new(name, role)).collect()
}

/// Writes them down for `demo code`.
pub(super) fn write(directory: &Path, people: &[Person]) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| Failure::because("cannot write the people", error);
    let text = serde_json::to_vec_pretty(people).map_err(|error| failed(&error))?;
    crate::home::write_private(&directory.join(FILE), &text).map_err(|error| failed(&error))
}

/// One of the people of the demo in `directory`.
pub(super) fn find(directory: &Path, name: &str) -> Result<Person, Failure> {
    let path = directory.join(FILE);
    let text = std::fs::read(&path).map_err(|error| {
        Failure::because(format!("there is no demo in `{}`", directory.display()), &error)
    })?;
    let people: Vec<Person> = serde_json::from_slice(&text)
        .map_err(|error| Failure::because(format!("`{}` is damaged", path.display()), &error))?;
    people.into_iter().find(|person| person.name == name).ok_or_else(|| {
        Failure::Usage(format!("`{name}` is not in the demo; alice, bob and carol are"))
    })
}

impl Person {
    fn new(name: &str, role: &str) -> Result<Self, Failure> {
        let secret = TotpSecret::generate(&mut OsRandom)
            .map_err(|error| Failure::because("cannot make a second factor", &error))?;
        let user = user(name)?;
        Ok(Self {
            name: name.to_owned(),
            role: role.to_owned(),
            password: generate_password()?.expose().clone(),
            totp_secret: secret.to_base32().expose().clone(),
            totp_uri: secret.otpauth_uri(&user, "Portcullis demo").expose().clone(),
        })
    }

    /// What the node is set up with.
    pub(super) fn bootstrap(&self) -> Result<BootstrapUser, Failure> {
        Ok(BootstrapUser {
            name: user(&self.name)?,
            password: Secret::new(self.password.clone()),
            totp_secret: Some(Secret::new(self.totp_secret.clone())),
        })
    }

    /// The code an authenticator shows at that time.
    pub(super) fn code_at(&self, at: Timestamp) -> Result<String, Failure> {
        let secret = TotpSecret::from_base32(&Secret::new(self.totp_secret.clone()))
            .map_err(|error| Failure::because("the second factor is damaged", &error))?;
        Ok(current_code(&secret, at).expose().clone())
    }
}

fn user(name: &str) -> Result<UserName, Failure> {
    UserName::new(name).map_err(|error| Failure::because("the cast is wrong", &error))
}

/// Hands out codes each of which works: a code works once, and none older than one that was used.
#[derive(Debug, Default)]
pub(super) struct Codes {
    used: std::collections::BTreeMap<String, i64>,
}

impl Codes {
    /// A code that has not been used, waiting for its time where need be. The gate takes the code
    /// before and after the present one, so three are there at any time.
    pub(super) async fn next(&mut self, person: &Person) -> Result<String, Failure> {
        let length = i64::try_from(STEP.as_secs()).unwrap_or(30);
        let present = || crate::context::now().as_seconds() / length;
        let used = self.used.get(&person.name).copied();
        let step = used.map_or(present() - 1, |used| (used + 1).max(present() - 1));
        while step > present() + 1 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        // A step that is about to leave the window is not worth a try.
        let step = step.max(crate::context::now().plus(MARGIN).as_seconds() / length - 1);
        self.used.insert(person.name.clone(), step);
        person.code_at(Timestamp::from_millis(step * length * 1000))
    }
}

/// How long a code must still be good when it is handed out.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_written_down_and_found_again() {
        let directory = tempfile::tempdir().unwrap();
        let people = cast().unwrap();
        write(directory.path(), &people).unwrap();
        let found = find(directory.path(), "bob").unwrap();
        assert_eq!(found.password, people[1].password);
        assert_eq!(found.code_at(Timestamp::from_millis(59_000)).unwrap().len(), 6);
        assert!(find(directory.path(), "mallory").is_err());
    }

    #[tokio::test]
    async fn three_different_codes_are_there_without_waiting() {
        let (person, mut codes) = (Person::new("alice", "x").unwrap(), Codes::default());
        let started = std::time::Instant::now();
        let first = codes.next(&person).await.unwrap();
        let second = codes.next(&person).await.unwrap();
        assert_ne!(first, second);
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }
}
