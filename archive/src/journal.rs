//! The journal: what must survive the loss of the catalogue, written into the stores before the catalogue says it.
//!
//! A backup is as old as it is. What happened since stands here, in small objects under
//! `catalogue/<catalogue>/journal/`: the facts of every recording (before its bytes are put, so that no bytes are ever
//! without them), purges before they begin, holds before they are set. An entry whose change then failed does no harm: replaying
//! looks at the bytes first, and errs towards keeping. What lessens protection (a release) is written after its change instead.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use serde_json::Value as Json;
use tokio::sync::oneshot;

use crate::Archive;
use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{CatalogueId, JournalId, StoreId};
use crate::stores::{CATALOGUE, Store};

mod facts;
mod organisation;

pub(crate) use facts::{CopyPlace, Facts, hex, unhex};

/// What the entries of a part of the journal are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JournalKind {
    /// Recordings about to be archived.
    Recordings,
    /// Recordings about to be purged.
    Purges,
    /// Holds: set, or released.
    Holds,
    /// Resellers, tiers, tenants, PBXs, core servers, users: all of them, as they are after a change.
    Organisation,
}

impl JournalKind {
    pub(crate) const ALL: [Self; 4] = [Self::Recordings, Self::Purges, Self::Holds, Self::Organisation];

    fn as_str(self) -> &'static str {
        match self {
            Self::Recordings => "recordings",
            Self::Purges => "purges",
            Self::Holds => "holds",
            Self::Organisation => "organisation",
        }
    }
}

impl std::fmt::Display for JournalKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of the journal, as it lies in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) id: JournalId,
    pub(crate) key: String,
}

/// Entries that wait for one another, so that what is archived at the same moment is written down at once.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    queues: Mutex<HashMap<StoreId, Arc<Queue>>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Vec<(String, oneshot::Sender<()>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl Archive {
    /// Writes entries into every store that takes them, before the change that they tell of.
    ///
    /// # Errors
    /// When no store takes them: then the change must not happen.
    pub(crate) async fn journal(&self, kind: JournalKind, entries: &[Json]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let (id, lines) = (JournalId::new(self.clock.now()), entries.iter().map(|entry| format!("{entry}\n")));
        let text: String = lines.collect();
        let (mut taken, mut failure) = (false, None);
        for store in self.stores() {
            let written = async {
                self.check_store(store).await?;
                self.write_part(store, id, kind, text.clone()).await
            };
            match written.await {
                Ok(()) => taken = true,
                Err(error) => {
                    tracing::warn!(store = store.name(), "failed to journal {kind} in store {}: {error}", store.name());
                    failure = Some(error);
                }
            }
        }
        match failure {
            Some(failure) if !taken => Err(failure),
            _ => Ok(()),
        }
    }

    /// Writes the facts of a recording into the store that its bytes are about to be put into, and whose marker was just looked
    /// at. Those who come at the same time share one put.
    pub(crate) async fn note_facts(&self, store: &Store, facts: &Facts) -> Result<()> {
        let queue = {
            let mut queues = self.journal.queues.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(queues.entry(store.id()).or_default())
        };
        let line = format!("{}\n", facts.to_json());
        let (tell, mut told) = oneshot::channel();
        queue.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((line, tell));
        loop {
            let _turn = queue.turn.lock().await;
            // Those who were woken at the same moment, by the same commit, come along.
            tokio::task::yield_now().await;
            let batch = match told.try_recv() {
                // Somebody else has written it down meanwhile.
                Ok(()) => return Ok(()),
                Err(oneshot::error::TryRecvError::Empty) => {
                    std::mem::take(&mut *queue.waiting.lock().unwrap_or_else(PoisonError::into_inner))
                }
                // Somebody else has tried, and failed or gone away.
                Err(oneshot::error::TryRecvError::Closed) => {
                    let (tell, again) = oneshot::channel();
                    told = again;
                    vec![(format!("{}\n", facts.to_json()), tell)]
                }
            };
            let text = batch.iter().map(|(line, _)| line.as_str()).collect();
            self.write_part(store, JournalId::new(self.clock.now()), JournalKind::Recordings, text).await?;
            for (_, tell) in batch {
                // Who no longer waits need not be told.
                let _ = tell.send(());
            }
        }
    }

    async fn write_part(&self, store: &Store, id: JournalId, kind: JournalKind, text: String) -> Result<()> {
        let day = id.instant().timestamp().strftime("%Y/%m/%d");
        let key = format!("{}{day}/{id}.jsonl", prefix(self.catalogue, kind));
        store.put_bytes(&key, seal(text)).await
    }
}

fn prefix(catalogue: CatalogueId, kind: JournalKind) -> String {
    format!("{CATALOGUE}/{catalogue}/journal/{kind}/")
}

/// The parts of that kind of a catalogue's journal in the store, written in that time, oldest first.
pub(crate) async fn list_parts(
    store: &Store,
    catalogue: CatalogueId,
    kind: JournalKind,
    written: Range<Instant>,
) -> Result<Vec<Part>> {
    let prefix = prefix(catalogue, kind);
    let mut keys = store.stream_keys(&prefix)?;
    let mut parts = Vec::new();
    while let Some(key) = keys.next().await {
        let key = key?;
        let id = key.rsplit('/').next().and_then(|name| name.strip_suffix(".jsonl")?.parse::<JournalId>().ok());
        if let Some(id) = id.filter(|id| written.contains(&id.instant())) {
            parts.push(Part { id, key });
        }
    }
    parts.sort_by_key(|part| part.id);
    Ok(parts)
}

/// The entries of a part, and whether it is whole: what can still be read of a damaged one is better than nothing.
pub(crate) async fn read_part(store: &Store, part: &Part) -> Result<(Vec<Json>, bool)> {
    let Some(bytes) = store.read_bytes(&part.key).await? else { return Ok((Vec::new(), false)) };
    let text = String::from_utf8_lossy(&bytes);
    let whole = unseal(&bytes).is_some();
    let lines = text.lines().filter(|line| line.starts_with('{'));
    Ok((lines.filter_map(|line| serde_json::from_str(line).ok()).collect(), whole))
}

/// The text with its SHA-256 as its last line.
pub(crate) fn seal(mut text: String) -> Vec<u8> {
    let hash = Sha256::of(text.as_bytes());
    text.push_str(&format!("sha256 {hash}\n"));
    text.into_bytes()
}

/// The text, if its last line still fits it.
pub(crate) fn unseal(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (text, hash) = text.strip_suffix('\n')?.rsplit_once("sha256 ")?;
    (hash.parse::<Sha256>().ok()? == Sha256::of(text.as_bytes())).then_some(text)
}

/// What an entry says under `name`.
///
/// # Errors
/// [`Error::Integrity`] when it says nothing that can be read.
pub(crate) fn field<T: std::str::FromStr>(entry: &Json, name: &str) -> Result<T> {
    let text = entry[name].as_str().and_then(|text| text.parse().ok());
    text.ok_or_else(|| Error::integrity("journal", name, "is not there or cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_shows_every_change() {
        let sealed = seal("{\"a\":1}\n".to_owned());
        assert_eq!(unseal(&sealed), Some("{\"a\":1}\n"));
        for n in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[n] ^= 1;
            assert_eq!(unseal(&changed), None, "byte {n}");
            assert_eq!(unseal(&sealed[..n]), None, "cut at {n}");
        }
    }
}
