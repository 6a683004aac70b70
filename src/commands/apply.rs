//! `fonoteca apply`: from a file to the catalogue.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use archive::{Actor, Archive, Change, Declaration, Reach};
use rotation::{PlanSummary, Rotation};

use crate::config::{Config, explain};
use crate::output::{human_bytes, say};
use crate::{Outcome, WrongUse, cli, instance};

/// Makes the catalogue say what the file declares. Where that changes the days or quotas of recordings that are kept, it
/// must be said which of them it is for: what either would do is shown, and nothing is changed.
pub(super) async fn apply(config: &Config, file: &Path, reach: Option<cli::Reach>) -> anyhow::Result<Outcome> {
    let declaration = read(file)?;
    let archive = instance::open_archive_for(config, "apply").await?;
    let actor = Actor::command_line();
    let preview = archive.preview_apply(&actor, &declaration, None).await.map_err(|error| wrong(file, error))?;
    if reach.is_none() && !preview.changed_terms.is_empty() {
        show_terms(config, &archive, &declaration).await?;
        archive.close().await?;
        return Err(WrongUse::because(
            "nothing was changed: say by --for new or --for existing which recordings the changed days and quotas are for"
                .to_owned(),
        ));
    }
    let reach = reach.map(|reach| match reach {
        cli::Reach::New => Reach::New,
        cli::Reach::Existing => Reach::Existing,
    });
    if reach == Some(Reach::New) {
        // From when on they are new ones is told by the clock, and for good.
        Rotation::new(Arc::clone(&archive), config.rotation.clone()).check_clock().await?;
    }
    let changes = archive.apply_for(&actor, &declaration, reach).await.map_err(|error| wrong(file, error))?;
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
    let preview = archive.preview_apply(&Actor::command_line(), &declaration, None).await;
    let preview = preview.map_err(|error| wrong(file, error))?;
    say_changes("would change", &preview.changes);
    if !preview.changed_terms.is_empty() {
        show_terms(config, &archive, &declaration).await?;
    }
    archive.close().await?;
    Ok(Outcome::Done)
}

/// Says which days and quotas change, and what the next rotation would take out if that were for new recordings only, or
/// for existing ones too.
async fn show_terms(config: &Config, archive: &Arc<Archive>, declaration: &Declaration) -> anyhow::Result<()> {
    let actor = Actor::command_line();
    let existing = archive.preview_apply(&actor, declaration, Some(Reach::Existing)).await?;
    existing.changed_terms.iter().for_each(|line| say(line));
    let rotation = Rotation::new(Arc::clone(archive), config.rotation.clone());
    match archive.preview_apply(&actor, declaration, Some(Reach::New)).await {
        Ok(new) => show_plan("--for new", &rotation.plan_by(new.rules, &mut |_| ()).await?),
        Err(error) => say(&format!("--for new: not possible: {error}")),
    }
    show_plan("--for existing", &rotation.plan_by(existing.rules, &mut |_| ()).await?);
    Ok(())
}

fn show_plan(choice: &str, plan: &PlanSummary) {
    if let Some(refusal) = &plan.clock_refused {
        return say(&format!("{choice}: nothing would go: {refusal}"));
    }
    say(&format!(
        "{choice}: the next rotation would take out {} recordings, {}",
        plan.expiring.recordings,
        human_bytes(plan.expiring.stored_bytes)
    ));
    for pbx in &plan.pbxs {
        let expired = pbx.expired();
        if let (Some(oldest), Some(newest)) = (pbx.oldest, pbx.newest) {
            say(&format!(
                "  {}: {} recordings, {}, of calls begun from {oldest} to {newest}",
                pbx.code,
                expired.recordings,
                human_bytes(expired.stored_bytes)
            ));
        }
    }
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
