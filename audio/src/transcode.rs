//! One pass over a recording: decode, measure and, if asked, encode.

use std::io::{Seek, Write};
use std::path::Path;

use crate::decode::{self, Opened};
use crate::encode::{self, Encoder, Sink};
use crate::error::Error;
use crate::format::EncodeSettings;
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
    /// Samples per second of one channel, of the source and of what is written.
    pub sample_rate: u32,
    /// Channels, of the source and of what is written.
    pub channels: u16,
    /// Bits per second that the encoder was set to; 0 for FLAC and WAV.
    pub bitrate_bps: u32,
    /// [`crate::PEAK_BUCKETS`] amplitudes over the whole time, 0 to 255, linear.
    pub peaks: Vec<u8>,
    /// Level, clipping, silence and damage.
    pub quality: Quality,
    /// Container and codec of the source, such as `wav/gsm_ms`.
    pub source_format: String,
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
}

/// Reads `source` once and writes it, encoded, to `sink` from where that stands; headers are completed at the end, so
/// the sink must not be in append mode. See [`crate::probe()`] for `name_hint`.
///
/// The source decodes as far as it goes: whether that was its whole length is in [`Transcoded::quality`].
///
/// # Errors
/// As [`measure`], and [`Error::UnsupportedByEncoder`], before anything is written, if the format cannot carry the
/// source's rate or channels. After any other error what is in the sink is of no use.
pub fn transcode(
    source: &Path,
    name_hint: &str,
    sink: &mut (impl Write + Seek),
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Transcoded, Error> {
    encode_opened(decode::open(source, name_hint)?, sink, settings, tags)
}

/// [`transcode`] of what is already open.
pub(crate) fn encode_opened(
    opened: Opened,
    sink: &mut dyn Sink,
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Transcoded, Error> {
    let Opened { probe, mut source } = opened;
    encode::check(settings.format, probe.sample_rate, probe.channels)?;
    let mut track = Track::new(sink, settings, tags, probe.sample_rate, probe.channels);
    let mut block = Vec::new();
    loop {
        source.next_block(&mut block)?;
        if block.is_empty() {
            break;
        }
        track.write(&block)?;
    }
    track.finish(&probe, source.truncated())
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
    pub(crate) fn finish(self, probe: &Probe, truncated: bool) -> Result<Transcoded, Error> {
        let encoder = self.encoder.ok_or(Error::Empty)?;
        let bitrate_bps = encoder.bitrate_bps();
        encoder.finish()?;
        let measured = self.measuring.finish(&Probe { channels: self.channels, ..*probe }, truncated)?;
        Ok(Transcoded {
            duration_ms: measured.duration_ms,
            samples_per_channel: measured.samples_per_channel,
            sample_rate: measured.sample_rate,
            channels: measured.channels,
            bitrate_bps,
            peaks: measured.peaks,
            quality: measured.quality,
            source_format: measured.source_format,
        })
    }
}

/// Decodes `path` to its end and keeps nothing but the numbers; proves, for example, that what is kept lasts as long as
/// its source. See [`crate::probe()`] for `name_hint`.
///
/// # Errors
/// [`Error::Empty`], [`Error::NotAudio`], [`Error::Unsupported`], [`Error::Damaged`] if not one sample can be decoded, or
/// [`Error::Io`].
pub fn measure(path: &Path, name_hint: &str) -> Result<Measured, Error> {
    let Opened { probe, mut source } = decode::open(path, name_hint)?;
    let mut measuring = Measuring::new(probe.sample_rate, probe.channels);
    let mut block = Vec::new();
    loop {
        source.next_block(&mut block)?;
        if block.is_empty() {
            return measuring.finish(&probe, source.truncated());
        }
        measuring.block(&block);
    }
}

/// The numbers that are collected while samples pass by.
struct Measuring {
    meter: Meter,
    peaks: Peaks,
    channels: usize,
}

impl Measuring {
    fn new(sample_rate: u32, channels: u16) -> Self {
        Self { meter: Meter::new(sample_rate, channels), peaks: Peaks::new(), channels: usize::from(channels) }
    }

    fn block(&mut self, block: &[i16]) {
        self.meter.block(block);
        self.peaks.block(block, self.channels);
    }

    fn finish(self, probe: &Probe, truncated: bool) -> Result<Measured, Error> {
        let frames = self.meter.frames();
        if frames == 0 {
            return Err(Error::Empty);
        }
        let truncated = probe.truncated || truncated;
        Ok(Measured {
            duration_ms: millis(frames, probe.sample_rate),
            samples_per_channel: frames,
            sample_rate: probe.sample_rate,
            channels: probe.channels,
            truncated,
            peaks: self.peaks.finish(),
            quality: self.meter.finish(truncated, probe.stale_header),
            source_format: probe.source_format(),
        })
    }
}
