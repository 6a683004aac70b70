//! One pass over a recording: decode, measure, hash and, if asked, encode.

use std::io::{Read, Seek, Write};
use std::path::Path;

use crate::convert;
use crate::decode::{self, Opened};
use crate::digest::{Digest, Written};
use crate::encode::{self, Encoder, Sink};
use crate::error::Error;
use crate::format::EncodeSettings;
use crate::limits::Limits;
use crate::peaks::Peaks;
use crate::probe::Probe;
use crate::quality::{Meter, Quality, millis};
use crate::tags::Tags;

/// What was written and how its source sounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcoded {
    /// How long it lasts, in milliseconds, rounded to the nearest.
    pub duration_ms: u64,
    /// How long it lasts, exactly: what is written decodes to as many.
    pub samples_per_channel: u64,
    /// Samples per second of one channel.
    pub sample_rate: u32,
    /// Channels, 1 for mono.
    pub channels: u16,
    /// Bits per second that the encoder was set to; 0 for FLAC, WAV and MP3 of variable bit rate.
    pub bitrate_bps: u32,
    /// [`crate::PEAK_BUCKETS`] amplitudes over the whole time, 0 to 255, linear.
    pub peaks: Vec<u8>,
    /// Level, clipping, silence and damage.
    pub quality: Quality,
    /// Container and codec of the source, such as `wav/gsm_ms`.
    pub source_format: String,
    /// What was read: every byte of the source, audio or not.
    pub source: Digest,
    /// The same of the right leg, where two were joined.
    pub right_leg: Option<Digest>,
    /// What was written.
    pub written: Digest,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// How long it lasts, in milliseconds, rounded to the nearest.
    pub duration_ms: u64,
    /// How long it lasts, exactly.
    pub samples_per_channel: u64,
    /// Samples per second of one channel.
    pub sample_rate: u32,
    /// Channels, 1 for mono.
    pub channels: u16,
    /// As in [`Quality::truncated`].
    pub truncated: bool,
    /// [`crate::PEAK_BUCKETS`] amplitudes over the whole time, 0 to 255, linear.
    pub peaks: Vec<u8>,
    /// Level, clipping, silence and damage.
    pub quality: Quality,
    /// Container and codec, such as `wav/gsm_ms`.
    pub source_format: String,
    /// What was read: every byte of the file, audio or not.
    pub source: Digest,
}

