//! The people of a test: their keys, passwords and second factors, and what they are signed in with.
//!
//! In: names. Out: [`Person`]s, one-time codes that have not been used, and tokens once somebody has
//! signed in. Shared between the nodes of one store.
//!
//! Must never know: any node.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_domain::{Secret, Timestamp};
use portcullis_identity::totp::{TotpSecret, current_code};
use portcullis_testkit::UserKey;
use serde_json::{Value, json};

/// The second factor of everybody who has one; codes are kept apart per person.
const TOTP_SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
/// How long one code is good, in seconds (RFC 6238).
const STEP_SECONDS: i64 = 30;

/// Somebody with a key, a password and, if they are of the base cast, a second factor.
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) key: UserKey,
    pub(crate) password: String,
    second_factor: bool,
}

impl Person {
    fn new(name: &str, second_factor: bool) -> Self {
        let password = format!("{name} likes long passwords");
        Self { name: name.to_owned(), key: UserKey::generate(), password, second_factor }
    }

    /// Their resource.
    pub(crate) fn yaml(&self, groups: &str, disabled: bool) -> String {
        format!(
            "---\nkind: User\nmetadata: {{name: {}}}\nspec: {{groups: [{groups}], disabled: \
             {disabled}, ssh_keys: [\"{}\"]}}\n",
            self.name,
            self.key.public_line()
        )
    }
}

/// Everybody.
pub(crate) struct People {
    persons: BTreeMap<String, Person>,
    tokens: Mutex<BTreeMap<String, String>>,
    codes: Mutex<BTreeMap<String, i64>>,
}

impl People {
    /// Those of `cast` have a second factor, those of `others` do not.
    pub(crate) fn new(cast: &[&str], others: &[&str]) -> Self {
        let named = cast.iter().map(|name| (name, true));
        let named = named.chain(others.iter().map(|name| (name, false)));
        let persons = named.map(|(name, second)| ((*name).to_owned(), Person::new(name, second)));
        Self { persons: persons.collect(), tokens: Mutex::default(), codes: Mutex::default() }
    }

    pub(crate) fn person(&self, name: &str) -> &Person {
        &self.persons[name]
    }

    /// What `init --people` reads.
    pub(crate) fn to_json(&self) -> Value {
        let persons = self.persons.values().map(|person| {
            json!({
                "name": person.name, "password": person.password,
                "totp_secret": person.second_factor.then_some(TOTP_SECRET),
            })
        });
        persons.collect()
    }

    pub(crate) fn has_second_factor(&self, name: &str) -> bool {
        self.person(name).second_factor
    }

    pub(crate) fn token(&self, name: &str) -> Option<String> {
        self.tokens.lock().unwrap().get(name).cloned()
    }

    pub(crate) fn keep_token(&self, name: &str, token: &str) {
        self.tokens.lock().unwrap().insert(name.to_owned(), token.to_owned());
    }

    /// A one-time code of somebody's that has not been used, waiting for its time where need be.
    /// The gate takes the code before and after the present one, so three are there at any time.
    pub(crate) fn code(&self, name: &str) -> String {
        let now = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            i64::try_from(since.as_secs()).unwrap()
        };
        let step = {
            let mut codes = self.codes.lock().unwrap();
            // A step that is about to leave the window is not worth a try.
            let oldest = (now() + 5) / STEP_SECONDS - 1;
            let step = codes.get(name).map_or(oldest, |used| oldest.max(used + 1));
            codes.insert(name.to_owned(), step);
            step
        };
        while step > now() / STEP_SECONDS + 1 {
            std::thread::sleep(Duration::from_millis(100));
        }
        let secret = TotpSecret::from_base32(&Secret::new(TOTP_SECRET.to_owned())).unwrap();
        current_code(&secret, Timestamp::from_millis(step * STEP_SECONDS * 1000)).expose().clone()
    }
}
