//! Opening a recording: from an id and a scope to its bytes, wherever they lie.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::Archive;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::{ObjectId, RecordingId};
use crate::recording::{RECORDING_COLUMNS, Recording};
use crate::scope::Scope;
use crate::stores::{ByteStream, Store};

/// A recording whose bytes may be read, from any offset and as often as wanted.
#[derive(Clone, Debug)]
pub struct AudioReader {
    archive: Arc<Archive>,
    /// The recording.
    pub recording: Recording,
}

impl Archive {
    /// The recording, if the scope reaches it and it is visible.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is out of scope, expired, or was never there: all the same to the caller.
    pub async fn get_recording(&self, scope: Scope, id: RecordingId) -> Result<Recording> {
        let mut params = params![id];
        let condition = scope.condition(&mut params);
        let sql =
            format!("SELECT {RECORDING_COLUMNS} FROM recordings WHERE id = $1 AND state = 'archived' AND {condition}");
        match self.db.fetch_optional(sql, params).await? {
            Some(row) => Recording::from_row(&row),
            None => Err(Error::NotFound("recording")),
        }
    }

    /// Opens the recording's audio for reading.
    ///
    /// # Errors
    /// As [`Archive::get_recording`].
    pub async fn open_audio(self: &Arc<Self>, scope: Scope, id: RecordingId) -> Result<AudioReader> {
        let recording = self.get_recording(scope, id).await?;
        Ok(AudioReader { archive: Arc::clone(self), recording })
    }

    /// The recording's sound copies, the nearest first: in the configured order of the stores, those that are down last.
    async fn list_copies(&self, id: RecordingId) -> Result<Vec<Copy>> {
        let rows = self
            .db
            .fetch_all(
                "SELECT o.id AS id, o.store_id AS store_id, o.key AS key
                 FROM objects o
                 JOIN stores s ON s.id = o.store_id
                 WHERE o.recording_id = $1 AND o.state = 'live' AND o.damaged_at IS NULL AND o.lost_at IS NULL
                     AND s.lost_at IS NULL",
                params![id],
            )
            .await?;
        let mut copies = Vec::new();
        let (up, down): (Vec<_>, Vec<_>) = self.stores().iter().partition(|store| store.is_up());
        for store in up.into_iter().chain(down) {
            for row in &rows {
                if row.get::<crate::StoreId>("store_id")? == store.id() {
                    copies.push(Copy { object: row.get("id")?, store: Arc::clone(store), key: row.get("key")? });
                }
            }
        }
        Ok(copies)
    }

    /// Streams the first `size_bytes` of the recording, as [`AudioReader::read`] does, for work that is nobody's in
    /// particular (copying).
    pub(crate) fn read_copies(self: &Arc<Self>, id: RecordingId, size_bytes: u64) -> BoxStream<'static, Result<Bytes>> {
        Reading::new(self, id, 0, size_bytes).stream()
    }
}

/// One copy of a recording.
struct Copy {
    object: ObjectId,
    store: Arc<Store>,
    key: String,
}

impl AudioReader {
    /// Streams `length` bytes from `offset` on. Both must lie within [`Recording::size_bytes`].
    ///
    /// A reader whose object goes away while it reads (a tier move), or whose store breaks off, continues where it was
    /// with another copy; only when none of them gets it any further has it failed.
    pub fn read(&self, offset: u64, length: u64) -> BoxStream<'static, Result<Bytes>> {
        let end = (offset + length).min(self.recording.size_bytes);
        Reading::new(&self.archive, self.recording.id, offset, end).stream()
    }
}

struct Reading {
    archive: Arc<Archive>,
    id: RecordingId,
    at: u64,
    end: u64,
    /// The copy that is being read.
    reading: Option<(ObjectId, ByteStream)>,
    /// The copies that have failed since it last got on.
    failed: Vec<ObjectId>,
    /// Every copy has failed since it last got on, and was looked for once more.
    resolved_again: bool,
}

