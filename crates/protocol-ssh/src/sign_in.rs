//! Signing in over SSH (RFC 4252, RFC 4256): which method comes next, and with which words.
//!
//! Attempts flow in from russh (signatures already verified), answers for it flow out. Who is who is
//! the gateway's sign-in flow's business; this only asks it. Nothing here knows a channel.
//!
//! Every offered key is welcomed: an offer does not say whether it is a certificate, and an answer
//! would tell strangers which keys a person has. Only a signature counts.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_domain::{Login, Secret, TargetName};
use portcullis_gateway::{Asked, Authenticated, Confirming, Gateway, SignInError, SignInFlow};
use russh::keys::{Certificate, PublicKey};
use russh::server::{Auth, Response};
use russh::{MethodKind, MethodSet};
use thiserror::Error;

/// Why a client connection ends early.
#[derive(Debug, Error)]
pub(crate) enum FrontError {
    /// The SSH library gave up on it.
    #[error(transparent)]
    Ssh(#[from] russh::Error),
    /// The sign-in is over.
    #[error("the sign-in was refused for good")]
    SignIn,
}

impl From<Over> for FrontError {
    fn from(_: Over) -> Self {
        Self::SignIn
    }
}

/// What a client of SSH is called where its person confirms it: it says nothing of itself here.
const DEVICE: &str = "an SSH client";

/// Whether a person was told to go elsewhere, which takes longer than typing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience(Arc<AtomicBool>);

impl Patience {
    fn ask(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether more time is due.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The sign-in cannot go on; the connection is closed.
#[derive(Debug)]
pub(crate) struct Over;

/// Whoever came in.
pub(crate) struct Arrived {
    pub(crate) who: Authenticated,
    pub(crate) target: Option<TargetName>,
    pub(crate) login: Option<Login>,
}

/// How a connection signs in.
pub(crate) enum Door {
    /// At the gate itself.
    Gate(Box<SignIn>),
    /// Inside a jump connection whose person is known.
    Inner(StepUp),
}

/// What was asked last by keyboard-interactive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    Password,
    Code,
    /// Nothing; the person was told something.
    Remark,
}

/// Methods a stranger may use.
pub(crate) fn first_methods() -> MethodSet {
    MethodSet::from(
        &[MethodKind::PublicKey, MethodKind::KeyboardInteractive, MethodKind::Password][..],
    )
}

fn interactive_only(partial_success: bool) -> Auth {
    Auth::Reject {
        proceed_with_methods: Some(MethodSet::from(&[MethodKind::KeyboardInteractive][..])),
        partial_success,
    }
}

fn prompt(prompt: Prompt, instructions: Cow<'static, str>) -> Auth {
    let prompts: &'static [(Cow<'static, str>, bool)] = match prompt {
        Prompt::Password => &[(Cow::Borrowed("Password: "), false)],
        Prompt::Code => &[(Cow::Borrowed("One-time code: "), false)],
        Prompt::Remark => &[],
    };
    Auth::Partial { name: Cow::Borrowed(""), instructions, prompts: Cow::Borrowed(prompts) }
}

/// What a person reads above the prompt for a code.
fn elsewhere(confirming: &Confirming) -> String {
    format!("{}\nThen press Enter here. Or type a one-time code.", confirming.told())
}

/// The person typed a code instead.
async fn withdraw(confirming: Confirming) {
    if let Err(error) = confirming.withdraw().await {
        tracing::debug!(%error, "a confirmation that nobody needs any more stays until it is over");
    }
}

/// The first answer, as text. Others are not asked for.
fn first_answer(response: Response<'_>) -> Option<Secret<String>> {
    let mut response = response;
    let answer = response.next()?;
    String::from_utf8(answer.to_vec()).ok().map(Secret::new)
}

impl Door {
    /// Whether the person was told to go elsewhere.
    pub(crate) fn patience(&self) -> Patience {
        match self {
            Self::Gate(sign_in) => sign_in.patience.clone(),
            Self::Inner(step_up) => step_up.patience.clone(),
        }
    }

    /// The result, once the last answer was [`Auth::Accept`].
    pub(crate) fn finish(&mut self) -> Option<Arrived> {
        match self {
            Self::Gate(sign_in) => sign_in.finish(),
            Self::Inner(step_up) => step_up.finish(),
        }
    }

    pub(crate) async fn none(&mut self, user: &str) -> Result<Auth, Over> {
        match self {
            Self::Gate(sign_in) => sign_in.none(user).await,
            Self::Inner(step_up) => step_up.enter(user),
        }
    }

    pub(crate) async fn key(&mut self, user: &str, key: &PublicKey) -> Result<Auth, Over> {
        match self {
            Self::Gate(sign_in) => sign_in.key(user, key).await,
            Self::Inner(step_up) => step_up.enter(user),
        }
    }

    pub(crate) async fn certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Over> {
        match self {
            Self::Gate(sign_in) => {
                let asked = sign_in.flow.certificate(user, certificate).await;
                sign_in.answer(asked)
            }
            Self::Inner(step_up) => step_up.enter(user),
        }
    }

