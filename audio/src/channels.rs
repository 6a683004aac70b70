//! Other channels than the source has: mixed down ([`crate::Channels::MixDown`]), two legs joined to stereo, or each
//! channel by itself.
//!
//! All of it streams, as [`crate::transcode`] does.

use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::convert;
use crate::decode::{self, BlockSource, Decoding, Opened};
use crate::digest::Written;
use crate::encode;
use crate::error::Error;
use crate::format::{Channels, EncodeSettings};
use crate::limits::Limits;
use crate::tags::Tags;
use crate::transcode::{Track, Transcoded, encode_opened};

/// Makes one stereo file of two recordings of a call, each given as its path and its name hint: the first becomes the
/// left channel, the second the right one. A leg of several channels is mixed down first; the shorter leg is
/// followed by silence. [`Transcoded::source_format`] and [`Transcoded::source`] are those of the left leg.
///
/// # Errors
/// As [`crate::transcode`], for either leg, and [`Error::Channels`] if their sample rates differ.
pub fn join_legs(
    left: (&Path, &str),
    right: (&Path, &str),
    sink: &mut (impl Read + Write + Seek),
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Transcoded, Error> {
    let limits = Limits::default();
    let open = |(path, name_hint)| -> Result<Opened, Error> {
        let Opened { probe, source, reading } = decode::open(path, name_hint, &limits)?;
        let (probe, source) = mixed((probe, source));
        Ok(Opened { probe, source, reading })
    };
    let (left, right) = (open(left)?, open(right)?);
    let (rate, other) = (left.probe.sample_rate, right.probe.sample_rate);
    if rate != other {
        let what = format!("one leg is at {rate} Hz, the other at {other} Hz");
        return Err(Error::Channels { what });
    }
    let mut probe = left.probe;
    probe.channels = 2;
    probe.stale_header |= right.probe.stale_header;
    probe.truncated |= right.probe.truncated;
    let source = Box::new(Join { legs: [Leg::new(left.source), Leg::new(right.source)] });
    let joined = Opened { probe, source, reading: left.reading };
    let mut transcoded = encode_opened(joined, &limits, sink, settings, tags)?;
    transcoded.right_leg = Some(right.reading.finish()?);
    Ok(transcoded)
}

/// Writes each channel into a sink of its own, in their order, and says of each what [`crate::transcode`] would. The
/// bit rate of the settings is that of each file.
///
/// # Errors
/// As [`crate::transcode`], and [`Error::Channels`] if there are not as many sinks as channels. What the settings say of
/// channels does not count.
pub fn split_legs<S: Read + Write + Seek>(
    source: &Path,
    name_hint: &str,
    sinks: &mut [S],
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Vec<Transcoded>, Error> {
    let limits = Limits::default();
    let Opened { probe, source, reading } = decode::open(source, name_hint, &limits)?;
    let kept = EncodeSettings { channels: Channels::Keep, ..*settings };
    let (probe, mut source) = convert::shaped((probe, source), &kept)?;
    let channels = usize::from(probe.channels);
    if channels != sinks.len() {
        let what = format!("{channels} channels do not fit into {} files", sinks.len());
        return Err(Error::Channels { what });
    }
    encode::check(settings.format, probe.sample_rate, 1)?;
    let mut files = sinks.iter_mut().map(|sink| Written::new(sink, &limits)).collect::<Result<Vec<_>, _>>()?;
    let mut tracks: Vec<_> =
        files.iter_mut().map(|file| Track::new(file, settings, tags, probe.sample_rate, 1)).collect();
    let (mut block, mut leg) = (Vec::new(), Vec::new());
    loop {
        source.next_block(&mut block)?;
        if block.is_empty() {
            break;
        }
        for (channel, track) in tracks.iter_mut().enumerate() {
            leg.clear();
            leg.extend(block.iter().skip(channel).step_by(channels));
            track.write(&leg)?;
        }
    }
    let truncated = source.truncated();
    let encoded = tracks.into_iter().map(|track| track.finish(&probe, truncated)).collect::<Result<Vec<_>, _>>()?;
    let digest = reading.finish()?;
    encoded.into_iter().zip(files).map(|(track, file)| Ok(track.into_transcoded(digest, file.finish()?))).collect()
}

/// The same recording with one channel.
pub(crate) fn mixed((mut probe, source): Decoding) -> Decoding {
    let source: Box<dyn BlockSource> = match usize::from(std::mem::replace(&mut probe.channels, 1)) {
        1 => source,
        channels => Box::new(MixDown { source, channels, frames: Vec::new() }),
    };
    (probe, source)
}

struct MixDown {
    source: Box<dyn BlockSource>,
    channels: usize,
    frames: Vec<i16>,
}

impl BlockSource for MixDown {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        self.source.next_block(&mut self.frames)?;
        block.clear();
        let sum = |frame: &[i16]| frame.iter().map(|&sample| i32::from(sample)).sum::<i32>();
        let clip = |sum: i32| sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        block.extend(self.frames.chunks_exact(self.channels).map(|frame| clip(sum(frame))));
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.source.truncated()
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames()
    }
}

struct Leg {
    source: Box<dyn BlockSource>,
    /// The last block, and how much of it has been handed out.
    block: Vec<i16>,
    taken: usize,
    ended: bool,
}

impl Leg {
    fn new(source: Box<dyn BlockSource>) -> Self {
        Self { source, block: Vec::new(), taken: 0, ended: false }
    }

    /// What is at hand; empty at the end.
    fn ready(&mut self) -> Result<&[i16], Error> {
        if self.taken == self.block.len() && !self.ended {
            self.source.next_block(&mut self.block)?;
            self.taken = 0;
            self.ended = self.block.is_empty();
        }
        Ok(&self.block[self.taken..])
    }
}

struct Join {
    legs: [Leg; 2],
}

impl BlockSource for Join {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        let [left, right] = &mut self.legs;
        let (a, b) = (left.ready()?, right.ready()?);
        // As much as both have, or what one of them has left.
        let frames = if a.is_empty() || b.is_empty() { a.len().max(b.len()) } else { a.len().min(b.len()) };
        let padded = |leg: &[i16], i: usize| leg.get(i).copied().unwrap_or(0);
        block.extend((0..frames).flat_map(|i| [padded(a, i), padded(b, i)]));
        for leg in &mut self.legs {
            leg.taken = (leg.taken + frames).min(leg.block.len());
        }
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.legs.iter().any(|leg| leg.source.truncated())
    }
}
