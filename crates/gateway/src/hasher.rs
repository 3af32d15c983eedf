//! The thread on which passwords are hashed.
//!
//! Argon2id takes tens of milliseconds and megabytes on purpose. It runs on one thread of its own,
//! at a lower priority, so that a burst of sign-ins neither stalls nor slows the sessions that are
//! running; the queue before it is bounded.

use std::sync::Arc;

use portcullis_domain::Secret;
use portcullis_identity::password::{HashError, PasswordCheck, PasswordHash, Passwords};
use portcullis_identity::random::OsRandom;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Most sign-ins waiting for the thread; further ones are told to try again.
const MAX_WAITING: usize = 64;
/// How much the thread gives way to the others (see nice(2)).
const NICENESS: i32 = 10;

/// A password could not be hashed or compared now.
#[derive(Debug, Error)]
pub enum HasherError {
    /// Too many sign-ins at once.
    #[error("too many people are signing in at this moment; try again in a few seconds")]
    Busy,
    /// The thread is gone.
    #[error("passwords cannot be checked; the node must be restarted")]
    Gone,
    /// The password is not acceptable, or hashing failed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

enum Job {
    /// `None` for a user without a password: the same work, always wrong.
    Verify(Option<PasswordHash>, Secret<String>, oneshot::Sender<PasswordCheck>),
    Hash(Secret<String>, oneshot::Sender<Result<PasswordHash, HashError>>),
}

/// Handle to the hashing thread.
#[derive(Clone)]
pub struct Hasher {
    jobs: mpsc::Sender<Job>,
}

impl Hasher {
    /// Starts the thread.
    pub fn start(passwords: Arc<Passwords>) -> std::io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel(MAX_WAITING);
        std::thread::Builder::new().name("password-hash".into()).spawn(move || {
            // Without it hashing is merely less polite.
            let _ = rustix::process::nice(NICENESS);
            while let Some(job) = queue.blocking_recv() {
                work(&passwords, job);
            }
        })?;
        Ok(Self { jobs })
    }

    /// Compares; a user without a password costs the same time.
    pub async fn verify(
        &self,
        hash: Option<PasswordHash>,
        password: Secret<String>,
    ) -> Result<PasswordCheck, HasherError> {
        let (answer, wait) = oneshot::channel();
        self.send(Job::Verify(hash, password, answer))?;
        wait.await.map_err(|_| HasherError::Gone)
    }

    /// Hashes a new password.
    pub async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, HasherError> {
        let (answer, wait) = oneshot::channel();
        self.send(Job::Hash(password, answer))?;
        Ok(wait.await.map_err(|_| HasherError::Gone)??)
    }

    fn send(&self, job: Job) -> Result<(), HasherError> {
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => HasherError::Busy,
            mpsc::error::TrySendError::Closed(_) => HasherError::Gone,
        })
    }
}

/// Whoever asked may have gone; their answer is dropped then.
fn work(passwords: &Passwords, job: Job) {
    match job {
        Job::Verify(hash, password, answer) => {
            if answer.is_closed() {
                return;
            }
            let check = match hash {
                Some(hash) => passwords.verify(&hash, &password),
                None => passwords.verify_absent(&password),
            };
            let _ = answer.send(check);
        }
        Job::Hash(password, answer) => {
            let _ = answer.send(passwords.hash(&password, &mut OsRandom));
        }
    }
}
