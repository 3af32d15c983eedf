//! Connections that have not signed in yet: few overall, few from one source, and a finding when
//! there are more. Every door counts its own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::audit::{Activity, Event, Outcome};
use tokio::time::Instant;

use crate::Gateway;

/// How often refused strangers are audited at most.
const FLOOD_REPORT: Duration = Duration::from_secs(60);

/// The strangers at one door; clones are the same door.
#[derive(Clone)]
pub struct Strangers(Arc<Door>);

struct Door {
    gateway: Gateway,
    places: Places,
    reported: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Places {
    limit: usize,
    per_source: usize,
    sources: Mutex<HashMap<IpAddr, usize>>,
    refused: AtomicU64,
}

/// A place among them, held until its owner has signed in or left.
pub struct Stranger {
    door: Arc<Door>,
    source: IpAddr,
}

impl Strangers {
    /// A door with so many places, and so many for one source.
    pub fn new(gateway: Gateway, limit: usize, per_source: usize) -> Self {
        let places = Places {
            limit,
            per_source,
            sources: Mutex::new(HashMap::new()),
            refused: AtomicU64::new(0),
        };
        Self(Arc::new(Door { gateway, places, reported: Mutex::new(None) }))
    }

    /// A place, if there is one. That there was none is audited, at most once a minute however many
    /// are refused.
    pub fn enter(&self, source: IpAddr) -> Option<Stranger> {
        let network = network(source);
        if self.0.places.take(network) {
            return Some(Stranger { door: Arc::clone(&self.0), source: network });
        }
        self.report_flood(source);
        None
    }

    fn report_flood(&self, source: IpAddr) {
        {
            let mut reported = self.0.reported.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.is_some_and(|at| at.elapsed() < FLOOD_REPORT) {
                return;
            }
            *reported = Some(Instant::now());
        }
        let refused = self.0.places.refused.swap(0, Ordering::Relaxed);
        tracing::warn!(%source, refused, "too many connections that have not signed in");
        let gateway = self.0.gateway.clone();
        let event = Event::new(Activity::Finding, gateway.now())
            .source(source)
            .outcome(Outcome::Refused("too many connections that have not signed in".into()))
            .detail("finding", "half_open_flood")
            .detail("refused", refused);
        tokio::spawn(async move {
            if let Err(error) = gateway.auditor().write(event).await {
                tracing::error!(%error, "a flood could not be audited");
            }
        });
    }
}

impl Places {
    fn take(&self, source: IpAddr) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = sources.values().sum();
        let here = sources.get(&source).copied().unwrap_or(0);
        if all >= self.limit || here >= self.per_source {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        sources.insert(source, here + 1);
        true
    }

    fn give_back(&self, source: IpAddr) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(here) = sources.get_mut(&source) {
            *here -= 1;
            if *here == 0 {
                sources.remove(&source);
            }
        }
    }
}

/// What one party has many addresses of counts as one: a /64 of IPv6 (RFC 6177).
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.door.places.give_back(self.source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_bounded_overall_and_per_source() {
        let places = Places {
            limit: 3,
            per_source: 2,
            sources: Mutex::new(HashMap::new()),
            refused: AtomicU64::new(0),
        };
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        assert!(places.take(a) && places.take(a));
        assert!(!places.take(a));
        assert!(places.take(b));
        assert!(!places.take(c));
        assert_eq!(places.refused.load(Ordering::Relaxed), 2);
        places.give_back(a);
        assert!(places.take(c));
    }

    #[test]
    fn a_network_of_one_party_is_one_source() {
        let [a, b]: [IpAddr; 2] = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().unwrap());
        assert_eq!(network(a), network(b));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), IpAddr::from([10, 0, 0, 1]));
    }
}
