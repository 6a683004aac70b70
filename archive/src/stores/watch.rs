//! Watching over the stores: probing those that are down, noting how full the disks get, ending unfinished uploads, and
//! telling once of each change.

use std::time::Duration;

use tokio::time::Instant;

use super::{Store, StoreState, Trouble};
use crate::Archive;
use crate::error::Result;

/// How often unfinished uploads are looked for, and the room of a disk is noted.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// What was told of a store last, and when it was last looked after.
#[derive(Debug, Default)]
pub(super) struct Told {
    trouble: Option<Trouble>,
    looked_after: Option<Instant>,
}

impl Archive {
    /// One round, to be called every few seconds while serving: each store by itself, so that one that hangs keeps none
    /// of the others waiting.
    pub async fn watch_stores(&self) {
        futures_util::future::join_all(self.stores().iter().map(|store| self.watch(store))).await;
    }

    async fn watch(&self, store: &Store) {
        // Fails at once while it is down, and probes it when it is time.
        if self.check_store(store).await.is_ok() {
            store.ask_for_room().await;
        }
        let state = store.state();
        if let Err(error) = self.tell(store, &state).await {
            tracing::error!(store = store.name(), "failed to tell of a store: {error}");
        }
        if state.down.is_none() && store.take_turn() {
            match self.sweep_uploads(store).await {
                Ok(0) => {}
                Ok(swept) => tracing::info!(store = store.name(), "ended {swept} unfinished uploads"),
                Err(error) => tracing::warn!(store = store.name(), "failed to sweep unfinished uploads: {error}"),
            }
            if let Err(error) = self.note_space(store).await {
                tracing::warn!(store = store.name(), "failed to note the room on a disk: {error}");
            }
        }
    }

    /// Logs a change and writes it into the outbox, once.
    async fn tell(&self, store: &Store, state: &StoreState) -> Result<()> {
        let found = state.down.as_ref().or(state.takes_nothing.as_ref());
        let trouble = found.map(|(trouble, _)| *trouble);
        if store.told_of() == trouble {
            return Ok(());
        }
        let name = store.name();
        let event = match found {
            Some((trouble, why)) => {
                let does = if state.down.is_some() { "is down" } else { "takes nothing new" };
                tracing::error!(store = name, trouble = trouble.as_str(), "store {name} {does}: {why}");
                "store.down"
            }
            None => {
                tracing::info!(store = name, "store {name} is well again");
                "store.up"
            }
        };
        let payload = serde_json::json!({
            "store": name,
            "instance": self.instance(),
            "trouble": trouble.map(Trouble::as_str),
            "why": found.map(|(_, why)| why),
        });
        let mut tx = self.db.begin().await?;
        self.emit(&mut tx, event, None, &payload).await?;
        tx.commit().await?;
        store.told.lock().expect("nobody panics while holding it").trouble = trouble;
        Ok(())
    }
}

impl Store {
    fn told_of(&self) -> Option<Trouble> {
        self.told.lock().expect("nobody panics while holding it").trouble
    }

    /// Is it time to look after it? Then it is not again for a while.
    fn take_turn(&self) -> bool {
        let mut told = self.told.lock().expect("nobody panics while holding it");
        let is_due = told.looked_after.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if is_due {
            told.looked_after = Some(Instant::now());
        }
        is_due
    }
}
