//! `fonoteca retry`: the quarantine, and another try for a source in it.

use archive::{Actor, Error, SourceState};

use crate::config::Config;
use crate::output::say;
use crate::{Outcome, WrongUse, instance};

/// How much of the quarantine is listed.
const LISTED: u32 = 1000;

pub(super) async fn retry(config: &Config, source: Option<&str>) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "retry").await?;
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
