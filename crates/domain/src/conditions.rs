//! Circumstances under which a role gives what it allows: a second factor and its age, networks,
//! hours of the week, a ticket.
//!
//! Conditions hold for what a role allows, never for what it denies. Everything here answers for a
//! given moment; nothing reads a clock. Time zones are those of the IANA database that is compiled
//! in, or of the machine where that is newer. There is no condition on the device somebody uses:
//! an SSH client says nothing about its machine that it could not make up.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday as CivilWeekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::environment::ticket_matches;
use crate::time::{Timestamp, format_duration, human};

/// Most networks of one role; the parser refuses more.
pub const MAX_NETWORKS: usize = 64;
/// Most windows of hours of one role; the parser refuses more.
pub const MAX_WINDOWS: usize = 16;
/// Longest ticket pattern, in bytes; the parser refuses longer ones.
pub const MAX_TICKET_PATTERN_BYTES: usize = 128;
/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;

/// What must be so for a role to give what it allows. Nothing set: it always does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// A second factor not older than this when a session starts.
    #[serde(default, with = "human::option")]
    pub second_factor_max_age: Option<Duration>,
    /// From one of these networks; empty: from anywhere.
    #[serde(default)]
    pub networks: BTreeSet<Network>,
    /// Within one of these windows; empty: at any time. A session ends when the last one closes.
    #[serde(default)]
    pub hours: BTreeSet<Window>,
    /// Under a grant whose ticket is of this pattern, see [`ticket_matches`].
    #[serde(default)]
    pub ticket: Option<String>,
}

impl Conditions {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a ticket is good enough.
    pub fn ticket_fits(&self, ticket: Option<&str>) -> bool {
        self.ticket
            .as_ref()
            .is_none_or(|pattern| ticket.is_some_and(|ticket| ticket_matches(pattern, ticket)))
    }

    /// Whether one of the windows is open.
    pub fn hours_open(&self, at: Timestamp) -> bool {
        self.hours.is_empty() || self.hours.iter().any(|window| window.open(at))
    }

    /// Whether an address is in one of the networks.
    pub fn network_fits(&self, source: IpAddr) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(source))
    }

    /// Each condition in words.
    pub fn described(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(age) = self.second_factor_max_age {
            all.push(format!("with a second factor not older than {}", format_duration(age)));
        }
        if !self.networks.is_empty() {
            all.push(format!("from {}", joined(&self.networks)));
        }
        if !self.hours.is_empty() {
            all.push(format!("within {}", joined(&self.hours)));
        }
        if let Some(pattern) = &self.ticket {
            all.push(format!("with a ticket like {pattern}"));
        }
        all
    }

    /// Those that are not met, in words. A second factor can be asked for, so it is not among them.
    pub fn unmet(&self, source: IpAddr, ticket: Option<&str>, now: Timestamp) -> Vec<String> {
        let unmet = Self {
            second_factor_max_age: None,
            networks: if self.network_fits(source) {
                BTreeSet::new()
            } else {
                self.networks.clone()
            },
            hours: if self.hours_open(now) { BTreeSet::new() } else { self.hours.clone() },
            ticket: if self.ticket_fits(ticket) { None } else { self.ticket.clone() },
        };
        unmet.described()
    }
}

fn joined<T: ToString>(items: &BTreeSet<T>) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// A range of addresses as RFC 4632 and RFC 4291 write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text that is not a network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// Neither an address nor an address with a prefix.
    #[error("`{0}` is not a network; write it like `10.1.0.0/16` or `2001:db8::/32`")]
    Form(String),
    /// It names a host within the network.
    #[error("`{written}` has bits beyond its prefix; write `{meant}`")]
    HostBits {
        /// As it was written.
        written: String,
        /// The network that host is in.
        meant: Network,
    },
}

impl Network {
    /// Whether an address is in it. An IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
            (_, address) => masked(address, self.prefix) == self.address,
        }
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError::Form(text.escape_debug().to_string());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        // Another spelling of an IPv4 address would never match: sources are canonical.
        if address.to_canonical() != address {
            return Err(wrong());
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= most).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        let meant = Self { address: masked(address, prefix), prefix };
        if meant.address != address {
            return Err(NetworkError::HostBits { written: text.escape_debug().to_string(), meant });
        }
        Ok(meant)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Hours of certain days of the week in a time zone. One that ends at or before its beginning runs
/// into the next day, which need not be one of its days.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// Whose clocks count.
    pub time_zone: ZoneName,
    /// The days it begins on. INVARIANT: not empty (the parser refuses that).
    pub days: BTreeSet<Weekday>,
    /// From this time of day, inclusive.
    pub from: TimeOfDay,
    /// Until this time of day, exclusive; `24:00` is the end of the day.
    pub to: TimeOfDay,
}

