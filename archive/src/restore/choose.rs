//! Choosing what to restore: which stores, which catalogue, which backup.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;

use crate::backup::{Manifest, list_manifests};
use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::id::{BackupId, CatalogueId, StoreId};
use crate::stores::{CATALOGUE, Store, StoreConfig};

/// A backup, and the one before it.
pub(super) struct Chosen {
    pub(super) store: Arc<Store>,
    pub(super) id: BackupId,
    pub(super) manifest: Manifest,
    pub(super) before: Option<BackupId>,
}

/// Opens the stores as what their markers say that they are; also whose.
pub(super) async fn open_stores(configs: &[StoreConfig]) -> Result<(Vec<Arc<Store>>, Vec<CatalogueId>)> {
    let (mut stores, mut catalogues) = (Vec::new(), Vec::new());
    for config in configs {
        let nameless = Store::open(StoreId::new(Instant::from_millis(0)), config)?;
        let marked = nameless.read_marker().await?.ok_or_else(|| Error::Marker {
            store: config.name.clone(),
            what: "it has no marker: is the disk mounted, the bucket the right one? A store that is lost, or new, is left \
                   out of the configuration while a catalogue is restored"
                .to_owned(),
        })?;
        stores.push(Arc::new(Store::open(marked.store, config)?));
        catalogues.push(marked.catalogue);
    }
    if stores.is_empty() {
        return Err(Error::Invalid("no store is configured: add a [[stores]] section".to_owned()));
    }
    Ok((stores, catalogues))
}

/// The catalogue that was lost.
pub(super) async fn lost_catalogue(
    stores: &[Arc<Store>],
    marked: &[CatalogueId],
    wanted: Option<CatalogueId>,
) -> Result<CatalogueId> {
    let named: BTreeSet<CatalogueId> = marked.iter().copied().collect();
    match (wanted, named.iter().next()) {
        (Some(wanted), _) if kept_catalogues(stores).await?.contains(&wanted.to_string()) => Ok(wanted),
        (Some(wanted), _) => Err(Error::Invalid(format!(
            "the stores keep nothing of catalogue {wanted}; they do of: {}",
            kept(stores).await?
        ))),
        (None, Some(catalogue)) if named.len() == 1 => Ok(*catalogue),
        (None, _) => Err(Error::Invalid(format!(
            "the stores are of different catalogues: say which one by --catalogue; they keep something of: {}",
            kept(stores).await?
        ))),
    }
}

/// The backup that is wanted, or the newest.
pub(super) async fn choose_backup(
    stores: &[Arc<Store>],
    from: CatalogueId,
    wanted: Option<BackupId>,
    schema: i64,
) -> Result<Chosen> {
    let mut found = Vec::new();
    for store in stores {
        for (id, manifest) in list_manifests(store, from).await? {
            found.push((id, Arc::clone(store), manifest));
        }
    }
    found.sort_by_key(|(id, _, _)| std::cmp::Reverse(*id));
    let place = match wanted {
        Some(wanted) => found.iter().position(|(id, _, _)| *id == wanted),
        None => (!found.is_empty()).then_some(0),
    };
    let Some(place) = place else {
        let what = wanted.map_or_else(|| "no backup".to_owned(), |wanted| format!("no backup {wanted}"));
        let ids: Vec<String> = found.iter().map(|(id, _, _)| id.to_string()).collect();
        let there = match ids.is_empty() {
            true => format!("they keep something of: {}; without any backup: `fonoteca rebuild`", kept(stores).await?),
            false => format!("there are: {}", ids.join(", ")),
        };
        return Err(Error::Invalid(format!("the stores have {what} of catalogue {from}; {there}")));
    };
    let before = found.get(place + 1).map(|(id, _, _)| *id);
    let (id, store, manifest) = found.swap_remove(place);
    let manifest = manifest.ok_or_else(|| damaged(id, "its manifest", before))?;
    if manifest.schema > schema {
        return Err(Error::Invalid(format!(
            "backup {id} was made by a newer fonoteca (its schema is {}, this one's {schema}): install that one",
            manifest.schema
        )));
    }
    if manifest.catalogue != from.to_string() || manifest.backup != id.to_string() {
        return Err(damaged(id, "its manifest, which is another's,", before));
    }
    Ok(Chosen { store, id, manifest, before })
}

/// The one line for a backup that cannot be used.
pub(super) fn damaged(id: BackupId, what: &str, before: Option<BackupId>) -> Error {
    let before = match before {
        Some(before) => format!("the one before it: `fonoteca restore --backup {before}`"),
        None => "there is none before it: `fonoteca rebuild`".to_owned(),
    };
    Error::Invalid(format!("backup {id} is damaged ({what} is not what was put); {before}"))
}

async fn kept(stores: &[Arc<Store>]) -> Result<String> {
    let kept: Vec<String> = kept_catalogues(stores).await?.into_iter().collect();
    Ok(if kept.is_empty() { "none".to_owned() } else { kept.join(", ") })
}

/// Every catalogue of which the stores keep backups or a journal.
async fn kept_catalogues(stores: &[Arc<Store>]) -> Result<BTreeSet<String>> {
    let mut kept = BTreeSet::new();
    for store in stores {
        let mut keys = store.stream_keys(CATALOGUE)?;
        while let Some(key) = keys.next().await {
            kept.extend(key?.split('/').nth(1).map(str::to_owned));
        }
    }
    Ok(kept)
}