impl Reading {
    fn new(archive: &Arc<Archive>, id: RecordingId, at: u64, end: u64) -> Self {
        Self { archive: Arc::clone(archive), id, at, end, reading: None, failed: Vec::new(), resolved_again: false }
    }

    fn stream(self) -> BoxStream<'static, Result<Bytes>> {
        stream::try_unfold(self, |mut reading| async move {
            let block = reading.next().await?;
            Ok(block.map(|block| (block, reading)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut failure = None;
        while self.at < self.end {
            let (object, mut stream) = match self.reading.take() {
                Some(reading) => reading,
                None => self.open_next(failure.take()).await?,
            };
            match stream.next().await {
                Some(Ok(block)) => {
                    if !block.is_empty() {
                        self.at += block.len() as u64;
                        // As long as it gets on, a copy may break off as often as it likes: a store ends what takes too
                        // long, and a slow listener takes long.
                        self.failed.clear();
                        self.resolved_again = false;
                    }
                    self.reading = Some((object, stream));
                    if !block.is_empty() {
                        return Ok(Some(block));
                    }
                }
                broken => {
                    self.failed.push(object);
                    failure = Some(match broken {
                        Some(Err(error)) => error,
                        _ => Error::integrity("objects", object, "ends before its size"),
                    });
                }
            }
        }
        Ok(None)
    }

    /// Opens the nearest copy that has not failed, where reading has come to. When all have, the copies are asked for
    /// once more: they may have moved.
    async fn open_next(&mut self, mut failure: Option<Error>) -> Result<(ObjectId, ByteStream)> {
        loop {
            let copies = self.archive.list_copies(self.id).await?;
            if copies.is_empty() {
                return Err(Error::Damaged(self.id));
            }
            for copy in copies {
                if self.failed.contains(&copy.object) {
                    continue;
                }
                match copy.store.read(&copy.key, self.at, Some(self.end - self.at)).await {
                    Ok(stream) => return Ok((copy.object, stream)),
                    Err(error) => {
                        self.failed.push(copy.object);
                        failure = Some(error);
                    }
                }
            }
            if self.resolved_again {
                return Err(failure.unwrap_or_else(|| Error::integrity("recordings", self.id, "cannot be read")));
            }
            self.resolved_again = true;
            self.failed.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Call, TestArchive};

    #[tokio::test]
    async fn a_store_that_breaks_off_again_and_again_is_read_to_the_end() {
        let t = TestArchive::start().await;
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let id = t.record(&Call::new("acme", "1.1", t.now(), &bytes)).await;
        let mut reading = Reading::new(&t.archive, id, 0, bytes.len() as u64);
        let object = t.archive.list_copies(id).await.unwrap()[0].object;
        let broken = || Some((object, stream::iter([Err(Error::integrity("objects", id, "breaks off"))]).boxed()));
        let mut read = Vec::new();
        reading.reading = broken();
        while let Some(block) = reading.next().await.unwrap() {
            read.extend(block);
            reading.reading = broken();
        }
        assert!(read == bytes);
        drop(reading);
        t.finish().await;
    }

    #[tokio::test]
    async fn a_copy_that_breaks_off_is_left_for_another_one() {
        let t = TestArchive::start().await.with_stores(&["disk", "second"]).await;
        t.set_tier(&["disk", "second"], None, &[]).await;
        let bytes = vec![7; 1_000_000];
        let id = t.record(&Call::new("acme", "1.1", t.now(), &bytes)).await;
        let copies: Vec<_> = t.archive.list_copies(id).await.unwrap().iter().map(|copy| copy.object).collect();
        let mut reading = Reading::new(&t.archive, id, 0, bytes.len() as u64);
        for (broken, next) in [(copies[0], copies[1]), (copies[1], copies[0])] {
            let error = stream::iter([Err(Error::integrity("objects", broken, "breaks off"))]).boxed();
            reading.reading = Some((broken, error));
            reading.next().await.unwrap().unwrap();
            assert_eq!(reading.reading.as_ref().map(|(object, _)| *object), Some(next));
        }
        drop(reading);
        t.finish().await;
    }
}
