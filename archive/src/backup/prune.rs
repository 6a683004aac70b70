//! What of backups and journal goes: all but the newest backups, what a backup that was cut off left, and the journal from
//! before the oldest backup that is kept.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{list_manifests, manifest_key, prefix};
use crate::Archive;
use crate::clock::Instant;
use crate::error::Result;
use crate::id::BackupId;
use crate::journal::{JournalKind, list_parts};
use crate::stores::Store;

/// Between an entry of the journal and its change, and between two instances' clocks, lies less.
pub(crate) const MARGIN: Duration = Duration::from_secs(86_400);

impl Archive {
    /// Removes all but the newest `keep` whole backups (at least one stays), and what of the journal is older than each of those.
    pub(crate) async fn prune_backups(&self, keep: u32) -> Result<()> {
        let backups = self.list_backups().await?;
        let kept: Vec<_> = backups.iter().take(keep.max(1) as usize).collect();
        let Some(oldest) = kept.last().map(|backup| backup.snapshot_at) else { return Ok(()) };
        let kept: BTreeSet<BackupId> = kept.iter().map(|backup| backup.id).collect();
        for store in self.stores() {
            self.check_store(store).await?;
            for (id, _) in list_manifests(store, self.catalogue).await? {
                // A manifest that is damaged stays until the backups after it are enough.
                if !kept.contains(&id) && id.instant() < oldest {
                    store.remove(&manifest_key(self.catalogue, id)).await?;
                }
            }
            let left: BTreeSet<BackupId> =
                list_manifests(store, self.catalogue).await?.into_iter().map(|(id, _)| id).collect();
            for key in store.list_keys(&prefix(self.catalogue)).await? {
                let id =
                    key.strip_prefix(&prefix(self.catalogue)).and_then(|rest| rest.split_once('/')?.0.parse().ok());
                let Some(id) = id else { continue };
                let is_abandoned = !left.contains(&id) && id.instant() < self.clock.now().minus(MARGIN);
                if (is_abandoned || id.instant() < oldest) && !left.contains(&id) {
                    store.remove(&key).await?;
                }
            }
            self.prune_journal(store, oldest.minus(MARGIN)).await?;
        }
        Ok(())
    }

    /// Removes what of the journal is older than `before`, but for the last word on the organisation.
    async fn prune_journal(&self, store: &Store, before: Instant) -> Result<()> {
        for kind in JournalKind::ALL {
            let mut old = list_parts(store, self.catalogue, kind, Instant::from_millis(0)..before).await?;
            if kind == JournalKind::Organisation {
                old.pop();
            }
            for part in old {
                store.remove(&part.key).await?;
            }
        }
        Ok(())
    }
}
