//! Example requests run against policies, without a node and without changing anything.
//!
//! Files of resources and of tests flow in; for each case whether it got the answer it must get,
//! and by which policies, flows out. The answer is `decide`'s.

use std::time::Duration;

use portcullis_domain::access_test::{AccessCase, ExpectedTerms};
use portcullis_domain::{
    Authentication, Decision, Factor, FactorKind, Facts, Grant, GrantId, GrantSource, Query,
    RequestId, Timestamp, format_duration,
};
use portcullis_policy::{Explanation, Policies, PolicyReason, explain};
use portcullis_resources::{Located, check_references, parse, parse_access_tests};

use crate::resources::invalid;
use crate::view::{AccessTestView, AccessTestsView, ResourceFile};
use crate::{ControlError, ErrorKind};

/// How long the grant of a case lasts.
const GRANT_LENGTH: Duration = Duration::from_secs(3600);

/// Runs the tests against what the resource files declare, at `now` where a case names no time.
/// Takes CPU time, and a thread that may decide.
pub fn run_access_tests(
    resources: &[ResourceFile],
    tests: &[ResourceFile],
    now: Timestamp,
) -> Result<AccessTestsView, ControlError> {
    let cases = parse_access_tests(&texts(tests)).map_err(|problems| invalid(&problems))?;
    let parsed = parse(&texts(resources)).map_err(|problems| invalid(&problems))?;
    let problems = check_references(&parsed, &Facts::default());
    if !problems.is_empty() {
        return Err(invalid(&problems));
    }
    let mut facts = Facts::default();
    parsed.into_iter().for_each(|located| facts.insert(located.into_value()));
    let policies = Policies::compile(&facts).map_err(ControlError::invalid)?;
    if cases.is_empty() {
        let message = "there is no test; write one as `NAME.test.yaml` with `kind: AccessTest`";
        return Err(ControlError::new(ErrorKind::Invalid, "no_tests", message));
    }
    let cases: Vec<AccessTestView> =
        cases.iter().map(|case| run(&policies, &facts, case, now)).collect();
    let failed = cases.iter().filter(|case| !case.passed).count();
    Ok(AccessTestsView { passed: cases.len() - failed, failed, cases })
}

fn texts(files: &[ResourceFile]) -> Vec<(&str, &str)> {
    files.iter().map(|file| (file.name.as_str(), file.text.as_str())).collect()
}

fn run(
    policies: &Policies,
    facts: &Facts,
    located: &Located<AccessCase>,
    now: Timestamp,
) -> AccessTestView {
    let case = &located.value;
    let now = case.at.unwrap_or(now);
    let mut facts = facts.clone();
    if case.has_grant {
        facts.grants.insert(case.user.clone(), vec![grant(case, now)]);
    }
    let found = explain(policies, &facts, &query(case, now), now);
    let mut why = Vec::new();
    // A name that is not there is denied everything: that shows nothing.
    if !facts.users.contains_key(&case.user) {
        why.push(format!("there is no user `{}`", case.user));
    }
    if !facts.targets.contains_key(&case.target) {
        why.push(format!("there is no target `{}`", case.target));
    }
    if found.outcome != case.expect.as_str() {
        why.push(format!("expected {}, found {}", case.expect.as_str(), found.outcome));
    }
    let decided_by: Vec<String> =
        found.allowed_by.iter().chain(&found.forbidden_by).map(|r| r.policy.id.clone()).collect();
    for id in case.by.iter().filter(|id| !decided_by.contains(id)) {
        why.push(format!("`{id}` is not among the policies that decide"));
    }
    why.extend(unmet(&case.terms, &found.decision));
    AccessTestView {
        file: located.file().to_owned(),
        line: located.line(),
        test: case.test.to_string(),
        name: case.name.clone(),
        passed: why.is_empty(),
        expected: case.expect.as_str().to_owned(),
        found: found.outcome.to_owned(),
        summary: found.summary.clone(),
        decided_by: decided(&found),
        why,
    }
}

/// The policies that took part, with what they say.
fn decided(found: &Explanation) -> Vec<String> {
    let told = |word: &str, reason: &PolicyReason| {
        let said = reason.policy.description.as_ref();
        let said = said.map(|text| format!(" ({text})")).unwrap_or_default();
        format!("{word} by {}{said}", reason.policy.id)
    };
    let allowed = found.allowed_by.iter().map(|reason| told("allowed", reason));
    let forbidden = found.forbidden_by.iter().map(|reason| told("forbidden", reason));
    allowed.chain(forbidden).collect()
}

fn query(case: &AccessCase, now: Timestamp) -> Query {
    let mut factors = vec![Factor { kind: FactorKind::SshKey, at: now }];
    let second = case.second_factor_age.map(|age| now.minus(age));
    factors.extend(second.map(|at| Factor { kind: FactorKind::Totp, at }));
    Query {
        who: Authentication { user: case.user.clone(), factors, source: case.source },
        target: case.target.clone(),
        login: case.login.clone(),
        action: case.action.clone(),
    }
}

