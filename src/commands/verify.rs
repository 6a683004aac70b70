//! `fonoteca verify`: does what is kept agree with what is known of it?

use archive::{Actor, Depth, Finding, Report};
use serde_json::json;

use crate::config::Config;
use crate::meter::Meter;
use crate::output::{Form, human_bytes, say, say_json};
use crate::{Outcome, instance};

pub(super) async fn verify(config: &Config, form: Form) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "verify").await?;
    let mut meter = Meter::new("objects");
    let report = archive.verify_telling(Depth::Fast, &mut |it| meter.show(it.objects, it.all_objects)).await?;
    meter.end();
    archive.close().await?;
    answer(&report, form)
}

pub(super) async fn verify_deep(config: &Config, resume: bool, form: Form) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "verify").await?;
    let mut meter = Meter::new("bytes");
    let actor = Actor::command_line();
    let report = archive.verify_deep(&actor, resume, &mut |it| meter.show(it.stored_bytes, it.all_bytes)).await?;
    meter.end();
    archive.close().await?;
    answer(&report, form)
}

fn answer(report: &Report, form: Form) -> anyhow::Result<Outcome> {
    let count = report.findings.len() as u64 + report.more_findings;
    match form {
        Form::Json => {
            let findings: Vec<String> = report.findings.iter().map(describe).collect();
            say_json(&json!({
                "objects": report.objects,
                "stored_bytes": report.stored_bytes,
                "findings": findings,
                "more_findings": report.more_findings,
            }))?;
        }
        Form::Text => {
            report.findings.iter().for_each(|finding| say(&describe(finding)));
            if report.more_findings > 0 {
                say(&format!("and {} more", report.more_findings));
            }
            let (objects, bytes) = (report.objects, human_bytes(report.stored_bytes));
            say(&format!("{objects} objects, {bytes}: {count} findings"));
        }
    }
    Ok(if report.is_clean() { Outcome::Done } else { Outcome::FoundSomethingWrong })
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
        Finding::NotLookedAt { store, why } => format!("not looked at: the rest of store {store}: {why}"),
    }
}
