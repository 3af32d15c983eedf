//! A plan as a comment on a merge request: GitHub, GitLab and Gitea read the same Markdown.
//!
//! Everything in it came out of files somebody proposes: it is shown as code or escaped, so that a
//! resource cannot write the comment.

use portcullis_control::view::{PlanView, ReachView};
use portcullis_proof::{Finding, Status};

/// Most rows of a table; more do not fit into a comment.
const MAX_ROWS: usize = 200;

/// The plan as Markdown.
pub(super) fn plan(plan: &PlanView) -> String {
    let mut text = String::from("## Portcullis plan\n\n");
    if plan.changes.is_empty() {
        text.push_str("Nothing to change.\n");
        return text;
    }
    for change in &plan.changes {
        text.push_str(&format!("- {} {}\n", word(&change.change), code(&change.resource)));
    }
    text.push('\n');
    let (gains, losses): (Vec<&ReachView>, Vec<&ReachView>) =
        plan.reach.iter().partition(|row| row.gains);
    table(&mut text, "gains", &gains);
    table(&mut text, "loses", &losses);
    if plan.reach.is_empty() {
        text.push_str("Nobody gains or loses access.\n\n");
    }
    proofs(&mut text, plan);
    if !plan.warnings.is_empty() {
        text.push_str("### Warnings\n\n");
        plan.warnings.iter().for_each(|warning| text.push_str(&told(warning)));
    }
    for who in &plan.not_separated {
        text.push_str(&format!("- not separated: {}\n", code(who)));
    }
    text
}

fn word(change: &str) -> &'static str {
    match change {
        "add" => "add",
        "remove" => "remove",
        _ => "change",
    }
}

fn table(text: &mut String, verb: &str, rows: &[&ReachView]) {
    if rows.is_empty() {
        return;
    }
    text.push_str(&format!("### Who {verb} access ({})\n\n", rows.len()));
    text.push_str("| who | what | where | as | before | after |\n|---|---|---|---|---|---|\n");
    for row in rows.iter().take(MAX_ROWS) {
        let login = row.login.as_ref().map_or_else(|| "any".to_owned(), |it| code(it.as_str()));
        let detail = row.detail.as_ref().map(|it| format!(" ({})", code(it))).unwrap_or_default();
        text.push_str(&format!(
            "| {} | {} | {} | {login} | {} | {}{detail} |\n",
            code(row.user.as_str()),
            row.action,
            code(row.target.as_str()),
            code(&row.before),
            code(&row.after),
        ));
    }
    if rows.len() > MAX_ROWS {
        text.push_str(&format!("\n... and {} more\n", rows.len() - MAX_ROWS));
    }
    text.push('\n');
}

fn proofs(text: &mut String, plan: &PlanView) {
    let Some(proof) = &plan.proof else { return };
    text.push_str("### Invariants\n\n");
    for one in &proof.report.invariants {
        let mark = match one.status {
            Status::Proved => "proved",
            Status::Excepted => "excepted",
            Status::NotProved => "**not proved**",
            Status::Broken => "**broken**",
        };
        text.push_str(&format!("- {mark} {}\n", code(one.invariant.as_str())));
        for found in &one.counterexamples {
            let by = found.policies.join(" ");
            text.push_str(&format!(
                "  - {} can do {} on {} as {}, by {}\n",
                code(&found.user),
                code(&found.action),
                code(&found.target),
                code(&found.login),
                code(&by)
            ));
        }
    }
    if let Some(why) = &proof.refused {
        text.push_str(&format!("\nApplying this would be refused: {}\n", code(why)));
    }
    text.push('\n');
}

fn told(warning: &Finding) -> String {
    let place = match (&warning.file, warning.line) {
        (Some(file), Some(line)) => format!(" at {}", code(&format!("{file}:{line}"))),
        _ => String::new(),
    };
    format!("- {}: {}{place}\n", code(&warning.policy), warning.message)
}

/// Text as code on one line, which Markdown and HTML leave alone. A `|` ends a cell of a table even
/// in code, so it is replaced.
fn code(text: &str) -> String {
    let plain = |c: char| match c {
        '`' => '\'',
        '|' => '\u{a6}',
        c if c.is_control() => ' ',
        c => c,
    };
    format!("`{}`", text.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_control::view::ChangeView;

    #[test]
    fn a_comment_says_who_gains_and_who_loses_and_cannot_be_written_by_a_resource() {
        let row = |user: &str, gains: bool| ReachView {
            user: user.parse().unwrap(),
            target: "web".parse().unwrap(),
            action: portcullis_domain::ActionKind::Shell,
            before: "no".into(),
            after: "standing".into(),
            login: None,
            detail: Some("only `a|b` <img>\nx".into()),
            gains,
        };
        let change =
            ChangeView { resource: "Role/x".into(), change: "add".into(), fields: Vec::new() };
        let view = PlanView {
            revision: 1,
            changes: vec![change],
            reach: vec![row("dana", true), row("lena", false)],
            gains_in_production: false,
            not_separated: Vec::new(),
            warnings: Vec::new(),
            proof: None,
        };
        let text = plan(&view);
        assert!(text.contains("### Who gains access (1)"), "{text}");
        assert!(text.contains("### Who loses access (1)"), "{text}");
        assert!(text.contains("`only 'a\u{a6}b' <img> x`"), "{text}");
        assert!(text.lines().all(|line| !line.starts_with('x')), "{text}");
    }
}
