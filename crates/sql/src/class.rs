//! The classes of statements, and sets of them.
//!
//! In: nothing. Out: the vocabulary in which terms say what a session may do and in which a
//! statement says what it can reach. Never knows SQL.

use std::fmt;

/// What a statement can do. A statement has every class it can reach, so `with x as (delete ...
/// returning id) select lo_import(...)` is [`Class::Read`], [`Class::Write`] and
/// [`Class::Server`] at once. Ordered from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Reads rows, plans or settings, and computes only with reviewed built-in functions.
    Read,
    /// Begins, ends or subdivides a transaction without asking for more rights.
    Transaction,
    /// Changes how this session's answers look: date style, time zone, a listener, a cursor.
    Session,
    /// Rows leave in bulk: `COPY ... TO STDOUT`.
    CopyOut,
    /// Rows arrive in bulk: `COPY ... FROM STDIN`, `LOAD DATA LOCAL`.
    CopyIn,
    /// Changes rows, sequences or large objects, locks rows or tables, notifies others.
    Write,
    /// Runs code this crate has not reviewed: `CALL`, `DO`, a function, operator, type or cast
    /// that is not on the list of reviewed built-ins. Such code can do anything its owner can.
    Procedure,
    /// Creates, changes, drops or maintains objects.
    Ddl,
    /// Changes what confines the session: read-only mode, search path, row security, timeouts,
    /// replication role, or how the server reads the texts that follow.
    Confinement,
    /// Changes who may do what, or who the session acts as: `GRANT`, roles, policies, owners,
    /// `SET ROLE`, `SET SESSION AUTHORIZATION`.
    Privilege,
    /// Reaches the server's machine, other sessions or other servers: files, programs, network
    /// connections, server settings, replication, `KILL`, `SHUTDOWN`.
    Server,
    /// Not understood: it may do anything.
    Unknown,
}

impl Class {
    /// Every class, from the mildest to the strictest.
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Transaction,
        Self::Session,
        Self::CopyOut,
        Self::CopyIn,
        Self::Write,
        Self::Procedure,
        Self::Ddl,
        Self::Confinement,
        Self::Privilege,
        Self::Server,
        Self::Unknown,
    ];

    /// The name in policies, records and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::CopyOut => "copy-out",
            Self::CopyIn => "copy-in",
            Self::Write => "write",
            Self::Procedure => "procedure",
            Self::Ddl => "ddl",
            Self::Confinement => "confinement",
            Self::Privilege => "privilege",
            Self::Server => "server",
            Self::Unknown => "unknown",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of classes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ClassSet(u16);

impl ClassSet {
    /// No class: an empty statement.
    pub const EMPTY: Self = Self(0);
    /// What a read-only session may do. `Confinement` is not in it, because it holds what would
    /// lift a read-only transaction.
    pub const READ_ONLY: Self = Self::of(&[Class::Read, Class::Transaction, Class::Session]);

    /// The set of these classes.
    #[must_use]
    pub const fn of(classes: &[Class]) -> Self {
        let mut bits = 0;
        let mut rest = classes;
        while let [class, more @ ..] = rest {
            bits |= class.bit();
            rest = more;
        }
        Self(bits)
    }

    /// Every class, [`Class::Unknown`] included: a session without restrictions.
    #[must_use]
    pub const fn all() -> Self {
        Self::of(&Class::ALL)
    }

    /// Adds a class.
    pub const fn insert(&mut self, class: Class) {
        self.0 |= class.bit();
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the class is in the set.
    #[must_use]
    pub const fn contains(self, class: Class) -> bool {
        self.0 & class.bit() != 0
    }

    /// Whether everything in this set is in `allowed`: the question a gate asks.
    #[must_use]
    pub const fn within(self, allowed: Self) -> bool {
        self.0 & !allowed.0 == 0
    }

    /// Whether there is no class in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The strictest class in it.
    #[must_use]
    pub fn strictest(self) -> Option<Class> {
        Class::ALL.into_iter().rev().find(|class| self.contains(*class))
    }

    /// Its classes, from the mildest to the strictest.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.contains(*class))
    }
}

impl From<Class> for ClassSet {
    fn from(class: Class) -> Self {
        Self(class.bit())
    }
}

impl fmt::Display for ClassSet {
    /// The names with `+` between them, `nothing` for the empty set.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (place, class) in self.iter().enumerate() {
            if place > 0 {
                f.write_str("+")?;
            }
            f.write_str(class.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for ClassSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_within_another_only_with_every_class() {
        let mut set = ClassSet::from(Class::Read);
        assert!(set.within(ClassSet::READ_ONLY));
        set.insert(Class::Write);
        assert!(!set.within(ClassSet::READ_ONLY) && set.within(ClassSet::all()));
        assert_eq!(set.without(ClassSet::READ_ONLY).strictest(), Some(Class::Write));
        assert_eq!(set.to_string(), "read+write");
        assert!(ClassSet::EMPTY.within(ClassSet::EMPTY));
    }

    #[test]
    fn a_name_is_read_back_as_its_class() {
        for class in Class::ALL {
            assert_eq!(Class::from_name(class.name()), Some(class));
        }
    }
}
