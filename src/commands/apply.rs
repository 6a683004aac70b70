//! `fonoteca apply`: from a file to the catalogue.

use std::fmt::Display;
use std::path::Path;

use archive::{Actor, Change, Declaration};

use crate::config::{Config, explain};
use crate::output::say;
use crate::{Outcome, WrongUse, instance};

/// Makes the catalogue say what the file declares.
pub(super) async fn apply(config: &Config, file: &Path) -> anyhow::Result<Outcome> {
    let declaration = read(file)?;
    let archive = instance::open_archive_for(config, "apply").await?;
    let changes = archive.apply(&Actor::command_line(), &declaration).await.map_err(|error| wrong(file, error))?;
    // What it says now must outlive the catalogue; the next backup has it too.
    if let Err(error) = archive.journal_organisation().await {
        tracing::warn!("failed to journal the organisation: {error}");
    }
    say_changes("changed", &changes);
    archive.close().await?;
    Ok(Outcome::Done)
}

/// Says what [`apply`] would change.
pub(super) async fn preview(config: &Config, file: &Path) -> anyhow::Result<Outcome> {
    let declaration = read(file)?;
    let archive = instance::open_archive_for(config, "apply").await?;
    let preview = archive.preview_apply(&Actor::command_line(), &declaration).await;
    say_changes("would change", &preview.map_err(|error| wrong(file, error))?);
    archive.close().await?;
    Ok(Outcome::Done)
}

fn read(file: &Path) -> anyhow::Result<Declaration> {
    let text = std::fs::read_to_string(file).map_err(|error| wrong(file, error))?;
    let declaration: Declaration = toml::from_str(&text).map_err(|error| wrong(file, explain(&error, &text)))?;
    for server in &declaration.core_servers {
        collector::check_layout(&server.layout, server.pattern.as_deref())
            .map_err(|what| wrong(file, format!("core server \"{}\": {what}", server.name)))?;
    }
    Ok(declaration)
}

fn wrong(file: &Path, what: impl Display) -> anyhow::Error {
    WrongUse::because(format!("{}: {what}", file.display()))
}

fn say_changes(verb: &str, changes: &[Change]) {
    for change in changes {
        say(&format!("{} {} {}", change.what, change.kind, change.name));
    }
    say(&format!("{verb} {}", changes.len()));
}
