//! From blocks of samples to a file: which format carries what.

use std::io::Write;

use crate::error::Error;
use crate::format::{EncodeSettings, Format};
use crate::ogg_head::OPUS_RATES;
use crate::tags::Tags;

mod flac;
mod frame_counter;
mod info_tag;
mod mp3;
mod opus;
mod output;
mod wav;

use output::Output;
pub(crate) use output::Sink;

/// An encoder in the middle of a file.
pub(crate) trait Encoder {
    /// Adds interleaved samples, whole frames of them.
    fn write(&mut self, samples: &[i16]) -> Result<(), Error>;

    /// Bits per second that it is set to; 0 if that is not a setting of the format.
    fn bitrate_bps(&self) -> u32 {
        0
    }

    /// Writes what is left and completes the header.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// Whether `format` carries audio of this rate and so many channels.
pub(crate) fn check(format: Format, sample_rate: u32, channels: u16) -> Result<(), Error> {
    let refuse = |what| Err(Error::UnsupportedByEncoder { format, what });
    match (carries_rate(format, sample_rate), channels <= format.max_channels()) {
        (true, true) => Ok(()),
        (false, _) => refuse(format!("{sample_rate} Hz")),
        (_, false) => refuse(format!("{channels} channels")),
    }
}

/// Whether `format` carries audio of this rate.
pub(crate) fn carries_rate(format: Format, sample_rate: u32) -> bool {
    match format {
        Format::Mp3 => mp3::RATES.contains(&sample_rate),
        Format::Opus => OPUS_RATES.contains(&sample_rate),
        Format::Flac => (1..=flac::MAX_RATE).contains(&sample_rate),
        Format::Wav => true,
    }
}

/// The rate of `format` that loses nothing of one of `sample_rate`, or its highest.
pub(crate) fn rate_for(format: Format, sample_rate: u32) -> u32 {
    if carries_rate(format, sample_rate) {
        return sample_rate;
    }
    let rates: &[u32] = match format {
        Format::Mp3 => &mp3::RATES,
        Format::Opus => &OPUS_RATES,
        Format::Flac | Format::Wav => &[48_000],
    };
    rates.iter().copied().find(|&rate| rate > sample_rate).unwrap_or(48_000)
}

/// Starts a file in `sink`, from where that stands; [`check`] has agreed.
pub(crate) fn open<'a>(
    sink: &'a mut dyn Sink,
    settings: &EncodeSettings,
    tags: &Tags,
    sample_rate: u32,
    channels: u16,
) -> Result<Box<dyn Encoder + 'a>, Error> {
    open_output(Output::file(sink)?, settings, tags, sample_rate, channels)
}

/// Starts a stream in `sink`; [`check`] has agreed. If `frames` are said, so many must come: headers tell them.
pub(crate) fn open_stream<'a>(
    sink: &'a mut dyn Write,
    frames: Option<u64>,
    settings: &EncodeSettings,
    tags: &Tags,
    sample_rate: u32,
    channels: u16,
) -> Result<Box<dyn Encoder + 'a>, Error> {
    open_output(Output::stream(sink, frames), settings, tags, sample_rate, channels)
}

fn open_output<'a>(
    output: Output<'a>,
    settings: &EncodeSettings,
    tags: &Tags,
    sample_rate: u32,
    channels: u16,
) -> Result<Box<dyn Encoder + 'a>, Error> {
    Ok(match settings.format {
        Format::Mp3 => Box::new(mp3::Mp3::open(output, settings, tags, sample_rate, channels)?),
        Format::Opus => Box::new(opus::Opus::open(output, settings.bitrate_bps, tags, sample_rate, channels)?),
        Format::Flac => Box::new(flac::Flac::open(output, tags, sample_rate, channels)?),
        Format::Wav => Box::new(wav::Wav::open(output, tags, sample_rate, channels)?),
    })
}

/// A codec library refused what [`check`] allows: a defect, not the recording's fault.
fn library(error: impl std::fmt::Display) -> Error {
    Error::Io(std::io::Error::other(error.to_string()))
}
