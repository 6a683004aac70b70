//! Where encoders write: a sink whose headers can be completed at the end, or a stream whose headers must be right from
//! the start.

use std::io::{BufWriter, Read, Result, Seek, SeekFrom, Write};

/// A file in the making: headers are completed at the end, and what was written is read back.
pub(crate) trait Sink: Read + Write + Seek {}
impl<T: Read + Write + Seek> Sink for T {}

/// Writes to a file are gathered to this many bytes.
const FILE_BUFFER_BYTES: usize = 64 * 1024;
/// The same for a stream, where somebody waits for the first of them.
const STREAM_BUFFER_BYTES: usize = 8 * 1024;

/// What a header may say of the audio's length while it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// Anything: it is written once more at the end.
    Later,
    /// Exactly so many frames: they will come, no more and no less.
    Frames(u64),
    /// Nothing, and nothing can be added later.
    Unknown,
}

enum Target<'a> {
    File(&'a mut dyn Sink),
    Stream(&'a mut dyn Write),
}

impl Write for Target<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::File(sink) => sink.write(bytes),
            Self::Stream(sink) => sink.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::File(sink) => sink.flush(),
            Self::Stream(sink) => sink.flush(),
        }
    }
}

/// What an encoder writes to. Positions count from where the recording begins in it.
pub(super) struct Output<'a> {
    target: BufWriter<Target<'a>>,
    length: Length,
    /// Where in the file the recording begins.
    start: u64,
    position: u64,
}

impl<'a> Output<'a> {
    pub(super) fn file(sink: &'a mut dyn Sink) -> Result<Self> {
        let start = sink.stream_position()?;
        let target = BufWriter::with_capacity(FILE_BUFFER_BYTES, Target::File(sink));
        Ok(Self { target, length: Length::Later, start, position: 0 })
    }

    /// `frames`: how many will come, if that is known.
    pub(super) fn stream(sink: &'a mut dyn Write, frames: Option<u64>) -> Self {
        let target = BufWriter::with_capacity(STREAM_BUFFER_BYTES, Target::Stream(sink));
        Self { target, length: frames.map_or(Length::Unknown, Length::Frames), start: 0, position: 0 }
    }

    pub(super) fn length(&self) -> Length {
        self.length
    }

    /// Bytes written so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Writes `bytes` over those at `at`, if that is still possible: a stream's were right from the start.
    pub(super) fn patch(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        self.target.flush()?;
        if let Target::File(sink) = self.target.get_mut() {
            sink.seek(SeekFrom::Start(self.start + at))?;
            sink.write_all(bytes)?;
            sink.seek(SeekFrom::Start(self.start + self.position))?;
        }
        Ok(())
    }
}

impl Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let written = self.target.write(bytes)?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.target.flush()
    }
}
