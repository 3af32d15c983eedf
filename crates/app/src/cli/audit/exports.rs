//! `portcullis audit exports`: how the exports of a node stand.

use portcullis_control::view::ExportView;
use portcullis_domain::Timestamp;

use crate::context::Context;
use crate::failure::Failure;
use crate::print::{Out, Tone, escape, time};

const HEAD: [&str; 7] = ["name", "kind", "to", "cursor", "lag", "delivered", "state"];

pub(super) async fn show(context: &Context) -> Result<(), Failure> {
    let exports: Vec<ExportView> = context.client()?.list("/v1/audit/exports", usize::MAX).await?;
    context.out.either(&exports, |out| {
        let rows = exports.iter().map(|export| row(out, export)).collect();
        out.table(&HEAD, rows, "no exports; `[[audit.export]]` in the configuration makes some")
    })
}

fn row(out: Out, export: &ExportView) -> Vec<String> {
    let at = |at: Option<Timestamp>| at.map(time).unwrap_or_default();
    vec![
        escape::line(&export.name),
        escape::line(&export.kind),
        escape::line(&export.destination),
        export.cursor.to_string(),
        export.lag.to_string(),
        at(export.delivered_at),
        state(out, export),
    ]
}

fn state(out: Out, export: &ExportView) -> String {
    let tone = if export.overdue_since.is_some() { Tone::Bad } else { Tone::Notice };
    match (&export.failing, export.overdue_since) {
        (Some(failing), _) => {
            let why = escape::line(&failing.why);
            let since = time(failing.since);
            out.tone(tone, &format!("failing since {since} ({} tries): {why}", failing.tries))
        }
        (None, Some(since)) => out.tone(tone, &format!("overdue since {}", time(since))),
        (None, None) if export.lag > 0 => "delivering".into(),
        (None, None) => out.tone(Tone::Good, "caught up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_control::view::ExportFailure;

    #[test]
    fn a_receivers_words_stay_on_their_line() {
        let at = Timestamp::from_millis(1_795_000_000_000);
        let export = ExportView {
            name: "siem".into(),
            kind: "webhook".into(),
            destination: "https://siem.example/".into(),
            cursor: 7,
            lag: 3,
            delivered_at: None,
            behind_since: Some(at),
            overdue_since: None,
            failing: Some(ExportFailure { since: at, tries: 2, why: "no\n\u{1b}[2J".into() }),
        };
        let row = row(Out::new(false), &export);
        assert!(row.iter().all(|cell| !cell.chars().any(char::is_control)), "{row:?}");
        assert!(row[6].contains("2 tries"));
    }
}