impl Window {
    /// Whether it is open. A time zone that is not known any more keeps it shut.
    pub fn open(&self, at: Timestamp) -> bool {
        self.around(at).any(|(from, to)| from <= at && at < to)
    }

    /// When it next opens or closes.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        self.around(at).flat_map(|(from, to)| [from, to]).filter(|edge| *edge > at).min()
    }

    /// When it is next open: now, if it is.
    pub fn next_open(&self, at: Timestamp) -> Option<Timestamp> {
        if self.open(at) {
            return Some(at);
        }
        let openings = self.around(at).filter(|(from, to)| from < to).map(|(from, _)| from);
        openings.filter(|from| *from > at).min()
    }

    /// From yesterday's to that in a week. Where clocks are set forward over an edge, it is moved
    /// by as much; where they are set back, the earlier of two counts (RFC 5545 section 3.3.5).
    fn around(&self, at: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let zone = self.time_zone.zone();
        let today = zone.as_ref().and_then(|zone| {
            let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
            Some(zone.to_datetime(at).date())
        });
        (-1..=8).filter_map(move |offset: i64| {
            let (zone, day) = (zone.as_ref()?, today?.checked_add(offset.days()).ok()?);
            if !self.days.contains(&Weekday::of(day)) {
                return None;
            }
            let last = if self.to <= self.from { day.tomorrow().ok()? } else { day };
            Some((self.from.on(day, zone)?, self.to.on(last, zone)?))
        })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<&str> = self.days.iter().map(|day| day.as_str()).collect();
        write!(f, "{}-{} {} {}", self.from, self.to, days.join(","), self.time_zone)
    }
}

/// The name of a time zone, such as `Europe/Berlin` or `UTC`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ZoneName(String);

/// A text that names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a time zone; write a name like `Europe/Berlin` or `UTC`")]
pub struct ZoneError(String);

impl ZoneName {
    fn zone(&self) -> Option<TimeZone> {
        if self.0 == "UTC" {
            return Some(TimeZone::UTC);
        }
        TimeZone::get(&self.0).ok()
    }
}

impl FromStr for ZoneName {
    type Err = ZoneError;
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let wrong = || ZoneError(text.escape_debug().to_string());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
            return Err(wrong());
        }
        let zone = Self(text.to_owned()).zone().ok_or_else(wrong)?;
        // As the database spells it, so that the same zone is the same text.
        Ok(Self(zone.iana_name().unwrap_or(text).to_owned()))
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Weekday {
    /// Every day, from Monday.
    pub const ALL: [Self; 7] =
        [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];

    /// The name in resources.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mon => "mon",
            Self::Tue => "tue",
            Self::Wed => "wed",
            Self::Thu => "thu",
            Self::Fri => "fri",
            Self::Sat => "sat",
            Self::Sun => "sun",
        }
    }

    fn of(day: Date) -> Self {
        match day.weekday() {
            CivilWeekday::Monday => Self::Mon,
            CivilWeekday::Tuesday => Self::Tue,
            CivilWeekday::Wednesday => Self::Wed,
            CivilWeekday::Thursday => Self::Thu,
            CivilWeekday::Friday => Self::Fri,
            CivilWeekday::Saturday => Self::Sat,
            CivilWeekday::Sunday => Self::Sun,
        }
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A time of day to the minute, up to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

/// A text that is not a time of day.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a time of day; write it like `08:00`, at most `24:00`")]
pub struct TimeOfDayError(String);

impl TimeOfDay {
    fn on(self, day: Date, zone: &TimeZone) -> Option<Timestamp> {
        let day = if self.0 == DAY_MINUTES { day.tomorrow().ok()? } else { day };
        let minutes = self.0 % DAY_MINUTES;
        let hour = i8::try_from(minutes / 60).ok()?;
        let at = day.at(hour, i8::try_from(minutes % 60).ok()?, 0, 0);
        Some(Timestamp::from_millis(zone.to_timestamp(at).ok()?.as_millisecond()))
    }
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;
    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let wrong = || TimeOfDayError(text.escape_debug().to_string());
        let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
        let number = |digits: &str| -> Option<u16> {
            let two = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| two)
        };
        let (hour, minute) = number(hour).zip(number(minute)).ok_or_else(wrong)?;
        let minutes = hour * 60 + minute;
        if minute >= 60 || minutes > DAY_MINUTES { Err(wrong()) } else { Ok(Self(minutes)) }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
