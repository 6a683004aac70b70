//! What lies beside the objects in a store: what is kept of the catalogue (`catalogue/`), bytes that no recording owns
//! (`orphans/`), and a file system's own `lost+found/`, which only root may look into. None of it is ever taken for an object.

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use object_store::{ObjectStoreExt, PutOptions, PutPayload};

use super::health::For;
use super::{Store, marker, parse_key};
use crate::error::Result;

/// Backups of the catalogue, and its journal.
pub(crate) const CATALOGUE: &str = "catalogue";
/// Bytes that no recording owns, under the keys that they were found with.
pub(crate) const ORPHANS: &str = "orphans";
/// Where a file system that was repaired keeps what it found.
const LOST_AND_FOUND: &str = "lost+found";

/// Is the key one of those that no object has?
pub(super) fn is_beside(key: &str) -> bool {
    let first = key.split('/').next().unwrap_or_default();
    key == marker::KEY || [CATALOGUE, ORPHANS, LOST_AND_FOUND].contains(&first)
}

impl Store {
    /// Puts a few bytes under a key that nothing else is ever put under, durably. Also where a store that is nearly full takes no
    /// recordings: what is written here must be, before anything can be removed.
    pub(crate) async fn put_bytes(&self, key: &str, bytes: Vec<u8>) -> Result<()> {
        self.watched(For::Removing, async {
            self.objects.put_opts(&parse_key(key)?, PutPayload::from(bytes), PutOptions::default()).await?;
            Ok(())
        })
        .await
    }

    /// All bytes of a key whose object is small; `None` where there is none.
    pub(crate) async fn read_bytes(&self, key: &str) -> Result<Option<Bytes>> {
        self.watched(For::Reading, async {
            match self.objects.get(&parse_key(key)?).await {
                Ok(result) => Ok(Some(result.bytes().await?)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// Every key under `prefix`, which ends at a `/`, in no order.
    pub(crate) fn stream_keys(&self, prefix: &str) -> Result<BoxStream<'_, Result<String>>> {
        let listed = self.objects.list(Some(&parse_key(prefix.trim_end_matches('/'))?));
        Ok(listed.map(|meta| Ok(meta?.location.to_string())).boxed())
    }

    /// As [`Store::stream_keys`], where they are few.
    pub(crate) async fn list_keys(&self, prefix: &str) -> Result<Vec<String>> {
        let keys: Vec<Result<String>> = self.stream_keys(prefix)?.collect().await;
        keys.into_iter().collect()
    }

    /// Copies an object of the store to another key of it.
    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<()> {
        Ok(self.objects.copy(&parse_key(from)?, &parse_key(to)?).await?)
    }
}
