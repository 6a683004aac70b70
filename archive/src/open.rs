//! Opening a recording: from an id and a scope to its bytes, wherever they lie.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::Archive;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::RecordingId;
use crate::recording::{RECORDING_COLUMNS, Recording};
use crate::scope::Scope;
use crate::stores::ByteStream;

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

    /// Starts reading one of the recording's live objects, in the configured order of the stores; the next copy where
    /// one does not answer.
    async fn read_live_object(&self, id: RecordingId, offset: u64, length: u64) -> Result<ByteStream> {
        let rows = self
            .db
            .fetch_all("SELECT store_id, key FROM objects WHERE recording_id = $1 AND state = 'live'", params![id])
            .await?;
        let mut failure = Error::integrity("recordings", id, "has no live object");
        for store in self.stores() {
            for row in &rows {
                if row.get::<crate::StoreId>("store_id")? != store.id() {
                    continue;
                }
                let key: String = row.get("key")?;
                match store.read(&key, offset, Some(length)).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }
}

impl AudioReader {
    /// Streams `length` bytes from `offset` on. Both must lie within [`Recording::size_bytes`].
    ///
    /// A reader whose object goes away while it reads (a tier move), or whose store breaks off, resolves once more and
    /// continues where it was.
    pub fn read(&self, offset: u64, length: u64) -> BoxStream<'static, Result<Bytes>> {
        let state = Reading {
            archive: Arc::clone(&self.archive),
            id: self.recording.id,
            at: offset,
            end: (offset + length).min(self.recording.size_bytes),
            stream: None,
            resolved_again: false,
        };
        stream::try_unfold(state, |mut state| async move {
            let block = state.next().await?;
            Ok(block.map(|block| (block, state)))
        })
        .boxed()
    }
}

struct Reading {
    archive: Arc<Archive>,
    id: RecordingId,
    at: u64,
    end: u64,
    stream: Option<ByteStream>,
    resolved_again: bool,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.at < self.end {
            if self.stream.is_none() {
                self.stream = Some(self.archive.read_live_object(self.id, self.at, self.end - self.at).await?);
            }
            match self.stream.as_mut().expect("was just set").next().await {
                Some(Ok(block)) if block.is_empty() => {}
                Some(Ok(block)) => {
                    self.at += block.len() as u64;
                    // As long as it gets on it may break off as often as it likes: a store ends what takes too long, and
                    // a slow listener takes long.
                    self.resolved_again = false;
                    return Ok(Some(block));
                }
                Some(Err(error)) if self.resolved_again => return Err(error),
                None if self.resolved_again => {
                    return Err(Error::integrity("objects", self.id, "ends before its size"));
                }
                Some(Err(_)) | None => {
                    self.resolved_again = true;
                    self.stream = None;
                }
            }
        }
        Ok(None)
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
        let end = bytes.len() as u64;
        let mut reading =
            Reading { archive: Arc::clone(&t.archive), id, at: 0, end, stream: None, resolved_again: false };
        let broken = || stream::iter([Err(Error::integrity("objects", id, "breaks off"))]).boxed();
        let mut read = Vec::new();
        reading.stream = Some(broken());
        while let Some(block) = reading.next().await.unwrap() {
            read.extend(block);
            reading.stream = Some(broken());
        }
        assert!(read == bytes);
        // One that does not get on at all is given up.
        reading.at = 0;
        reading.stream = Some(broken());
        reading.resolved_again = true;
        assert!(reading.next().await.is_err());
        drop(reading);
        t.finish().await;
    }
}
