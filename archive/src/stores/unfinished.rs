//! Uploads that nobody finished: a crash in the middle of a multipart upload leaves its parts in the bucket, where no
//! listing shows them and somebody pays for them. They are found and ended here, ours only, and never one that is still
//! being written.

use object_store::path::Path as Location;
use object_store::signer::Method;

use super::xml::{elements, text_of};
use super::{Store, parse_key};
use crate::Archive;
use crate::clock::Instant;
use crate::db::params;
use crate::error::{Error, Result};
use crate::key::Key;

/// An upload that was begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    key: String,
    upload: String,
    /// By the server's clock.
    pub(super) begun_at: Instant,
}

impl Archive {
    /// Ends the uploads into the store that were begun longer ago than its `unfinished_after` and are not being written;
    /// says how many.
    ///
    /// # Errors
    /// The store or the catalogue fails. A server that cannot list uploads has none.
    pub async fn sweep_uploads(&self, store: &Store) -> Result<u64> {
        self.sweep_uploads_at(store, self.db.now().await?).await
    }

    /// As [`Archive::sweep_uploads`], at that time.
    pub(super) async fn sweep_uploads_at(&self, store: &Store, now: Instant) -> Result<u64> {
        let mut swept = 0;
        for found in store.list_unfinished().await? {
            if found.begun_at > now.minus(store.settings.unfinished_after) || Key::parse(&found.key).is_none() {
                continue;
            }
            let writing = self
                .db
                .fetch_optional(
                    "SELECT 1 AS one FROM objects WHERE key = $1 AND state = 'writing' AND lease_until >= $2",
                    params![&found.key, now],
                )
                .await?;
            if writing.is_none() {
                store.end_unfinished(&found).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl Store {
    pub(super) async fn list_unfinished(&self) -> Result<Vec<Unfinished>> {
        let Some(bucket) = &self.bucket else { return Ok(Vec::new()) };
        let prefix = bucket.full(&Location::default());
        let (mut found, mut after) = (Vec::new(), None::<(String, String)>);
        loop {
            let mut query = vec![("prefix", prefix.as_ref()), ("uploads", "")];
            if let Some((key, upload)) = &after {
                query.extend([("key-marker", key.as_str()), ("upload-id-marker", upload.as_str())]);
            }
            let answer = bucket.ask(Method::GET, &Location::default(), &query).await?;
            match answer.status {
                200 => {}
                400 | 404 | 405 | 501 => return Ok(found),
                status => {
                    let source = format!("list unfinished uploads: status code: {status}").into();
                    return Err(Error::Store(object_store::Error::Generic { store: "S3", source }));
                }
            }
            for upload in elements(&answer.body, "Upload") {
                let begun_at = text_of(upload, "Initiated").and_then(|at| at.parse::<jiff::Timestamp>().ok());
                let key = text_of(upload, "Key").and_then(|key| bucket.within(&key));
                if let (Some(key), Some(upload), Some(at)) = (key, text_of(upload, "UploadId"), begun_at) {
                    found.push(Unfinished { key, upload, begun_at: at.into() });
                }
            }
            let next = (text_of(&answer.body, "NextKeyMarker"), text_of(&answer.body, "NextUploadIdMarker"));
            match (text_of(&answer.body, "IsTruncated").as_deref(), next) {
                // A server that says the same place again would be asked for ever.
                (Some("true"), (Some(key), upload)) if after.as_ref().is_none_or(|(before, _)| *before != key) => {
                    after = Some((key, upload.unwrap_or_default()));
                }
                _ => return Ok(found),
            }
        }
    }

    async fn end_unfinished(&self, unfinished: &Unfinished) -> Result<()> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        bucket.abort(&bucket.full(&parse_key(&unfinished.key)?), &unfinished.upload).await
    }
}
