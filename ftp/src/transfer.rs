//! Moving a recording's bytes to a client: while one block is written, the next is read.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use archive::{AudioReader, RecordingId};
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_util::io::StreamReader;
use tokio_util::task::task_tracker::TaskTrackerToken;
use unftp_core::storage::{Error as Refusal, ErrorKind};

use crate::errors::{cut_off, refusal};
use crate::session::Session;

/// A recording on its way to a client.
pub(crate) struct Download {
    blocks: BoxStream<'static, archive::Result<Bytes>>,
    receipt: Receipt,
}

/// Counts what was sent. When the download is over, however it ended, the audit is told.
#[derive(Debug)]
struct Receipt {
    session: Arc<Session>,
    recording: RecordingId,
    size_bytes: u64,
    offset: u64,
    sent_bytes: u64,
    _running: TaskTrackerToken,
}

impl Download {
    /// A download from `offset` to the end. `offset` lies within the recording.
    pub(crate) fn new(session: Arc<Session>, running: TaskTrackerToken, reader: &AudioReader, offset: u64) -> Self {
        let size_bytes = reader.recording.size_bytes;
        let recording = reader.recording.id;
        let receipt = Receipt { session, recording, size_bytes, offset, sent_bytes: 0, _running: running };
        Self { blocks: reader.read(offset, size_bytes - offset), receipt }
    }

    /// Sends all of it, unless the client stops taking it or the server gives up; says how many bytes that were.
    pub(crate) async fn send<W>(self, output: &mut W) -> Result<u64, Refusal>
    where
        W: AsyncWrite + Unpin + Send + ?Sized,
    {
        let Self { blocks, mut receipt } = self;
        let abort = receipt.session.abort.clone();
        tokio::select! {
            sent = receipt.send(blocks, output) => sent?,
            () = abort.cancelled() => return Err(cut_off()),
        }
        Ok(receipt.sent_bytes)
    }

    /// The bytes, for who wants to read them.
    pub(crate) fn into_reader(self) -> DownloadReader {
        let blocks = self.blocks.map(|block| block.map_err(io::Error::other)).boxed();
        DownloadReader { blocks: Mutex::new(StreamReader::new(blocks)), receipt: self.receipt }
    }
}

impl Receipt {
    async fn send<W>(
        &mut self,
        mut blocks: BoxStream<'static, archive::Result<Bytes>>,
        output: &mut W,
    ) -> Result<(), Refusal>
    where
        W: AsyncWrite + Unpin + Send + ?Sized,
    {
        let gone = |error: io::Error| Refusal::new(ErrorKind::ConnectionClosed, error);
        let mut next = blocks.next().await;
        while let Some(block) = next {
            let block = block.map_err(|error| refusal(&error))?;
            let (ahead, written) = tokio::join!(blocks.next(), self.write(block, output));
            written.map_err(gone)?;
            next = ahead;
        }
        in_time(self.session.stall_timeout, output.flush()).await.map_err(gone)
    }

    async fn write<W>(&mut self, mut block: Bytes, output: &mut W) -> io::Result<()>
    where
        W: AsyncWrite + Unpin + Send + ?Sized,
    {
        while block.has_remaining() {
            let written = in_time(self.session.stall_timeout, output.write(&block)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            block.advance(written);
            self.sent_bytes += written as u64;
        }
        Ok(())
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        let (id, sent_bytes, offset) = (self.recording, self.sent_bytes, self.offset);
        let complete = offset + sent_bytes == self.size_bytes;
        let Some(login) = self.session.login() else { return };
        let detail = json!({ "bytes": sent_bytes, "offset": offset, "complete": complete });
        let actor = self.session.actor(login);
        self.session.archive.note_read(&actor, "recording.download", Some(login.tenant), Some(id.to_string()), &detail);
        // Without a parent: libunftp's spans around this hold the client's path and login.
        tracing::info!(
            parent: None,
            recording.id = %id,
            ftp_account.id = %login.account,
            sent_bytes,
            offset,
            complete,
            "sent recording {id} by FTP"
        );
    }
}

async fn in_time<T>(limit: Duration, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, io).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads a download. The mutex is never locked: it makes the stream `Sync`, which libunftp asks for.
pub(crate) struct DownloadReader {
    blocks: Mutex<StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>>,
    receipt: Receipt,
}

impl AsyncRead for DownloadReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let blocks = this.blocks.get_mut().map_err(|_| io::Error::other("a read panicked"))?;
        ready!(Pin::new(blocks).poll_read(cx, buffer))?;
        this.receipt.sent_bytes += (buffer.filled().len() - before) as u64;
        Poll::Ready(Ok(()))
    }
}
