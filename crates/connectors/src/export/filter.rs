//! Which entries an export carries. Pure.

use super::entry::Exported;

/// Conditions, of which an empty one is met by everything. What cannot be read as an event passes
/// always: a filter must not hide what nobody understands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// OCSF classes, such as 3002.
    pub classes: Vec<u32>,
    /// Activities, such as `session.open`; `session.*` is every one that begins so.
    pub activities: Vec<String>,
    /// Environments. An event that belongs to none is held back where this is not empty.
    pub environments: Vec<String>,
}

impl Filter {
    /// Whether the entry is to be exported.
    #[must_use]
    pub fn lets_through(&self, entry: &Exported) -> bool {
        let Some(event) = &entry.event else { return true };
        let class = self.classes.is_empty() || self.classes.contains(&event.class_uid);
        let activity = self.activities.is_empty()
            || self.activities.iter().any(|wanted| matches(wanted, &event.activity));
        let environment = self.environments.is_empty()
            || event
                .environment
                .as_ref()
                .is_some_and(|environment| self.environments.contains(environment));
        class && activity && environment
    }
}

fn matches(wanted: &str, activity: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(beginning) => activity.starts_with(beginning),
        None => wanted == activity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::entry::for_receiver;

    #[test]
    fn every_condition_that_is_set_must_hold() {
        let event = br#"{"class_uid":4007,"metadata":{"event_code":"session.open"},"unmapped":{"environment":"production"}}"#;
        let entry = for_receiver("log", 0, event);
        let check = |filter: Filter, expected: bool| {
            assert_eq!(filter.lets_through(&entry), expected, "{filter:?}");
        };
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        check(Filter::default(), true);
        check(Filter { classes: vec![3002, 4007], ..Filter::default() }, true);
        check(Filter { classes: vec![3002], ..Filter::default() }, false);
        check(Filter { activities: words(&["session.*"]), ..Filter::default() }, true);
        check(Filter { activities: words(&["session"]), ..Filter::default() }, false);
        check(Filter { environments: words(&["staging"]), ..Filter::default() }, false);
        check(
            Filter {
                classes: vec![4007],
                environments: words(&["production"]),
                ..Filter::default()
            },
            true,
        );
    }

    #[test]
    fn what_is_no_event_is_never_held_back() {
        let filter = Filter { classes: vec![3002], ..Filter::default() };
        assert!(filter.lets_through(&for_receiver("log", 0, b"\xff not JSON")));
        let none = Filter { environments: vec!["production".into()], ..Filter::default() };
        assert!(!none.lets_through(&for_receiver("log", 0, br#"{"class_uid":3002}"#)));
    }
}
