//! `fonoteca verify`: does what is kept agree with what is known of it?

use archive::{Depth, Finding};
use serde_json::json;

use crate::config::Config;
use crate::output::{Form, human_bytes, say, say_json};
use crate::{Outcome, instance};

pub(super) async fn verify(config: &Config, depth: Depth, form: Form) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "verify").await?;
    let report = archive.verify(depth).await?;
    match form {
        Form::Json => {
            let findings: Vec<String> = report.findings.iter().map(describe).collect();
            say_json(&json!({ "objects": report.objects, "stored_bytes": report.stored_bytes, "findings": findings }))?;
        }
        Form::Text => {
            report.findings.iter().for_each(|finding| say(&describe(finding)));
            let (objects, bytes) = (report.objects, human_bytes(report.stored_bytes));
            say(&format!("{objects} objects, {bytes}: {} findings", report.findings.len()));
        }
    }
    archive.close().await?;
    Ok(if report.findings.is_empty() { Outcome::Done } else { Outcome::FoundSomethingWrong })
}

fn describe(finding: &Finding) -> String {
    match finding {
        Finding::Missing(id) => format!("missing: recording {id} is not in its store"),
        Finding::Damaged(id) => format!("damaged: recording {id} is not what was stored"),
        Finding::Orphan { store, key } => format!("orphan: store {store} has {key}, which the catalogue does not know"),
        Finding::WithoutObject(id) => format!("without object: recording {id} has no live object"),
        Finding::WithoutRecording(id) => format!("without recording: source {id} is done, but its recording is gone"),
        Finding::Usage(keys) => format!("usage: {keys} totals are not the sum of their recordings"),
        Finding::Audit(what) => format!("audit: {what}"),
    }
}