/// Reads `source` once and writes it, encoded, to `sink` from where that stands to its end; headers are completed and
/// what was written is read back at the end, so the sink must be open for reading too, and not in append mode. See [`crate::probe()`] for `name_hint`.
///
/// The source decodes as far as it goes: whether that was its whole length is in [`Transcoded::quality`].
///
/// # Errors
/// As [`measure`], and [`Error::UnsupportedByEncoder`], before anything is written, if the format cannot carry the
/// source's rate or channels. After any other error what is in the sink is of no use.
pub fn transcode(
    source: &Path,
    name_hint: &str,
    sink: &mut (impl Read + Write + Seek),
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Transcoded, Error> {
    transcode_within(&Limits::default(), source, name_hint, sink, settings, tags)
}

/// As [`transcode`], within other limits than the default ones.
///
/// # Errors
/// As [`transcode`], and [`Error::Exceeded`] and [`Error::Stopped`].
pub fn transcode_within(
    limits: &Limits,
    source: &Path,
    name_hint: &str,
    sink: &mut (impl Read + Write + Seek),
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Transcoded, Error> {
    encode_opened(decode::open(source, name_hint, limits)?, limits, sink, settings, tags)
}

/// [`transcode`] of what is already open.
pub(crate) fn encode_opened(
    opened: Opened,
    limits: &Limits,
    sink: &mut dyn Sink,
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Transcoded, Error> {
    let Opened { probe, source, reading } = opened;
    let (probe, mut source) = convert::shaped((probe, source), settings)?;
    encode::check(settings.format, probe.sample_rate, probe.channels)?;
    let mut written = Written::new(sink, limits)?;
    let mut track = Track::new(&mut written, settings, tags, probe.sample_rate, probe.channels);
    let mut block = Vec::new();
    loop {
        source.next_block(&mut block)?;
        if block.is_empty() {
            break;
        }
        track.write(&block)?;
    }
    let encoded = track.finish(&probe, source.truncated())?;
    Ok(encoded.into_transcoded(reading.finish()?, written.finish()?))
}

/// What is written into one file: encoded, and measured on the way.
pub(crate) struct Track<'a> {
    /// Until there is audio: an empty source leaves the sink untouched.
    sink: Option<&'a mut dyn Sink>,
    encoder: Option<Box<dyn Encoder + 'a>>,
    measuring: Measuring,
    settings: &'a EncodeSettings,
    tags: &'a Tags,
    sample_rate: u32,
    channels: u16,
}

impl<'a> Track<'a> {
    /// [`encode::check`] has agreed.
    pub(crate) fn new(
        sink: &'a mut dyn Sink,
        settings: &'a EncodeSettings,
        tags: &'a Tags,
        sample_rate: u32,
        channels: u16,
    ) -> Self {
        let measuring = Measuring::new(sample_rate, channels);
        Self { sink: Some(sink), encoder: None, measuring, settings, tags, sample_rate, channels }
    }

    pub(crate) fn write(&mut self, block: &[i16]) -> Result<(), Error> {
        self.measuring.block(block);
        if let Some(sink) = self.sink.take() {
            self.encoder = Some(encode::open(sink, self.settings, self.tags, self.sample_rate, self.channels)?);
        }
        self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.write(block))
    }

    /// Completes the file. `probe` is the source's.
    pub(crate) fn finish(self, probe: &Probe, truncated: bool) -> Result<Encoded, Error> {
        let encoder = self.encoder.ok_or(Error::Empty)?;
        let bitrate_bps = encoder.bitrate_bps();
        encoder.finish()?;
        let heard = self.measuring.finish(&Probe { channels: self.channels, ..*probe }, truncated)?;
        Ok(Encoded { heard, bitrate_bps, sample_rate: self.sample_rate, channels: self.channels })
    }
}

/// A file that was encoded, but not yet hashed.
pub(crate) struct Encoded {
    heard: Heard,
    bitrate_bps: u32,
    sample_rate: u32,
    channels: u16,
}

impl Encoded {
    pub(crate) fn into_transcoded(self, source: Digest, written: Digest) -> Transcoded {
        let Heard { duration_ms, samples_per_channel, peaks, quality, source_format } = self.heard;
        Transcoded {
            duration_ms,
            samples_per_channel,
            sample_rate: self.sample_rate,
            channels: self.channels,
            bitrate_bps: self.bitrate_bps,
            peaks,
            quality,
            source_format,
            source,
            right_leg: None,
            written,
        }
    }
}

/// Decodes `path` to its end and keeps nothing but the numbers; proves, for example, that what is kept lasts as long as
/// its source. See [`crate::probe()`] for `name_hint`.
///
/// # Errors
/// [`Error::Empty`], [`Error::NotAudio`], [`Error::Unsupported`], [`Error::Damaged`] if not one sample can be decoded, or
/// [`Error::Io`].
pub fn measure(path: &Path, name_hint: &str) -> Result<Measured, Error> {
    measure_within(&Limits::default(), path, name_hint)
}

/// As [`measure`], within other limits than the default ones.
///
/// # Errors
/// As [`measure`], and [`Error::Exceeded`] and [`Error::Stopped`].
pub fn measure_within(limits: &Limits, path: &Path, name_hint: &str) -> Result<Measured, Error> {
    let Opened { probe, mut source, reading } = decode::open(path, name_hint, limits)?;
    let mut measuring = Measuring::new(probe.sample_rate, probe.channels);
    let mut block = Vec::new();
    loop {
        source.next_block(&mut block)?;
        if block.is_empty() {
            break;
        }
        measuring.block(&block);
    }
    let Heard { duration_ms, samples_per_channel, peaks, quality, source_format } =
        measuring.finish(&probe, source.truncated())?;
    Ok(Measured {
        duration_ms,
        samples_per_channel,
        sample_rate: probe.sample_rate,
        channels: probe.channels,
        truncated: quality.truncated,
        peaks,
        quality,
        source_format,
        source: reading.finish()?,
    })
}

/// The numbers that are collected while samples pass by.
struct Measuring {
    meter: Meter,
    peaks: Peaks,
    channels: usize,
}

/// What they come to.
struct Heard {
    duration_ms: u64,
    samples_per_channel: u64,
    peaks: Vec<u8>,
    quality: Quality,
    source_format: String,
}

impl Measuring {
    fn new(sample_rate: u32, channels: u16) -> Self {
        Self { meter: Meter::new(sample_rate, channels), peaks: Peaks::new(), channels: usize::from(channels) }
    }

    fn block(&mut self, block: &[i16]) {
        self.meter.block(block);
        self.peaks.block(block, self.channels);
    }

    fn finish(self, probe: &Probe, truncated: bool) -> Result<Heard, Error> {
        let frames = self.meter.frames();
        if frames == 0 {
            return Err(Error::Empty);
        }
        Ok(Heard {
            duration_ms: millis(frames, probe.sample_rate),
            samples_per_channel: frames,
            peaks: self.peaks.finish(),
            quality: self.meter.finish(probe.truncated || truncated, probe.stale_header),
            source_format: probe.source_format(),
        })
    }
}
