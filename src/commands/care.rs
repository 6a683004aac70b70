//! Looking after the archive: collecting by hand, quarantine, verifying.

use archive::{Actor, Depth, Error, Finding, SourceState};
use serde_json::json;

use crate::config::Config;
use crate::output::{human_bytes, say, say_json};
use crate::{Outcome, WrongUse, service};

/// How much of the quarantine is listed.
const LISTED: u32 = 1000;

pub(super) async fn collect(config: &Config, core_server: Option<&str>) -> anyhow::Result<Outcome> {
    let _lock = service::lock_instance(&config.data_dir)?;
    let archive = service::open_archive(config, None).await?;
    if let Some(name) = core_server
        && !archive.list_core_servers().await?.iter().any(|server| server.name == name)
    {
        return Err(WrongUse::because(format!("there is no core server \"{name}\"")));
    }
    let collector = service::open_collector(config, &archive)?;
    let collected = collector.collect_once(core_server).await?;
    say(&collected.to_string());
    archive.close().await?;
    Ok(if collected.quarantined + collected.failed + collected.unreachable > 0 {
        Outcome::FoundSomethingWrong
    } else {
        Outcome::Done
    })
}

pub(super) async fn retry(config: &Config, source: Option<&str>) -> anyhow::Result<Outcome> {
    let archive = service::open_archive(config, Some("retry")).await?;
    match source {
        Some(source) => {
            let id = source.parse().map_err(WrongUse::because)?;
            match archive.retry_quarantined(&Actor::command_line(), id).await {
                Err(Error::Conflict(_) | Error::NotFound(_)) => {
                    return Err(WrongUse::because(format!("source {source} is not quarantined")));
                }
                other => other?,
            }
            say(&format!("source {source} will be tried again"));
        }
        None => {
            for source in archive.list_sources(SourceState::Quarantined, LISTED).await? {
                let code = source.error_code.as_deref().unwrap_or("unknown");
                let detail = source.error_detail.as_deref().unwrap_or_default();
                say(&format!("{}  {code}  {}  {detail}", source.id, source.listed.path.display()));
            }
        }
    }
    archive.close().await?;
    Ok(Outcome::Done)
}

pub(super) async fn verify(config: &Config, deep: bool, as_json: bool) -> anyhow::Result<Outcome> {
    let archive = service::open_archive(config, Some("verify")).await?;
    let depth = if deep { Depth::Deep } else { Depth::Fast };
    let report = archive.verify(depth).await?;
    if as_json {
        let findings: Vec<String> = report.findings.iter().map(describe).collect();
        say_json(&json!({ "objects": report.objects, "stored_bytes": report.stored_bytes, "findings": findings }))?;
    } else {
        for finding in &report.findings {
            say(&describe(finding));
        }
        let (objects, bytes) = (report.objects, human_bytes(report.stored_bytes));
        say(&format!("{objects} objects, {bytes}: {} findings", report.findings.len()));
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

pub(super) async fn verify_audit(config: &Config) -> anyhow::Result<Outcome> {
    let archive = service::open_archive(config, Some("audit")).await?;
    let outcome = match archive.verify_audit().await {
        Ok(rows) => {
            say(&format!("{rows} rows, and every one links to the one before it"));
            Outcome::Done
        }
        Err(error @ Error::Integrity { .. }) => {
            say(&error.to_string());
            Outcome::FoundSomethingWrong
        }
        Err(error) => return Err(error.into()),
    };
    archive.close().await?;
    Ok(outcome)
}