    pub(crate) async fn password(
        &mut self,
        user: &str,
        password: Secret<String>,
    ) -> Result<Auth, Over> {
        match self {
            Self::Gate(sign_in) => {
                let asked = sign_in.flow.password(user, password).await;
                sign_in.answer(asked)
            }
            Self::Inner(step_up) => step_up.enter(user),
        }
    }

    pub(crate) async fn interactive(
        &mut self,
        user: &str,
        response: Option<Response<'_>>,
    ) -> Result<Auth, Over> {
        let answer = response.map(first_answer);
        match self {
            Self::Gate(sign_in) => sign_in.interactive(user, answer).await,
            Self::Inner(step_up) => step_up.interactive(user, answer).await,
        }
    }
}

/// A sign-in at the gate.
pub(crate) struct SignIn {
    flow: SignInFlow,
    asked_for: Option<Prompt>,
    remark: Option<String>,
    confirming: Option<Confirming>,
    patience: Patience,
    target: Option<TargetName>,
    login: Option<Login>,
}

impl SignIn {
    pub(crate) fn new(flow: SignInFlow) -> Self {
        Self {
            flow,
            asked_for: None,
            remark: None,
            confirming: None,
            patience: Patience::default(),
            target: None,
            login: None,
        }
    }

    fn finish(&mut self) -> Option<Arrived> {
        let who = self.flow.finish()?;
        Some(Arrived { who, target: self.target.take(), login: self.login.take() })
    }

    /// Binds the connection to its user before anything else is looked at.
    async fn bind(&mut self, user: &str) -> Result<(), SignInError> {
        let named = self.flow.bind(user).await?;
        self.target = named.target;
        self.login = named.login;
        Ok(())
    }

    async fn none(&mut self, user: &str) -> Result<Auth, Over> {
        match self.bind(user).await {
            Ok(()) => Ok(Auth::Reject {
                proceed_with_methods: Some(first_methods()),
                partial_success: false,
            }),
            Err(error) => self.answer(Err(error)),
        }
    }

    async fn key(&mut self, user: &str, key: &PublicKey) -> Result<Auth, Over> {
        if let Err(error) = self.bind(user).await {
            return self.answer(Err(error));
        }
        // The keys of an agent that are not this person's are not attempts to guess anything.
        if !self.flow.accepts_key(user, key) {
            return match self.flow.foreign_key(user, key).await {
                Ok(()) => Ok(Auth::reject()),
                Err(error) => self.answer(Err(error)),
            };
        }
        let asked = self.flow.ssh_key(user, key).await;
        self.answer(asked)
    }

    async fn interactive(
        &mut self,
        user: &str,
        answer: Option<Option<Secret<String>>>,
    ) -> Result<Auth, Over> {
        if let Err(error) = self.bind(user).await {
            return self.answer(Err(error));
        }
        let Some(answer) = answer else { return self.ask().await };
        let asked = match (self.asked_for.take(), answer) {
            (Some(Prompt::Password), Some(password)) => self.flow.password(user, password).await,
            (Some(Prompt::Code), Some(code)) => self.second_factor(user, code).await,
            _ => return Ok(Auth::reject()),
        };
        if matches!(asked, Ok(Asked::SecondFactor))
            || matches!(asked, Err(SignInError::TooMany { .. } | SignInError::Crowded))
        {
            if let Err(error) = &asked {
                self.remark = Some(error.to_string());
            }
            return self.ask().await;
        }
        self.answer(asked)
    }

    /// A code that was typed; or nothing, by whoever confirms elsewhere.
    async fn second_factor(
        &mut self,
        user: &str,
        code: Secret<String>,
    ) -> Result<Asked, SignInError> {
        let Some(confirming) = self.confirming.take() else {
            return self.flow.code(user, code).await;
        };
        if code.expose().trim().is_empty() {
            return self.flow.confirmed(user, confirming).await.map_err(|error| {
                self.remark = Some(error.to_string());
                SignInError::Refused
            });
        }
        let asked = self.flow.code(user, code).await?;
        withdraw(confirming).await;
        Ok(asked)
    }

    /// How to prove the second factor elsewhere; nothing where that is not possible now.
    async fn elsewhere(&mut self) -> String {
        match self.flow.ask_confirmation(DEVICE).await {
            Ok(confirming) => {
                self.patience.ask();
                let told = elsewhere(&confirming);
                self.confirming = Some(confirming);
                told
            }
            Err(error) => {
                tracing::debug!(%error, "no confirmation elsewhere is offered");
                String::new()
            }
        }
    }

    /// Asks for what is missing, or says what there is to say.
    async fn ask(&mut self) -> Result<Auth, Over> {
        if let Some(remark) = self.remark.take() {
            self.asked_for = Some(Prompt::Remark);
            return Ok(prompt(Prompt::Remark, remark.into()));
        }
        let wanted = match self.flow.asked() {
            Asked::Done => return Ok(Auth::Accept),
            Asked::SecondFactor => Prompt::Code,
            Asked::FirstFactor => Prompt::Password,
            Asked::Over => return Err(Over),
        };
        self.asked_for = Some(wanted);
        let instructions = match wanted {
            Prompt::Code => self.elsewhere().await,
            Prompt::Password | Prompt::Remark => String::new(),
        };
        Ok(prompt(wanted, instructions.into()))
    }

