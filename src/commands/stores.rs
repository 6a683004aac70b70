//! `fonoteca stores`: what is in them, what waits for them, and the word of an operator that one is lost or was found.

use archive::{Actor, Archive, Error, LostStore, Scope, StoreFigures};
use serde_json::json;

use crate::config::Config;
use crate::output::{Form, human_bytes, say, say_json};
use crate::{Outcome, WrongUse, instance};

pub(super) async fn list(config: &Config, form: Form) -> anyhow::Result<Outcome> {
    let (archive, failures) = instance::open_beside_stores(config, "stores").await?;
    let mut stores = archive.list_stores(Scope::Platform).await?;
    for store in &mut stores {
        if let Some((_, failure)) = failures.iter().find(|(name, _)| *name == store.name) {
            (store.is_configured, store.failure) = (true, Some(failure.to_string()));
        }
    }
    let waiting = archive.list_copies_waiting().await?;
    match form {
        Form::Json => say_json(&json!({
            "stores": stores.iter().map(|store| json!({
                "name": store.name,
                "state": state(store),
                "recordings": store.recordings,
                "stored_bytes": store.stored_bytes,
                "lost_at": store.lost_at.map(|at| at.to_string()),
                "failure": store.failure,
            })).collect::<Vec<_>>(),
            "copies_waiting": waiting.iter().map(|it| json!({
                "why": it.why.as_str(),
                "store": it.store,
                "recordings": it.recordings,
                "oldest": it.oldest.to_string(),
            })).collect::<Vec<_>>(),
        }))?,
        Form::Text => {
            for store in &stores {
                let (recordings, bytes) = (store.recordings, human_bytes(store.stored_bytes));
                say(&format!("{}: {}, {recordings} recordings, {bytes}", store.name, state(store)));
                if let Some(failure) = &store.failure {
                    say(&format!("  {failure}"));
                }
            }
            for it in &waiting {
                let store = it.store.as_ref().map_or_else(String::new, |store| format!(" for store {store}"));
                say(&format!("{} recordings wait{store} ({}), the oldest since {}", it.recordings, it.why, it.oldest));
            }
        }
    }
    archive.close().await?;
    let is_well = stores.iter().all(|store| store.failure.is_none());
    Ok(if is_well { Outcome::Done } else { Outcome::FoundSomethingWrong })
}

fn state(store: &StoreFigures) -> &'static str {
    match store {
        StoreFigures { lost_at: Some(_), .. } => "lost",
        StoreFigures { is_configured: false, .. } => "not configured",
        StoreFigures { failure: Some(_), .. } => "down",
        _ => "ready",
    }
}

pub(super) async fn preview_lost(config: &Config, name: &str) -> anyhow::Result<Outcome> {
    let (archive, _) = instance::open_beside_stores(config, "stores").await?;
    let lost = archive.preview_store_lost(&Actor::command_line(), name).await.map_err(no_such)?;
    say(&tell(name, &lost));
    say("nothing was changed: add --confirm when the store is gone for good");
    archive.close().await?;
    Ok(Outcome::Done)
}

pub(super) async fn lost(config: &Config, name: &str) -> anyhow::Result<Outcome> {
    let (archive, _) = instance::open_beside_stores(config, "stores").await?;
    let lost = archive.declare_store_lost(&Actor::command_line(), name).await.map_err(no_such)?;
    say(&tell(name, &lost));
    mark(&archive).await?;
    say(&format!(
        "it is listed as {} from now on, and nothing is read or written under its name; mount or configure the store that \
         replaces it as {name} and say `fonoteca stores replace {name}`, or have the tiers name others; then restart every \
         instance",
        lost.name
    ));
    archive.close().await?;
    Ok(Outcome::Done)
}

fn tell(name: &str, lost: &LostStore) -> String {
    format!(
        "{} recordings have a copy in store {name}; {} of them have no other one",
        lost.recordings, lost.without_copy
    )
}

pub(super) async fn replace(config: &Config, name: &str) -> anyhow::Result<Outcome> {
    let (archive, _) = instance::open_beside_stores(config, "stores").await?;
    archive.replace_lost_store(&Actor::command_line(), name).await.map_err(no_such)?;
    say(&format!("{name} takes the lost one's place: restart every instance"));
    archive.close().await?;
    Ok(Outcome::Done)
}

pub(super) async fn found(config: &Config, lost_name: &str, new_name: &str) -> anyhow::Result<Outcome> {
    let (archive, _) = instance::open_beside_stores(config, "stores").await?;
    archive.declare_store_found(&Actor::command_line(), lost_name, new_name).await.map_err(no_such)?;
    mark(&archive).await?;
    say(&format!("it is {new_name} again: restart every instance; what was replaced meanwhile is not needed there"));
    archive.close().await?;
    Ok(Outcome::Done)
}

/// Marks every object that was lost or found; where this is cut off, the next run of rotation goes on.
async fn mark(archive: &Archive) -> anyhow::Result<()> {
    while archive.mark_lost_objects().await? > 0 {}
    Ok(())
}

pub(super) async fn lost_recordings(config: &Config) -> anyhow::Result<Outcome> {
    let (archive, _) = instance::open_beside_stores(config, "stores").await?;
    let mut after = None;
    loop {
        let page = archive.list_lost_recordings(Scope::Platform, after, 1000).await?;
        page.iter().for_each(|id| say(&id.to_string()));
        match page.last() {
            Some(last) => after = Some(*last),
            None => break,
        }
    }
    archive.close().await?;
    Ok(if after.is_none() { Outcome::Done } else { Outcome::FoundSomethingWrong })
}

fn no_such(error: Error) -> anyhow::Error {
    match error {
        Error::NotFound(_) | Error::Invalid(_) | Error::Marker { .. } => WrongUse::because(error),
        error => error.into(),
    }
}
