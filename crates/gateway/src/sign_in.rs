//! Signing in: one flow per connection, bound to the first user it hears.
//!
//! The flow fetches what the store remembers, has identity check what was presented, counts
//! attempts before looking at them, audits each outcome and feeds the verdicts to identity's state
//! machine. It is the only place, beside API tokens, an [`Authenticated`] comes from.

mod tls;

use std::net::IpAddr;
use std::time::Duration;

use portcullis_domain::audit::{Activity, Event, Outcome};
use portcullis_domain::{Access, FactorKind, Login, Secret, TargetName, Timestamp, UserName};
use portcullis_identity::keys::{Certificate, HashAlg, PublicKey};
use portcullis_identity::login::{Ask, Input, Requirement, SignIn, SignatureCheck};
use portcullis_identity::password::PasswordHash;
use portcullis_identity::ssh_user::SshUser;
use portcullis_identity::totp::TotpCheck;
use thiserror::Error;

use crate::Gateway;
use crate::attempts::{Guess, refusal_of};
use crate::permit::{Authenticated, Basis, registered};
use crate::places::Seat;

/// Longest password or code taken, in bytes.
pub(crate) const MAX_SECRET_BYTES: usize = 1024;

/// What is still missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: [`SignInFlow::finish`] gives the result.
    Done,
    /// A one-time or recovery code.
    SecondFactor,
    /// A key, certificate or password.
    FirstFactor,
    /// Nothing helps any more; the connection should be closed.
    Over,
}

/// Why a sign-in did not go on.
#[derive(Debug, Clone, Error)]
pub enum SignInError {
    /// Wrong, unknown or not allowed; deliberately the same for all of them.
    #[error("the sign-in was refused")]
    Refused,
    /// Too many attempts.
    #[error("too many failed attempts; try again in {} s", .retry_after.as_secs().max(1))]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// All of the person's places on this node are taken.
    #[error("you hold as many connections as one person may; end one of them and try again")]
    Crowded,
    /// Another user was named in mid-way.
    #[error("the user changed while signing in; reconnect")]
    IdentityChanged,
    /// We cannot check now.
    #[error("signing in is not possible at the moment: {0}")]
    Unavailable(String),
}

/// A sign-in on one connection.
pub struct SignInFlow {
    gateway: Gateway,
    source: IpAddr,
    bound: Option<Bound>,
    basis: Option<Basis>,
    finished: bool,
    pub(crate) seat: Seat,
}

struct Bound {
    named: SshUser,
    state: Option<SignIn>,
}

impl Gateway {
    /// Begins a sign-in for a connection from `source`.
    pub fn sign_in(&self, source: IpAddr) -> SignInFlow {
        SignInFlow {
            gateway: self.clone(),
            source: source.to_canonical(),
            bound: None,
            basis: None,
            finished: false,
            seat: Seat::Needed,
        }
    }

    /// Whether reaching this target now takes a second factor this person has not proved yet.
    ///
    /// It is asked for only where it would help: not while a grant is still missing.
    pub fn wants_second_factor(
        &self,
        who: &Authenticated,
        target: &TargetName,
        _login: Option<&Login>,
    ) -> bool {
        let Some(max_age) = self.second_factor_for(who.user(), Some(target)) else { return false };
        let now = self.now();
        who.authentication()
            .second_factor_at()
            .is_none_or(|at| now.since(at) > max_age || at > now.plus(Duration::from_secs(5)))
    }

    /// The oldest second factor that would do; `None` where none is needed or none would help.
    fn second_factor_for(&self, user: &UserName, target: Option<&TargetName>) -> Option<Duration> {
        let snapshot = self.snapshot();
        let facts = &snapshot.facts;
        let target = facts.targets.get(target?)?;
        let environment = facts.environments.get(&target.environment)?;
        let max_age = environment.second_factor_max_age?;
        // A code is spent once: it is not asked for where a lock or a dropped gate refuses anyway.
        if facts.locks.iter().any(|lock| lock.keeps(user, target, self.now())) {
            return None;
        }
        let granted = facts.active_grants(user, &target.name, self.now()).next().is_some();
        (environment.access == Access::Standing || granted).then_some(max_age)
    }
}

