//! How many signed-in connections one person may hold on this node.
//!
//! Flows in: a person whose sign-in is complete. Flows out: a [`Place`], held as long as anything
//! of that sign-in lives, or nothing. Never knows a protocol: every room's connections count alike,
//! so that one stolen laptop cannot use the gate up for everybody.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_domain::UserName;
use portcullis_domain::audit::Outcome;

use crate::sign_in::{SignInError, SignInFlow};

/// Places taken, by person.
#[derive(Debug)]
pub(crate) struct Places {
    each: NonZeroUsize,
    taken: Mutex<HashMap<UserName, usize>>,
}

/// A place of one person's; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    user: UserName,
}

impl Places {
    /// `each` is the number of places of every person.
    pub(crate) fn new(each: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self { each, taken: Mutex::new(HashMap::new()) })
    }

    /// A place for `user`, or `None` where all of theirs are taken.
    pub(crate) fn take(self: &Arc<Self>, user: &UserName) -> Option<Place> {
        let mut taken = self.lock();
        let theirs = taken.entry(user.clone()).or_default();
        if *theirs >= self.each.get() {
            return None;
        }
        *theirs += 1;
        Some(Place { places: Arc::clone(self), user: user.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UserName, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(theirs) = taken.get_mut(&self.user) {
            *theirs -= 1;
            if *theirs == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

/// What a sign-in holds among its person's connections.
#[derive(Debug)]
pub(crate) enum Seat {
    /// It is for a connection and has no place yet.
    Needed,
    /// Its place.
    Held(Place),
    /// It holds no connection open: a call of the API ends with its answer.
    Without,
}

impl Seat {
    /// The place, once; `None` where one is needed and was never taken.
    pub(crate) fn take(&mut self) -> Option<Option<Place>> {
        match std::mem::replace(self, Self::Needed) {
            Self::Needed => None,
            Self::Held(place) => Some(Some(place)),
            Self::Without => Some(None),
        }
    }
}

impl SignInFlow {
    /// A sign-in that keeps no connection open.
    pub(crate) fn without_place(mut self) -> Self {
        self.seat = Seat::Without;
        self
    }

    /// Takes the place a sign-in that is complete needs; without one it comes to nothing, which is
    /// audited.
    pub(crate) async fn take_place(&mut self, user: &UserName) -> Result<(), SignInError> {
        if matches!(self.seat, Seat::Without) {
            return Ok(());
        }
        if let Some(place) = self.gateway().places().take(user) {
            self.seat = Seat::Held(place);
            return Ok(());
        }
        self.give_up();
        let why = Outcome::Refused("the person holds too many connections".into());
        self.audit(Some(user), why, "").await?;
        Err(SignInError::Crowded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_so_many_places_and_takes_none_of_anybody_elses() {
        let places = Places::new(NonZeroUsize::MIN.saturating_add(1));
        let (alice, bob) = (UserName::new("alice").unwrap(), UserName::new("bob").unwrap());
        let first = places.take(&alice).unwrap();
        let _second = places.take(&alice).unwrap();
        assert!(places.take(&alice).is_none());
        let theirs = places.take(&bob).unwrap();
        drop(first);
        assert!(places.take(&alice).is_some());
        drop(theirs);
        assert_eq!(places.lock().len(), 1, "nobody is remembered without a place");
    }
}
