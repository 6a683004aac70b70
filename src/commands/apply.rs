//! `fonoteca apply`: from a file to the catalogue.

use std::path::Path;

use archive::{Actor, Declaration};

use crate::config::{Config, explain};
use crate::output::say;
use crate::{Outcome, WrongUse, service};

pub(super) async fn apply(config: &Config, file: &Path, dry_run: bool) -> anyhow::Result<Outcome> {
    let wrong = |what: String| WrongUse::because(format!("{}: {what}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let declaration: Declaration = toml::from_str(&text).map_err(|error| wrong(explain(&error, &text)))?;
    for server in &declaration.core_servers {
        collector::check_layout(&server.layout, server.pattern.as_deref())
            .map_err(|what| wrong(format!("core server \"{}\": {what}", server.name)))?;
    }
    let archive = service::open_archive(config, Some("apply")).await?;
    let actor = Actor::command_line();
    let changes = match dry_run {
        true => archive.preview_apply(&actor, &declaration).await,
        false => archive.apply(&actor, &declaration).await,
    }
    .map_err(|error| wrong(error.to_string()))?;
    for change in &changes {
        say(&format!("{} {} {}", change.what, change.kind, change.name));
    }
    let verb = if dry_run { "would change" } else { "changed" };
    say(&format!("{verb} {}", changes.len()));
    archive.close().await?;
    Ok(Outcome::Done)
}
