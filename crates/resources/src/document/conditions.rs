//! `conditions` and `break_glass` of a `Role` as they are written.

use portcullis_domain::conditions::{Conditions, Weekday, Window};
use portcullis_domain::{BreakGlass, format_duration};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::from_resource::texts;

/// Under which circumstances a role gives what it allows; what it denies holds regardless.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConditionsSpec {
    /// A second factor, and how old it may be when a session starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor: Option<FactorCondition>,
    /// Only from these networks, such as `10.1.0.0/16` or `2001:db8::/32`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    networks: Vec<String>,
    /// Only within one of these windows. A session ends when the last of them closes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hours: Vec<WindowSpec>,
    /// Only under a grant whose ticket looks like this: `*` stands for any text, `#` for digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<String>,
}

/// How a break-glass role is taken out.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakGlassSpec {
    /// How long one use lasts at most, up to `8h`. Default: `1h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    max_duration: Option<String>,
}

impl From<&BreakGlass> for BreakGlassSpec {
    fn from(BreakGlass { max_duration }: &BreakGlass) -> Self {
        Self { max_duration: Some(format_duration(*max_duration)) }
    }
}

/// A second factor not older than this.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactorCondition {
    /// Such as `15m`; `0s` asks for a new one. Two minutes are always enough to type it.
    #[schemars(regex(pattern = r"^([0-9]+[smhdw])+$"))]
    max_age: String,
}

/// Hours of certain days. One whose `to` is not after its `from` runs into the next day.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowSpec {
    /// Whose clocks count: a name of the IANA database, such as `Europe/Berlin`.
    time_zone: String,
    /// The days it begins on. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "days")]
    days: Vec<String>,
    /// From this time of day, such as `08:00`.
    #[schemars(regex(pattern = r"^[0-9]{2}:[0-9]{2}$"))]
    from: String,
    /// Until this time of day, at most `24:00`.
    #[schemars(regex(pattern = r"^[0-9]{2}:[0-9]{2}$"))]
    to: String,
}

impl From<&Conditions> for ConditionsSpec {
    fn from(conditions: &Conditions) -> Self {
        let Conditions { second_factor_max_age, networks, hours, ticket } = conditions;
        Self {
            second_factor: second_factor_max_age
                .map(|age| FactorCondition { max_age: format_duration(age) }),
            networks: texts(networks),
            hours: hours.iter().map(WindowSpec::from).collect(),
            ticket: ticket.clone(),
        }
    }
}

impl From<&Window> for WindowSpec {
    fn from(Window { time_zone, days, from, to }: &Window) -> Self {
        Self {
            time_zone: time_zone.to_string(),
            days: texts(days),
            from: from.to_string(),
            to: to.to_string(),
        }
    }
}

fn days(_: &mut SchemaGenerator) -> Schema {
    let names = Weekday::ALL.map(Weekday::as_str);
    json_schema!({"type": "array", "minItems": 1, "items": {"enum": names}})
}
