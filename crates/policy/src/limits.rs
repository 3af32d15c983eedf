//! How large and how deep a policy may be, so that parsing, validating and evaluating it stays
//! within the stack and the time a decision has.

use portcullis_domain::conditions::{MAX_NETWORKS, MAX_TICKET_PATTERN_BYTES, MAX_WINDOWS};
use portcullis_domain::{Conditions, Role, Rule};

/// Longest raw policy text, in bytes.
pub const MAX_POLICY_TEXT_BYTES: usize = 64 * 1024;
/// Most words and signs in one Cedar policy; bounds the depth of operator chains.
pub const MAX_POLICY_TOKENS: usize = 2_000;
/// Deepest nesting of brackets and `if` in one Cedar policy.
pub const MAX_BRACKET_DEPTH: usize = 32;
/// Most allow and deny rules together in one role.
pub const MAX_RULES_PER_ROLE: usize = 256;
/// Most commands, paths, destinations, labels, logins, targets or environments in one rule, each.
pub const MAX_PATTERNS_PER_RULE: usize = 256;
/// Longest pattern or label, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1024;

/// Why a raw text is refused before Cedar reads it, and on which line.
pub(crate) fn check_text(cedar: &str) -> Result<(), (usize, String)> {
    if cedar.len() > MAX_POLICY_TEXT_BYTES {
        let found = cedar.len();
        return Err((
            1,
            format!("the text is {found} bytes long; at most {MAX_POLICY_TEXT_BYTES} are allowed"),
        ));
    }
    Scan::default().run(cedar)
}

/// Why a role is refused before it is compiled.
pub(crate) fn check_role(role: &Role) -> Result<(), String> {
    let rules = role.allow.len() + role.deny.len();
    if rules > MAX_RULES_PER_ROLE {
        return Err(format!("it has {rules} rules; at most {MAX_RULES_PER_ROLE} are allowed"));
    }
    check_conditions(&role.conditions)?;
    let alone = role.inherits.is_empty() && role.control.is_empty();
    if (role.break_glass.is_some() || !role.conditions.is_empty()) && !alone {
        let why = "a break-glass role, or one with conditions, has no `inherits` and no `control`";
        return Err(why.to_owned());
    }
    role.allow.iter().chain(&role.deny).try_for_each(check_rule)
}

fn check_conditions(conditions: &Conditions) -> Result<(), String> {
    let ticket = conditions.ticket.as_ref().map_or(0, String::len);
    let counts = [
        ("networks", conditions.networks.len(), MAX_NETWORKS),
        ("windows of hours", conditions.hours.len(), MAX_WINDOWS),
        ("bytes of ticket pattern", ticket, MAX_TICKET_PATTERN_BYTES),
    ];
    match counts.into_iter().find(|(_, count, most)| count > most) {
        Some((what, count, most)) => {
            Err(format!("its conditions have {count} {what}; at most {most} are allowed"))
        }
        None => Ok(()),
    }
}

fn check_rule(rule: &Rule) -> Result<(), String> {
    let counts = [
        ("commands", rule.commands.len()),
        ("paths", rule.paths.len()),
        ("destinations", rule.destinations.len()),
        ("databases", rule.databases.len()),
        ("labels", rule.labels.len()),
        ("logins", rule.logins.len()),
        ("targets", rule.targets.len()),
        ("environments", rule.environments.len()),
    ];
    if let Some((what, count)) = counts.into_iter().find(|(_, n)| *n > MAX_PATTERNS_PER_RULE) {
        return Err(format!(
            "a rule has {count} {what}; at most {MAX_PATTERNS_PER_RULE} are allowed"
        ));
    }
    let texts =
        rule.commands.iter().chain(&rule.paths).chain(&rule.destinations).chain(&rule.databases);
    let labels = rule.labels.iter().flat_map(|(key, value)| [key, value]);
    match texts.chain(labels).map(String::len).find(|length| *length > MAX_PATTERN_BYTES) {
        Some(length) => Err(format!(
            "a pattern or label is {length} bytes long; at most {MAX_PATTERN_BYTES} are allowed"
        )),
        None => Ok(()),
    }
}

/// Reads Cedar text only as far as its depth goes: strings, comments, brackets, words, signs.
#[derive(Default)]
struct Scan {
    line: usize,
    depth: usize,
    ifs: usize,
    tokens: usize,
    word: String,
}

impl Scan {
    fn run(mut self, text: &str) -> Result<(), (usize, String)> {
        self.line = 1;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    self.token()?;
                    let mut escaped = false;
                    for s in chars.by_ref() {
                        self.newline(s);
                        match s {
                            _ if escaped => escaped = false,
                            '\\' => escaped = true,
                            '"' => break,
                            _ => {}
                        }
                    }
                }
                '/' if chars.peek() == Some(&'/') => {
                    for s in chars.by_ref() {
                        self.newline(s);
                        if s == '\n' {
                            break;
                        }
                    }
                }
                _ => self.read(c)?,
            }
        }
        self.word_ends()
    }

    fn newline(&mut self, c: char) {
        if c == '\n' {
            self.line += 1;
        }
    }

    fn read(&mut self, c: char) -> Result<(), (usize, String)> {
        if c.is_alphanumeric() || c == '_' {
            // Only `if` is told apart, so a longer word need not be kept.
            if self.word.len() < 8 {
                self.word.push(c);
            }
            return Ok(());
        }
        self.word_ends()?;
        self.newline(c);
        match c {
            _ if c.is_whitespace() => return Ok(()),
            '(' | '[' | '{' => self.depth += 1,
            ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
            ';' => (self.depth, self.ifs, self.tokens) = (0, 0, 0),
            _ => {}
        }
        self.token()
    }

    fn word_ends(&mut self) -> Result<(), (usize, String)> {
        if self.word.is_empty() {
            return Ok(());
        }
        if self.word == "if" {
            self.ifs += 1;
        }
        self.word.clear();
        self.token()
    }

    fn token(&mut self) -> Result<(), (usize, String)> {
        self.tokens += 1;
        if self.depth + self.ifs > MAX_BRACKET_DEPTH {
            return Err((
                self.line,
                format!("brackets and `if` nest deeper than {MAX_BRACKET_DEPTH}; split the policy"),
            ));
        }
        if self.tokens > MAX_POLICY_TOKENS {
            return Err((
                self.line,
                format!(
                    "one policy has more than {MAX_POLICY_TOKENS} words and signs; split it, or use groups and labels"
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_text_with_comments_and_strings_passes() {
        let text = "// ((((((( \"\npermit (principal, action, resource)\nwhen { context.login == \"(((\\\"[[\" };\n";
        assert_eq!(check_text(&text.repeat(200)), Ok(()));
    }

    #[test]
    fn deep_nesting_is_refused_with_its_line() {
        let deep =
            format!("permit (principal, action, resource)\nwhen {{ {}true", "(".repeat(60_000));
        assert_eq!(check_text(&deep).unwrap_err().0, 2);
        let ifs = format!(
            "permit (principal, action, resource) when {{ {}",
            "if true then true else ".repeat(500)
        );
        assert!(check_text(&ifs).unwrap_err().1.contains("nest"));
    }

    #[test]
    fn an_endless_chain_and_an_overlong_text_are_refused() {
        let chain =
            format!("permit (principal, action, resource) when {{ {}", "true && ".repeat(2_000));
        assert!(check_text(&chain).unwrap_err().1.contains("words and signs"));
        assert!(
            check_text(&" ".repeat(MAX_POLICY_TEXT_BYTES + 1)).unwrap_err().1.contains("bytes")
        );
    }
}
