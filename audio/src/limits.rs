//! How far a pass over a recording may go: a damaged or hostile file must not take a thread, a disk or a day.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::decode::BlockSource;
use crate::decoders::Ffmpeg;
use crate::error::Error;

/// What one pass may take. It is looked at before each read of the source and after each block that was decoded, so that
/// a pass ends within milliseconds of it and leaves no thread behind.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The moment by which it must have ended; none by default.
    pub deadline: Option<Instant>,
    /// The longest recording; 48 hours by default.
    pub longest: Duration,
    /// The most bytes that may be written; by default 16 GiB, more than 48 hours of wideband stereo take as WAV.
    pub most_written_bytes: u64,
    /// Set from any thread, it ends the pass.
    pub stop: Arc<AtomicBool>,
    /// The last resort for what is not decoded here; none by default.
    pub ffmpeg: Ffmpeg,
    /// How long that may compute for one recording, 10 minutes by default. Time in which nobody takes what it has decoded
    /// does not count.
    pub ffmpeg_time: Duration,
    /// Bytes of address space that it may have, 1 GiB by default; the libraries that it loads take 250 MB of them.
    pub ffmpeg_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: None,
            longest: Duration::from_secs(48 * 3_600),
            most_written_bytes: 16 << 30,
            stop: Arc::default(),
            ffmpeg: Ffmpeg::default(),
            ffmpeg_time: Duration::from_secs(600),
            ffmpeg_memory_bytes: 1 << 30,
        }
    }
}

/// Which limit a recording went beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::deadline`].
    Time,
    /// [`Limits::longest`].
    Length,
    /// [`Limits::most_written_bytes`].
    Written,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Time => "takes longer than it may",
            Self::Length => "lasts longer than a recording may",
            Self::Written => "takes more bytes than it may",
        })
    }
}

impl Limits {
    /// Whether the pass may go on.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Stopped);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Error::Exceeded(Limit::Time)),
            _ => Ok(()),
        }
    }

    /// The same, for those who can only say it as an I/O error; [`Error`] finds it in there again.
    pub(crate) fn check_io(&self) -> io::Result<()> {
        self.check().map_err(io::Error::other)
    }
}

/// Lets a decoder go no further than it may.
pub(crate) struct Limited {
    source: Box<dyn BlockSource>,
    limits: Limits,
    /// Samples that may still come, of all channels.
    left: u64,
}

impl Limited {
    pub(crate) fn new(source: Box<dyn BlockSource>, limits: Limits, sample_rate: u32, channels: u16) -> Self {
        let left = limits.longest.as_secs_f64() * f64::from(sample_rate) * f64::from(channels);
        Self { source, limits, left: left as u64 }
    }
}

impl BlockSource for Limited {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        let decoded = self.source.next_block(block);
        // First: what a decoder makes of a read that was refused is not what the file is.
        self.limits.check()?;
        decoded?;
        self.left = self.left.checked_sub(block.len() as u64).ok_or(Error::Exceeded(Limit::Length))?;
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.source.truncated()
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }
}
