//! `fonoteca restore` and `fonoteca rebuild`: a catalogue that was lost, back from what the stores kept of it.

use anyhow::Context;
use archive::{Actor, Wanted};

use crate::config::Config;
use crate::output::{Form, say, say_json};
use crate::{Outcome, WrongUse, instance};

/// What was typed.
pub(super) fn wanted(catalogue: Option<&str>, backup: Option<&str>) -> anyhow::Result<Wanted> {
    Ok(Wanted {
        catalogue: catalogue.map(str::parse).transpose().map_err(WrongUse::because)?,
        backup: backup.map(str::parse).transpose().map_err(WrongUse::because)?,
        without_backup: false,
    })
}

pub(super) async fn restore(config: &Config, wanted: Wanted, form: Form) -> anyhow::Result<Outcome> {
    let _lock = instance::lock(&config.data_dir)?;
    let (archive, restored) = instance::restore_archive(config, wanted).await?;
    // Under the catalogue's new id there is no backup yet.
    let made = archive.back_up(&Actor::command_line(), config.backup.store.as_deref(), config.backup.keep).await;
    archive.close().await?;
    let made = made.context("back up what was restored; run `fonoteca backup` when the cause is gone")?;
    match form {
        Form::Json => {
            let mut told = restored.to_json();
            told["made"] = made.map(|backup| backup.id.to_string()).into();
            say_json(&told)?;
        }
        Form::Text => {
            restored.notes.iter().for_each(|note| say(note));
            match &restored.backup {
                Some(backup) => say(&format!("backup {backup} of catalogue {}: {} rows", restored.from, restored.rows)),
                None => say(&format!("catalogue {}, without a backup", restored.from)),
            }
            say(&format!(
                "since then: {} recordings, {} holds, {} purged; {} further copies; {} recordings from their keys alone",
                restored.recordings, restored.holds, restored.purged, restored.copies, restored.rebuilt
            ));
            say("nothing rotates until you have looked at it and said so by `fonoteca rotate --confirm-restore`");
        }
    }
    Ok(Outcome::Done)
}

pub(super) async fn confirm(config: &Config) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "rotate").await?;
    let confirmed = archive.confirm_restore(&Actor::command_line()).await?;
    archive.close().await?;
    say(match confirmed {
        0 => "no restore waits to be confirmed",
        _ => "the restore is confirmed: rotation goes on",
    });
    Ok(Outcome::Done)
}
