//! Legal holds and undeleting, from the command line.

use archive::{Actor, Archive, Instant, NewHold, Scope};

use crate::config::Config;
use crate::output::say;
use crate::{Outcome, WrongUse, instance};

/// A hold as it was typed.
pub(super) struct Wanted {
    pub(super) tenant: String,
    pub(super) matter: String,
    pub(super) recording: Option<String>,
    pub(super) pbx: Option<String>,
    pub(super) number: Option<String>,
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
}

pub(super) async fn hold(config: &Config, wanted: Wanted) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "hold").await?;
    let rule = resolve(&archive, wanted).await?;
    let id = archive.set_hold(&Actor::command_line(), &rule).await.map_err(WrongUse::because)?;
    say(&format!("hold {id} is set"));
    archive.close().await?;
    Ok(Outcome::Done)
}

async fn resolve(archive: &Archive, wanted: Wanted) -> anyhow::Result<NewHold> {
    let no_tenant = || WrongUse::because(format!("there is no tenant \"{}\"", wanted.tenant));
    let tenants = archive.list_tenants(Scope::Platform).await?;
    let tenant = tenants.iter().find(|tenant| tenant.code == wanted.tenant).ok_or_else(no_tenant)?.id;
    let pbx = match &wanted.pbx {
        Some(code) => {
            let pbxs = archive.list_pbxs(Scope::Tenant(tenant)).await?;
            let pbx = pbxs.iter().find(|pbx| &pbx.code == code);
            Some(pbx.ok_or_else(|| WrongUse::because(format!("the tenant has no PBX \"{code}\"")))?.id)
        }
        None => None,
    };
    Ok(NewHold {
        tenant,
        matter: wanted.matter,
        recording: wanted.recording.map(|id| id.parse()).transpose().map_err(WrongUse::because)?,
        pbx,
        number: wanted.number,
        from: wanted.from.as_deref().map(instant).transpose()?,
        until: wanted.until.as_deref().map(instant).transpose()?,
    })
}

fn instant(text: &str) -> anyhow::Result<Instant> {
    let timestamp: jiff::Timestamp = text
        .parse()
        .map_err(|_| WrongUse::because(format!("\"{text}\" is not an instant such as 2026-11-21T08:00:00Z")))?;
    Ok(timestamp.into())
}

pub(super) async fn release(config: &Config, hold: &str) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "release").await?;
    let id = hold.parse().map_err(WrongUse::because)?;
    archive.release_hold(&Actor::command_line(), id).await.map_err(WrongUse::because)?;
    say(&format!("hold {hold} is released"));
    archive.close().await?;
    Ok(Outcome::Done)
}

pub(super) async fn undelete(config: &Config, recording: &str) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "undelete").await?;
    let id = recording.parse().map_err(WrongUse::because)?;
    archive.undelete(&Actor::command_line(), id).await.map_err(WrongUse::because)?;
    say(&format!("recording {recording} is visible again"));
    archive.close().await?;
    Ok(Outcome::Done)
}
