//! `fonoteca backup`: the catalogue into a store, now.

use archive::{Actor, Backup};
use serde_json::{Value as Json, json};

use crate::config::Config;
use crate::output::{Form, human_bytes, say, say_json};
use crate::{Outcome, instance};

pub(super) async fn backup(config: &Config, form: Form) -> anyhow::Result<Outcome> {
    let (_lock, archive) = instance::open_archive_to_back_up(config).await?;
    let backup = archive.back_up(&Actor::command_line(), config.backup.store.as_deref(), config.backup.keep).await?;
    archive.close().await?;
    match (&backup, form) {
        (Some(backup), Form::Json) => say_json(&as_json(backup))?,
        (Some(backup), Form::Text) => say(&describe(backup)),
        (None, Form::Json) => say_json(&Json::Null)?,
        (None, Form::Text) => say("another instance is making a backup"),
    }
    Ok(if backup.is_some() { Outcome::Done } else { Outcome::FoundSomethingWrong })
}

pub(super) async fn list(config: &Config, form: Form) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "backup").await?;
    let backups = archive.list_backups().await?;
    archive.close().await?;
    match form {
        Form::Json => say_json(&json!({ "items": backups.iter().map(as_json).collect::<Vec<_>>() }))?,
        Form::Text => backups.iter().for_each(|backup| say(&describe(backup))),
    }
    Ok(Outcome::Done)
}

fn describe(backup: &Backup) -> String {
    let Backup { id, store, snapshot_at, rows, size_bytes } = backup;
    format!("backup {id} of {snapshot_at} in store {store}: {rows} rows, {}", human_bytes(*size_bytes))
}

fn as_json(backup: &Backup) -> Json {
    json!({
        "backup": backup.id.to_string(),
        "store": backup.store,
        "snapshot_at": backup.snapshot_at.to_string(),
        "rows": backup.rows,
        "size_bytes": backup.size_bytes,
    })
}