    fn answer(&mut self, asked: Result<Asked, SignInError>) -> Result<Auth, Over> {
        match asked {
            Ok(Asked::Done) => Ok(Auth::Accept),
            Ok(Asked::SecondFactor) => Ok(interactive_only(true)),
            Ok(Asked::FirstFactor) => Ok(Auth::reject()),
            Ok(Asked::Over) | Err(SignInError::IdentityChanged) => Err(Over),
            Err(SignInError::Refused) => match self.flow.asked() {
                Asked::Over => Err(Over),
                Asked::SecondFactor => Ok(interactive_only(false)),
                Asked::Done | Asked::FirstFactor => Ok(Auth::reject()),
            },
            Err(
                error @ (SignInError::TooMany { .. }
                | SignInError::Crowded
                | SignInError::Unavailable(_)),
            ) => {
                if let SignInError::Unavailable(why) = &error {
                    tracing::error!(%why, "a sign-in could not be checked");
                }
                self.remark = Some(error.to_string());
                Ok(interactive_only(false))
            }
        }
    }
}

/// A sign-in inside a jump connection: the person is known, the user name is the login on the
/// target, and at most a fresh code is missing.
pub(crate) struct StepUp {
    gateway: Gateway,
    who: Authenticated,
    target: TargetName,
    user: Option<(String, Login)>,
    passed: Option<Authenticated>,
    asked_for: Option<Prompt>,
    confirming: Option<Confirming>,
    patience: Patience,
}

impl StepUp {
    pub(crate) fn new(gateway: Gateway, who: Authenticated, target: TargetName) -> Self {
        Self {
            gateway,
            who,
            target,
            user: None,
            passed: None,
            asked_for: None,
            confirming: None,
            patience: Patience::default(),
        }
    }

    fn finish(&mut self) -> Option<Arrived> {
        let (_, login) = self.user.take()?;
        let who = self.passed.take()?;
        Some(Arrived { who, target: Some(self.target.clone()), login: Some(login) })
    }

    fn bind(&mut self, user: &str) -> Result<Option<Login>, Over> {
        match &self.user {
            Some((bound, login)) if bound == user => Ok(Some(login.clone())),
            Some(_) => Err(Over),
            None => {
                let Ok(login) = Login::new(user) else { return Ok(None) };
                self.user = Some((user.to_owned(), login.clone()));
                Ok(Some(login))
            }
        }
    }

    /// Lets in whoever lacks nothing; asks the others for a code.
    fn enter(&mut self, user: &str) -> Result<Auth, Over> {
        let Some(login) = self.bind(user)? else { return Ok(Auth::reject()) };
        if self.gateway.wants_second_factor(&self.who, &self.target, Some(&login)) {
            return Ok(interactive_only(false));
        }
        self.passed = Some(self.who.clone());
        Ok(Auth::Accept)
    }

    async fn interactive(
        &mut self,
        user: &str,
        answer: Option<Option<Secret<String>>>,
    ) -> Result<Auth, Over> {
        if self.bind(user)?.is_none() {
            return Ok(Auth::reject());
        }
        let Some(answer) = answer else {
            self.asked_for = Some(Prompt::Code);
            let instructions = self.elsewhere().await;
            return Ok(prompt(Prompt::Code, instructions.into()));
        };
        let (Some(Prompt::Code), Some(code)) = (self.asked_for.take(), answer) else {
            return Ok(interactive_only(false));
        };
        let mut confirming = self.confirming.take();
        if code.expose().trim().is_empty()
            && let Some(confirming) = confirming.take()
        {
            return Ok(match self.gateway.confirmed(&self.who, confirming).await {
                Ok(who) => {
                    self.passed = Some(who);
                    Auth::Accept
                }
                Err(error) => {
                    self.asked_for = Some(Prompt::Remark);
                    prompt(Prompt::Remark, error.to_string().into())
                }
            });
        }
        match self.gateway.step_up(&self.who, code).await {
            Ok(who) => {
                if let Some(confirming) = confirming {
                    withdraw(confirming).await;
                }
                self.passed = Some(who);
                Ok(Auth::Accept)
            }
            Err(error @ SignInError::TooMany { .. }) => {
                self.asked_for = Some(Prompt::Remark);
                Ok(prompt(Prompt::Remark, error.to_string().into()))
            }
            Err(_) => Ok(interactive_only(false)),
        }
    }

    /// How to prove the second factor elsewhere; nothing where that is not possible now.
    async fn elsewhere(&mut self) -> String {
        match self.gateway.ask_confirmation(&self.who, Some(&self.target), DEVICE).await {
            Ok(confirming) => {
                self.patience.ask();
                let told = elsewhere(&confirming);
                self.confirming = Some(confirming);
                told
            }
            Err(error) => {
                tracing::debug!(%error, "no confirmation elsewhere is offered");
                String::new()
            }
        }
    }
}
