//! Origins of result columns, and what a gate does with them.
//!
//! In: what the trace found. Out: a [`Treatment`] for each column of a result.

/// A protected column a statement reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtectedColumn {
    /// The pattern that protects it, by its place in [`super::Protected`].
    pub pattern: usize,
    /// Its name in the statement, `customers.email`, for records and messages.
    pub name: String,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From nothing protected.
    Untouched,
    /// It is a protected column's value, or an unprotected one in the same place of a union.
    Copy(ProtectedColumn),
    /// It is computed from protected columns, or chosen by them.
    Derived(Vec<ProtectedColumn>),
    /// It cannot be told.
    Unknown,
}

/// A column of a result, or several that are not known one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// One column with the name the statement gives it, if it gives one.
    One(Option<String>, Origin),
    /// Any number of columns.
    Rest(Origin),
}

/// Where a protected column shows although its value is not in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `WHERE`, `HAVING`: whether a row is there.
    Condition,
    /// A join's `ON`, `USING` or `NATURAL`.
    Join,
    /// `GROUP BY`, `DISTINCT`, `UNION`: which rows are alike.
    Grouping,
    /// `ORDER BY`: which row comes first.
    Order,
    /// `LIMIT`, `OFFSET`: how many rows there are.
    Limit,
    /// The value is written to a table that may not be protected.
    Stored,
}

/// A side channel of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideChannel {
    /// Where.
    pub place: Place,
    /// Of what; [`Origin::Unknown`] when it cannot be told.
    pub origin: Origin,
}

/// What a trace found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masking {
    /// The columns of the result, in order.
    pub outputs: Vec<Output>,
    /// Where protected columns show besides.
    pub side_channels: Vec<SideChannel>,
}

/// What a gate does with a column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// Hands it on.
    Pass,
    /// Masks each value, as the pattern says.
    Mask(ProtectedColumn),
    /// Hands on nothing of it.
    Withhold,
}

impl Origin {
    /// What is computed from both.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Untouched, Self::Untouched) => Self::Untouched,
            (one, other) => {
                let mut columns = one.columns();
                columns.extend(other.columns());
                columns.sort();
                columns.dedup();
                Self::Derived(columns)
            }
        }
    }

    /// What is one or the other.
    pub(super) fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::Copy(one), Self::Copy(other)) if one.pattern == other.pattern => Self::Copy(one),
            (Self::Copy(one), Self::Untouched) | (Self::Untouched, Self::Copy(one)) => {
                Self::Copy(one)
            }
            (one, other) => one.and(other),
        }
    }

    /// The same, not as a plain copy.
    pub(super) fn computed(self) -> Self {
        match self {
            Self::Copy(column) => Self::Derived(vec![column]),
            other => other,
        }
    }

    fn columns(self) -> Vec<ProtectedColumn> {
        match self {
            Self::Copy(column) => vec![column],
            Self::Derived(columns) => columns,
            Self::Untouched | Self::Unknown => Vec::new(),
        }
    }

    fn treatment(&self) -> Treatment {
        match self {
            Self::Untouched => Treatment::Pass,
            Self::Copy(column) => Treatment::Mask(column.clone()),
            Self::Derived(_) | Self::Unknown => Treatment::Withhold,
        }
    }
}

impl Output {
    fn origin(&self) -> &Origin {
        match self {
            Self::One(_, origin) | Self::Rest(origin) => origin,
        }
    }

    /// A column whose place is not known cannot be masked alone.
    fn treatment_in_rest(&self) -> Treatment {
        match self.origin() {
            Origin::Untouched => Treatment::Pass,
            _ => Treatment::Withhold,
        }
    }
}

impl Masking {
    /// Nothing is known: all is withheld.
    pub(super) fn unknown() -> Self {
        Self {
            outputs: vec![Output::Rest(Origin::Unknown)],
            side_channels: vec![SideChannel { place: Place::Condition, origin: Origin::Unknown }],
        }
    }

    /// A plan: no values, and estimates that tell something of all that is compared.
    pub(super) fn estimates() -> Self {
        Self { outputs: vec![Output::Rest(Origin::Untouched)], ..Self::unknown() }
    }

    /// Nothing of it is protected.
    pub(super) fn untouched() -> Self {
        Self { outputs: vec![Output::Rest(Origin::Untouched)], side_channels: Vec::new() }
    }

    /// What to do with each of the `count` columns the server answers with. When they are not as
    /// many as the statement was read to have, all are withheld.
    #[must_use]
    pub fn treatments(&self, count: usize) -> Vec<Treatment> {
        let is_rest = |output: &Output| matches!(output, Output::Rest(_));
        let Some(first) = self.outputs.iter().position(is_rest) else {
            if self.outputs.len() != count {
                return vec![Treatment::Withhold; count];
            }
            return self.outputs.iter().map(|output| output.origin().treatment()).collect();
        };
        let last = self.outputs.iter().rposition(is_rest).unwrap_or(first);
        let before = self.outputs.get(..first).unwrap_or_default();
        let middle = self.outputs.get(first..=last).unwrap_or_default();
        let after = self.outputs.get(last + 1..).unwrap_or_default();
        let known = before.len() + after.len();
        let fixed = middle.iter().filter(|output| !is_rest(output)).count();
        if known + fixed > count {
            return vec![Treatment::Withhold; count];
        }
        let all_pass = middle.iter().all(|one| one.treatment_in_rest() == Treatment::Pass);
        let between = if all_pass { Treatment::Pass } else { Treatment::Withhold };
        let mut treatments: Vec<_> = before.iter().map(|one| one.origin().treatment()).collect();
        treatments.extend(std::iter::repeat_n(between, count - known));
        treatments.extend(after.iter().map(|one| one.origin().treatment()));
        treatments
    }
}
