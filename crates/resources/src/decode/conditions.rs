//! `conditions` and `break_glass` of a `Role`.

use std::time::Duration;

use portcullis_domain::break_glass::{DEFAULT_MAX_DURATION, LONGEST_USE};
use portcullis_domain::conditions::{
    MAX_NETWORKS, MAX_TICKET_PATTERN_BYTES, MAX_WINDOWS, TimeOfDay, Weekday, Window,
};
use portcullis_domain::{BreakGlass, Conditions};

use crate::node::Node;
use crate::reader::{Fields, Read, Reader};

pub(crate) const CONDITIONS: &[&str] = &["second_factor", "networks", "hours", "ticket"];
pub(crate) const SECOND_FACTOR: &[&str] = &["max_age"];
pub(crate) const BREAK_GLASS: &[&str] = &["max_duration"];
pub(crate) const WINDOW: &[&str] = &["time_zone", "days", "from", "to"];

pub(super) fn conditions(reader: &mut Reader<'_>, node: &Node) -> Read<Conditions> {
    let fields = reader.fields(node, "conditions", CONDITIONS)?;
    let second_factor = fields.optional(reader, "second_factor", |r, node| {
        let fields = r.fields(node, "a second factor's condition", SECOND_FACTOR)?;
        let hint = "`max_age:` with how old it may be, such as `15m`";
        fields.required(r, "max_age", hint, |r, node| r.duration(node, Duration::ZERO))
    });
    let networks = fields.or_default(reader, "networks", |r, node| {
        at_most(r, node, MAX_NETWORKS, "networks")?;
        r.set(node, |r, node| r.parse(node))
    });
    let hours = fields.or_default(reader, "hours", |r, node| {
        at_most(r, node, MAX_WINDOWS, "windows of hours")?;
        r.set(node, window)
    });
    let ticket = fields.optional(reader, "ticket", |r, node| {
        let pattern = r.line(node, MAX_TICKET_PATTERN_BYTES)?;
        if pattern.is_empty() {
            let help = "write what it looks like, such as `OPS-#`, or leave `ticket` out";
            return Err(r.note(node.at, "a pattern cannot be empty", Some(help.into())));
        }
        Ok(pattern)
    });
    Ok(Conditions {
        second_factor_max_age: second_factor?,
        networks: networks?,
        hours: hours?,
        ticket: ticket?,
    })
}

/// That the role gives nothing until it is taken out.
pub(super) fn break_glass(reader: &mut Reader<'_>, node: &Node) -> Read<BreakGlass> {
    let fields = reader.fields(node, "break_glass", BREAK_GLASS)?;
    let longest = fields.optional(reader, "max_duration", |r, node| {
        let duration = r.duration(node, Duration::from_secs(60))?;
        if duration > LONGEST_USE {
            let message =
                format!("a use lasts at most {}", portcullis_domain::format_duration(LONGEST_USE));
            return Err(r.note(node.at, message, None));
        }
        Ok(duration)
    });
    Ok(BreakGlass { max_duration: longest?.unwrap_or(DEFAULT_MAX_DURATION) })
}

/// A role that gives rights over Portcullis, or what other roles give, gives them whenever: its
/// conditions would look as if they held for those, too, and so would that it is for emergencies.
pub(super) fn check_apply(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    inherits: bool,
    controls: bool,
) -> Read<()> {
    let Some(field) = ["conditions", "break_glass"].into_iter().find(|name| fields.has(name))
    else {
        return Ok(());
    };
    let what = match (inherits, controls) {
        (false, false) => return Ok(()),
        (true, _) => "what it inherits",
        (false, true) => "`control`",
    };
    let message = format!("`{field}` holds for `allow` only, not for {what}");
    let help = format!("put {what} into a role of its own");
    Err(reader.note(fields.place(field), message, Some(help)))
}

fn at_most(reader: &mut Reader<'_>, node: &Node, most: usize, what: &str) -> Read<()> {
    match reader.items(node)?.len() > most {
        true => Err(reader.note(node.at, format!("at most {most} {what} are allowed"), None)),
        false => Ok(()),
    }
}

fn window(reader: &mut Reader<'_>, node: &Node) -> Read<Window> {
    let fields = reader.fields(node, "a window of hours", WINDOW)?;
    let hint = "`time_zone:` with whose clocks count, such as `Europe/Berlin` or `UTC`";
    let time_zone = fields.required(reader, "time_zone", hint, |r, node| r.parse(node));
    let days = fields.optional(reader, "days", |r, node| {
        let words = Weekday::ALL.map(|day| (day.as_str(), day));
        let days = r.set(node, |r, node| r.one_of(node, "a day of the week", &words))?;
        if days.is_empty() {
            let help = "name the days, or leave `days` out for all of them";
            return Err(r.note(node.at, "a window is of at least one day", Some(help.into())));
        }
        Ok(days)
    });
    let from = fields.required(reader, "from", "`from: \"08:00\"`", time_of_day);
    let to = fields.required(reader, "to", "`to: \"18:00\"`", time_of_day);
    let (from, to) = (from?, to?);
    if from == to {
        let help = "for a whole day write `from: \"00:00\"` and `to: \"24:00\"`";
        return Err(reader.note(fields.place("to"), "this is no time at all", Some(help.into())));
    }
    let days = days?.unwrap_or_else(|| Weekday::ALL.into());
    Ok(Window { time_zone: time_zone?, days, from, to })
}

fn time_of_day(reader: &mut Reader<'_>, node: &Node) -> Read<TimeOfDay> {
    reader.parse(node)
}
