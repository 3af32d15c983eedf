//! `portcullis test`: example requests kept beside the policies, run without changing anything.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use portcullis_control::run_access_tests;
use portcullis_control::view::{AccessTestView, AccessTestsView, ResourceFile};
use portcullis_domain::Timestamp;
use portcullis_resources::is_test_file;

use super::files;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::print::{Out, Tone, escape};

#[derive(Debug, Subcommand)]
pub(super) enum AccessTests {
    /// Run the example requests of *.test.yaml files against the resource files beside them
    Test(Test),
}

#[derive(Debug, Args)]
pub(super) struct Test {
    /// Files or directories with resources and tests (default: the current directory)
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Against what is in force on the node, not against the resource files
    #[arg(long)]
    in_force: bool,
    /// Write a JUnit report, for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl AccessTests {
    pub(super) async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let Self::Test(test) = self;
        let (tests, resources): (Vec<_>, Vec<_>) = files::read_with_tests(&test.paths)?
            .into_iter()
            .partition(|file| is_test_file(&file.name));
        let resources = match test.in_force {
            true => {
                let text = context.client()?.get_text("/v1/export").await?;
                vec![ResourceFile { name: "what is in force".to_owned(), text }]
            }
            false if resources.is_empty() => {
                return Err(Failure::Usage(
                    "there is no resource file beside the tests; name them too, or test what is in force with --in-force".into(),
                ));
            }
            false => resources,
        };
        let now = now();
        // Deciding takes the stack of a thread that does it.
        let ran = tokio::task::spawn_blocking(move || run_access_tests(&resources, &tests, now));
        let ran = ran.await.map_err(|error| Failure::because("the tests broke off", &error))?;
        let view = ran.map_err(|error| Failure::Failed(error.message))?;
        if let Some(path) = &test.junit {
            std::fs::write(path, junit(&view)).map_err(|error| {
                Failure::because(format!("`{}` cannot be written", path.display()), &error)
            })?;
        }
        context.out.either(&view, |out| print(out, &view))?;
        Ok(if view.failed == 0 { Outcome::Done } else { Outcome::Problems })
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn print(out: Out, view: &AccessTestsView) -> Result<(), Failure> {
    for case in &view.cases {
        let word = match case.passed {
            true => out.tone(Tone::Good, "passed"),
            false => out.tone(Tone::Bad, "FAILED"),
        };
        let name = format!("{}: {}", case.test, case.name);
        out.line(&format!("{word} {}: {}", escape::line(&name), case.found))?;
        if case.passed {
            continue;
        }
        out.line(&format!("       {}:{}", escape::line(&case.file), case.line))?;
        let told = case.why.iter().chain([&case.summary]).chain(&case.decided_by);
        told.map(|line| format!("       {}", escape::line(line)))
            .try_for_each(|line| out.line(&line))?;
    }
    out.line(&format!("{} passed, {} failed", view.passed, view.failed))
}

/// As CI systems read it: a suite for each file.
fn junit(view: &AccessTestsView) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"{}\" failures=\"{}\">\n",
        view.cases.len(),
        view.failed
    );
    for suite in view.cases.chunk_by(|a, b| a.file == b.file) {
        let Some(first) = suite.first() else { continue };
        let failed = suite.iter().filter(|case| !case.passed).count();
        xml.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">\n",
            quoted(&first.file),
            suite.len()
        ));
        suite.iter().for_each(|case| xml.push_str(&testcase(case)));
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn testcase(case: &AccessTestView) -> String {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{}\"",
        quoted(&case.test),
        quoted(&case.name),
        quoted(&case.file),
        case.line
    );
    if case.passed {
        return format!("{head}/>\n");
    }
    let more: Vec<&str> =
        std::iter::once(&case.summary).chain(&case.decided_by).map(String::as_str).collect();
    format!(
        "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
        quoted(&case.why.join("; ")),
        quoted(&more.join("\n"))
    )
}

/// Text inside XML. What XML 1.0 has no way to write is replaced.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_junit_report_is_xml_whatever_is_in_it() {
        let case = |name: &str, passed: bool| AccessTestView {
            file: "a.test.yaml".into(),
            line: 5,
            test: "t".into(),
            name: name.into(),
            passed,
            expected: "allow".into(),
            found: "deny".into(),
            summary: "denied: <no> & \"never\"".into(),
            decided_by: vec!["forbidden by x".into()],
            why: if passed { vec![] } else { vec!["expected allow, found deny\u{1}".into()] },
        };
        let cases = vec![case("fine", true), case("a < b", false)];
        let xml = junit(&AccessTestsView { passed: 1, failed: 1, cases });
        assert!(xml.contains("<testsuites tests=\"2\" failures=\"1\">"), "{xml}");
        assert!(xml.contains("name=\"a &lt; b\""), "{xml}");
        assert!(xml.contains("message=\"expected allow, found deny\u{fffd}\""), "{xml}");
        assert!(xml.contains("denied: &lt;no&gt; &amp; &quot;never&quot;"), "{xml}");
        assert_eq!(xml.matches("<testcase ").count(), 2);
    }
}
