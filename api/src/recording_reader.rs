//! A recording in its store as decoders want it: something to read from and to move about in. Used on a thread that may
//! block.

use std::io::{Error as IoError, ErrorKind, Read, Result as IoResult, Seek, SeekFrom};
use std::sync::Mutex;

use archive::AudioReader;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::conversion::StoreFailure;

/// Bytes of a recording, and where in it they begin.
#[derive(Default)]
struct Block {
    at: u64,
    bytes: Bytes,
}

impl Block {
    /// What it has from `position` on.
    fn from(&self, position: u64) -> Option<&[u8]> {
        let skip = usize::try_from(position.checked_sub(self.at)?).ok()?;
        self.bytes.get(skip..).filter(|bytes| !bytes.is_empty())
    }
}

/// Reads on in one stream as long as what is read lies in a row, and keeps the first block: decoders look there, at the
/// end, and there again.
pub(crate) struct RecordingReader<T> {
    audio: AudioReader,
    runtime: Handle,
    /// Closed when nobody wants what is read any more.
    listener: mpsc::Sender<T>,
    failure: StoreFailure,
    position: u64,
    head: Block,
    current: Block,
    /// The stream, and where it goes on. The lock is never contended: it makes what is only sent also shared.
    stream: Option<(u64, Mutex<BoxStream<'static, archive::Result<Bytes>>>)>,
}

impl<T> RecordingReader<T> {
    pub(crate) fn new(audio: AudioReader, runtime: Handle, listener: mpsc::Sender<T>, failure: StoreFailure) -> Self {
        let (head, current) = (Block::default(), Block::default());
        Self { audio, runtime, listener, failure, position: 0, head, current, stream: None }
    }

    fn size(&self) -> u64 {
        self.audio.recording.size_bytes
    }

    /// Reads the block at the position.
    fn fetch(&mut self) -> IoResult<()> {
        let position = self.position;
        let (at, stream) = match self.stream.take().filter(|(at, _)| *at == position) {
            Some(going_on) => going_on,
            None => (position, Mutex::new(self.audio.read(position, self.size() - position))),
        };
        let mut stream = stream.into_inner().map_err(|_| ErrorKind::Other)?;
        let listener = &self.listener;
        let next = self.runtime.block_on(async {
            tokio::select! {
                next = stream.next() => Ok(next),
                () = listener.closed() => Err(ErrorKind::BrokenPipe),
            }
        })?;
        match next {
            Some(Ok(bytes)) => {
                self.stream = Some((at + bytes.len() as u64, Mutex::new(stream)));
                self.current = Block { at, bytes };
                if at == 0 {
                    self.head = Block { at, bytes: self.current.bytes.clone() };
                }
                Ok(())
            }
            Some(Err(error)) => {
                if let Ok(mut failure) = self.failure.lock() {
                    *failure = Some(error);
                }
                Err(IoError::other("the recording cannot be read"))
            }
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl<T> Read for RecordingReader<T> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        if self.position >= self.size() || buffer.is_empty() {
            return Ok(0);
        }
        if self.current.from(self.position).is_none() && self.head.from(self.position).is_none() {
            self.fetch()?;
        }
        let ready = self.current.from(self.position).or_else(|| self.head.from(self.position)).unwrap_or_default();
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl<T> Seek for RecordingReader<T> {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.size().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