impl SignInFlow {
    /// Nothing brings it back.
    pub(crate) fn give_up(&mut self) {
        if let Some(bound) = &mut self.bound {
            bound.state = None;
        }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    pub(crate) fn source(&self) -> IpAddr {
        self.source
    }

    /// Whom it is bound to.
    pub(crate) fn named(&self) -> Option<&SshUser> {
        self.bound.as_ref().map(|bound| &bound.named)
    }

    /// Part of a sign-in that is complete, or will be completed by another call: nothing is said
    /// where this part ends.
    pub(crate) fn begun_elsewhere(mut self) -> Self {
        self.finished = true;
        self
    }

    /// What the result will rest on.
    pub(crate) fn rests_on(&mut self, basis: Basis) {
        self.basis = Some(basis);
    }

    /// Reads the user string and binds the flow to it. Every other method does this first.
    pub async fn bind(&mut self, raw_user: &str) -> Result<SshUser, SignInError> {
        let Ok(named) = raw_user.parse::<SshUser>() else {
            let text: String = raw_user.escape_debug().take(128).collect();
            let event = self.event(None, Outcome::Refused("the user name is malformed".into()));
            self.write(event.detail("claimed", text)).await?;
            return Err(SignInError::Refused);
        };
        if let Some(bound) = &mut self.bound {
            if bound.named == named {
                return Ok(named);
            }
            bound.state = None;
            let user = bound.named.user.clone();
            let event = self.event(Some(&user), Outcome::Refused("the user changed".into()));
            self.write(event.person("claimed", &named.user)).await?;
            return Err(SignInError::IdentityChanged);
        }
        let requirement = Requirement {
            first: tls::FIRST.to_vec(),
            second_factor_max_age: self
                .gateway
                .second_factor_for(&named.user, named.target.as_ref()),
        };
        self.begin(named.clone(), requirement);
        Ok(named)
    }

    /// Binds to a user who signs in to Portcullis itself, where a second factor is asked of
    /// everyone who has one.
    pub(crate) fn bind_for_control(&mut self, user: &UserName, first: FactorKind, second: bool) {
        let named = SshUser { user: user.clone(), target: None, login: None };
        let requirement = Requirement {
            first: vec![first],
            second_factor_max_age: second.then_some(Duration::ZERO),
        };
        self.begin(named, requirement);
    }

    fn begin(&mut self, named: SshUser, requirement: Requirement) {
        let now = self.gateway.now();
        let state = SignIn::begin(named.user.clone(), self.source, requirement, now);
        self.bound = Some(Bound { named, state: Some(state) });
    }

    /// Whether an offered key could sign in. Changes nothing, proves nothing.
    pub fn accepts_key(&self, raw_user: &str, key: &PublicKey) -> bool {
        raw_user.parse::<SshUser>().is_ok_and(|named| self.registered(&named.user, key))
    }

    /// A signature by `key` over this connection was verified by the transport.
    pub async fn ssh_key(&mut self, raw_user: &str, key: &PublicKey) -> Result<Asked, SignInError> {
        let user = self.bind(raw_user).await?.user;
        let check = if self.registered(&user, key) {
            SignatureCheck::Valid
        } else {
            SignatureCheck::Invalid
        };
        if check == SignatureCheck::Valid {
            self.basis = Some(Basis::Key(Box::new(key.clone())));
        }
        self.feed(&user, Input::SshKey(check), FactorKind::SshKey).await
    }

    /// A signature by the key in `certificate` was verified by the transport. Whether the
    /// certificate counts is decided here.
    pub async fn certificate(
        &mut self,
        raw_user: &str,
        certificate: &Certificate,
    ) -> Result<Asked, SignInError> {
        let user = self.bind(raw_user).await?.user;
        let serial = certificate.serial();
        // INVARIANT: a serial the gate did not record, or has revoked, is refused.
        let known = self.gateway.store().certificate(serial, self.gateway.now()).await;
        let known = known.map_err(|error| SignInError::Unavailable(error.to_string()))?;
        let usable = known.is_some_and(|known| known.user == user);
        let trust = self.gateway.sign_in_authority().trust();
        let mut checked = trust
            .check(certificate, &user, self.gateway.now(), &|asked| asked != serial || !usable);
        if let Ok(factors) = &mut checked {
            if self.enabled(&user) {
                self.basis = Some(Basis::Certificate(serial));
            } else {
                factors.clear();
            }
        }
        self.feed(&user, Input::Certificate(checked), FactorKind::SshCertificate).await
    }

    /// A password was typed.
    pub async fn password(
        &mut self,
        raw_user: &str,
        password: Secret<String>,
    ) -> Result<Asked, SignInError> {
        let user = self.bind(raw_user).await?.user;
        self.password_of(&user, password).await
    }

    pub(crate) async fn password_of(
        &mut self,
        user: &UserName,
        password: Secret<String>,
    ) -> Result<Asked, SignInError> {
        if password.expose().len() > MAX_SECRET_BYTES {
            return Err(SignInError::Refused);
        }
        self.count_attempt(user, Guess::Password).await?;
        let stored = self.gateway.store().password_hash(user).await;
        let stored = stored.map_err(|error| SignInError::Unavailable(error.to_string()))?;
        let hash = stored
            .filter(|_| self.enabled(user))
            .and_then(|hash| PasswordHash::parse(hash.expose()).ok());
        let check = self.gateway.hasher().verify(hash, password).await;
        let check = check.map_err(|error| SignInError::Unavailable(error.to_string()))?;
        let asked = self.feed(user, Input::Password(check), FactorKind::Password).await?;
        self.basis = Some(Basis::Password);
        self.take_back_attempt(user, Guess::Password).await?;
        Ok(asked)
    }

    /// A one-time or recovery code was typed.
    pub async fn code(
        &mut self,
        raw_user: &str,
        code: Secret<String>,
    ) -> Result<Asked, SignInError> {
        let user = self.bind(raw_user).await?.user;
        self.code_of(&user, code).await
    }

    pub(crate) async fn code_of(
        &mut self,
        user: &UserName,
        code: Secret<String>,
    ) -> Result<Asked, SignInError> {
        if self.asked() != Asked::SecondFactor {
            return Err(SignInError::Refused);
        }
        match self.check_code(user, code).await {
            Ok((input, kind)) => self.feed(user, input, kind).await,
            Err(error) => {
                let now = self.gateway.now();
                self.input(user, Input::Totp(TotpCheck::Wrong), now);
                Err(error)
            }
        }
    }

    /// What is still missing.
    pub fn asked(&self) -> Asked {
        let Some(bound) = &self.bound else { return Asked::FirstFactor };
        match &bound.state {
            None | Some(SignIn::Failed(_)) => Asked::Over,
            Some(SignIn::Complete(_)) => Asked::Done,
            Some(state) => match state.next() {
                Ask::First { .. } => Asked::FirstFactor,
                Ask::SecondFactor => Asked::SecondFactor,
                Ask::Nothing => Asked::Over,
            },
        }
    }

    /// The result; `Some` exactly once, when [`Asked::Done`].
    pub fn finish(&mut self) -> Option<Authenticated> {
        let bound = self.bound.as_mut()?;
        match bound.state.take() {
            Some(SignIn::Complete(proved)) => {
                // INVARIANT: a complete sign-in rests on something that can be looked at again.
                let basis = self.basis.take()?;
                self.finished = true;
                let since = self.gateway.now();
                let who = Authenticated::new(proved.into_authentication(), basis, since);
                self.seat.take().map(|place| who.holding(place))
            }
            other => {
                bound.state = other;
                None
            }
        }
    }

    /// Writes down that a key which is not the person's was offered with a valid signature.
    pub async fn foreign_key(
        &mut self,
        raw_user: &str,
        key: &PublicKey,
    ) -> Result<(), SignInError> {
        let user = self.bind(raw_user).await?.user;
        let why = format!("the key {} is not registered", key.fingerprint(HashAlg::Sha256));
        self.audit(Some(&user), Outcome::Refused(why), FactorKind::SshKey.as_str()).await
    }

    fn registered(&self, user: &UserName, key: &PublicKey) -> bool {
        registered(&self.gateway.snapshot().facts, user, key)
    }

    pub(crate) fn enabled(&self, user: &UserName) -> bool {
        let snapshot = self.gateway.snapshot();
        snapshot.facts.users.get(user).is_some_and(|user| !user.disabled)
    }

    /// Feeds a verdict to the state machine, audits what came of it and says what is missing.
    pub(crate) async fn feed(
        &mut self,
        user: &UserName,
        input: Input,
        kind: FactorKind,
    ) -> Result<Asked, SignInError> {
        let refusal = refusal_of(&input);
        let now = self.gateway.now();
        let before = self.asked();
        self.input(user, input, now);
        let asked = self.asked();
        if asked == Asked::Done {
            self.take_place(user).await?;
        }
        let outcome = match (refusal, asked) {
            (Some(why), _) => Outcome::Refused(why),
            (None, Asked::Over) => Outcome::Refused("the sign-in is over".into()),
            (None, Asked::FirstFactor) => Outcome::Refused("not accepted as a first factor".into()),
            (None, _) => Outcome::Success,
        };
        let refused = outcome != Outcome::Success;
        self.audit(Some(user), outcome, kind.as_str()).await?;
        if refused || (before == asked && asked != Asked::Done) {
            return Err(SignInError::Refused);
        }
        Ok(asked)
    }

    fn input(&mut self, user: &UserName, input: Input, now: Timestamp) {
        if let Some(bound) = &mut self.bound {
            bound.state = bound.state.take().map(|state| state.input(user, input, now));
        }
    }

    pub(crate) async fn audit(
        &self,
        user: Option<&UserName>,
        outcome: Outcome,
        factor: &str,
    ) -> Result<(), SignInError> {
        self.write(self.event(user, outcome).detail("factor", factor)).await
    }

    fn event(&self, user: Option<&UserName>, outcome: Outcome) -> Event {
        let event = Event::new(Activity::Authenticate, self.gateway.now())
            .source(self.source)
            .detail("complete", self.asked() == Asked::Done)
            .outcome(outcome);
        match user {
            Some(user) => event.user(user),
            None => event,
        }
    }

    async fn write(&self, event: Event) -> Result<(), SignInError> {
        let succeeded = event.outcome == Outcome::Success;
        let label = if succeeded { "success" } else { "refused" };
        metrics::counter!("portcullis_sign_ins_total", "outcome" => label).increment(1);
        let written = self.gateway.auditor().write(event).await;
        written.map(drop).map_err(|error| SignInError::Unavailable(error.to_string()))
    }
}

impl Drop for SignInFlow {
    /// A sign-in that was begun and came to nothing is written down, also where the transport
    /// refused what was presented before this flow saw it.
    fn drop(&mut self) {
        let Some(bound) = self.bound.as_ref().filter(|_| !self.finished) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let event = Event::new(Activity::Authenticate, self.gateway.now())
            .user(&bound.named.user)
            .source(self.source)
            .outcome(Outcome::Refused("the sign-in was not completed".into()));
        let gateway = self.gateway.clone();
        runtime.spawn(async move {
            // Nothing was let in, so nothing waits for this entry.
            let _ = gateway.auditor().write(event).await;
        });
    }
}