fn grant(case: &AccessCase, now: Timestamp) -> Grant {
    Grant {
        id: GrantId::new(now, [0; 10]),
        user: case.user.clone(),
        target: case.target.clone(),
        also: Default::default(),
        role: None,
        actions: Default::default(),
        login: None,
        ticket: case.ticket.clone(),
        starts: now,
        ends: now.plus(GRANT_LENGTH),
        source: GrantSource::Request { request: RequestId::new(now, [0; 10]), approved_by: vec![] },
        ended: None,
    }
}

fn unmet(expected: &ExpectedTerms, decision: &Decision) -> Vec<String> {
    let Decision::Allow(terms) = decision else { return Vec::new() };
    let ExpectedTerms { recording, login, max_session, idle_timeout } = expected;
    let mut why = Vec::new();
    if recording.is_some_and(|recording| recording != terms.recording) {
        why.push(format!("the recording is {:?}", terms.recording).to_lowercase());
    }
    if login.as_ref().is_some_and(|login| *login != terms.login) {
        why.push(format!("the login is `{}`", terms.login));
    }
    let durations = [
        ("longest session", max_session, terms.max_session),
        ("longest silence", idle_timeout, terms.idle_timeout),
    ];
    for (what, expected, found) in durations {
        if expected.is_some_and(|expected| Some(expected) != found) {
            let found = found.map_or_else(|| "not limited".to_owned(), format_duration);
            why.push(format!("the {what} is {found}"));
        }
    }
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCES: &str = r"
kind: Environment
metadata: {name: production}
spec: {tier: production, approval: {groups: [leads], count: 1}}
---
kind: Environment
metadata: {name: development}
spec: {tier: development, idle_timeout: 15m}
---
kind: Group
metadata: {name: leads}
spec: {}
---
kind: User
metadata: {name: dana}
spec: {}
---
kind: Role
metadata: {name: developer}
spec:
  allow:
    - {environments: [development], actions: [shell, exec]}
    - {environments: [production], actions: [exec], commands: [uptime]}
---
kind: RoleAssignment
metadata: {name: developers}
spec: {role: developer, users: [dana]}
";

    #[test]
    fn a_case_passes_by_its_answer_its_policy_and_its_terms() {
        let ran = ran(
            "    - {name: dev, user: dana, target: dev-web, login: app, action: shell, expect: allow, by: ['role:developer:allow:1'], terms: {idle_timeout: 15m, recording: best_effort, login: app}}
    - {name: ask, user: dana, target: prod-web, login: app, action: exec, object: uptime, expect: request_access}
    - {name: step, user: dana, target: prod-web, login: app, action: exec, object: uptime, grant: true, expect: step_up}
    - {name: in, user: dana, target: prod-web, login: app, action: exec, object: uptime, grant: true, second_factor: 1m, expect: allow}
    - {name: no, user: dana, target: prod-web, login: app, action: shell, expect: deny}\n",
        );
        assert_eq!((ran.passed, ran.failed), (5, 0), "{ran:#?}");
    }

    #[test]
    fn a_case_that_fails_says_what_was_found_and_by_which_policy() {
        let ran = ran(
            "    - {name: dev, user: dana, target: dev-web, login: app, action: shell, expect: deny}
    - {name: nobody, user: nobody, target: dev-web, action: shell, expect: deny}
    - {name: other, user: dana, target: dev-web, login: app, action: shell, expect: allow, by: ['role:developer:allow:9'], terms: {max_session: 8h}}\n",
        );
        assert_eq!(ran.failed, 3, "{ran:#?}");
        let [dev, nobody, other] = ran.cases.as_slice() else { panic!("{ran:#?}") };
        assert_eq!(dev.why, ["expected deny, found allow"]);
        assert!(dev.decided_by.iter().any(|by| by.contains("role:developer:allow:1")), "{dev:#?}");
        assert_eq!((dev.file.as_str(), dev.line), ("a.test.yaml", 5));
        assert_eq!(nobody.why, ["there is no user `nobody`"]);
        assert_eq!(other.why.len(), 2, "{other:#?}");
    }

    #[test]
    fn no_test_is_no_success() {
        let error = run_access_tests(&[], &[], Timestamp::from_millis(0)).unwrap_err();
        assert!(error.message.contains("there is no test"), "{error:?}");
    }

    fn ran(cases: &str) -> AccessTestsView {
        let target = |name: &str, environment: &str, port: u16| {
            format!(
                "---\nkind: Target\nmetadata: {{name: {name}}}\nspec: {{environment: {environment}, ssh: {{host: 192.0.2.1, port: {port}, logins: [app], host_keys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIF7i1gDGBPNq0H1v9OhKJ3n7YO9GvXVKg6sN1JXo0Wk4\"]}}}}\n"
            )
        };
        let resources = format!(
            "{RESOURCES}{}{}",
            target("dev-web", "development", 22),
            target("prod-web", "production", 23)
        );
        let tests = format!("kind: AccessTest\nmetadata: {{name: t}}\nspec:\n  cases:\n{cases}");
        let file = |name: &str, text: String| [ResourceFile { name: name.to_owned(), text }];
        let now = Timestamp::from_millis(1_795_000_000_000);
        run_access_tests(&file("r.yaml", resources), &file("a.test.yaml", tests), now).unwrap()
    }
}
