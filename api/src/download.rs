//! A download on its way: the bytes as the connection takes them, and one row of the audit when it is over, whichever
//! way it ends.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use archive::{Actor, Archive, PbxId, RecordingId, Result, TenantId};
use audio::Format;
use axum::body::Body;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// A download on its way; dropping it writes it to the audit.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) archive: Arc<Archive>,
    pub(crate) actor: Actor,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) pbx: Option<PbxId>,
    pub(crate) recording: RecordingId,
    /// Where in the recording it begins.
    pub(crate) offset: u64,
    /// How many bytes were asked for; of a conversion known at its end.
    pub(crate) length: Arc<OnceLock<u64>>,
    /// What it is converted to.
    pub(crate) format: Option<Format>,
    /// How many the connection has taken.
    pub(crate) sent: u64,
    /// Held until the row is noted, so that stopping waits for it.
    pub(crate) _in_progress: TaskTrackerToken,
}

impl Download {
    /// The body of the answer: `first` and then `rest`, each block read when the connection has taken the one before.
    pub(crate) fn into_body<E>(
        mut self,
        first: Option<Bytes>,
        rest: impl Stream<Item = std::result::Result<Bytes, E>> + Send + 'static,
    ) -> Body
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let blocks = stream::iter(first).map(Ok).chain(rest);
        Body::from_stream(blocks.inspect(move |block| self.note(block)))
    }

    fn note(&mut self, block: &std::result::Result<Bytes, impl Display>) {
        match block {
            Ok(block) => {
                self.sent += block.len() as u64;
                metrics::counter!("fonoteca_http_sent_bytes_total").increment(block.len() as u64);
            }
            Err(error) => {
                let (id, request) = (self.recording, self.actor.request_id.as_deref().unwrap_or_default());
                tracing::error!(recording.id = %id, request.id = request, %error, "stopped sending recording {id}");
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let pbx = self.pbx.map(|pbx| pbx.to_string());
        let complete = self.length.get() == Some(&self.sent);
        let mut detail = json!({ "bytes": self.sent, "offset": self.offset, "complete": complete, "pbx": pbx });
        if let Some(format) = self.format {
            detail["format"] = format.as_str().into();
        }
        let target = Some(self.recording.to_string());
        self.archive.note_read(&self.actor, "recording.download", self.tenant, target, &detail);
    }
}

/// Reads the first block before the answer begins, so that audio which cannot be read is an error and not a broken
/// download.
pub(crate) async fn read_ahead<S: Stream<Item = Result<Bytes>> + Unpin>(mut blocks: S) -> Result<(Option<Bytes>, S)> {
    let first = blocks.next().await.transpose()?;
    Ok((first, blocks))
}
