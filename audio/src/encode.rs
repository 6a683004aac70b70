//! From blocks of samples to a file: which format carries what.

use std::io::{BufWriter, Read, Seek, Write};

use crate::error::Error;
use crate::format::{EncodeSettings, Format};
use crate::ogg_head::OPUS_RATES;
use crate::tags::Tags;

mod flac;
mod info_tag;
mod mp3;
mod opus;
mod wav;

/// Where encoders write: headers are completed at the end, and what was written is read back.
pub(crate) trait Sink: Read + Write + Seek {}
impl<T: Read + Write + Seek> Sink for T {}

/// Writes are gathered to this many bytes.
const BUFFER_BYTES: usize = 64 * 1024;

type Output<'a> = BufWriter<&'a mut dyn Sink>;

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
    let rate = match format {
        Format::Mp3 => mp3::carries(sample_rate),
        Format::Opus => OPUS_RATES.contains(&sample_rate),
        Format::Flac => (1..=96_000).contains(&sample_rate),
        Format::Wav => true,
    };
    let most = match format {
        Format::Mp3 | Format::Opus => 2,
        Format::Flac => 8,
        Format::Wav => 64,
    };
    let refuse = |what| Err(Error::UnsupportedByEncoder { format, what });
    match (rate, channels <= most) {
        (true, true) => Ok(()),
        (false, _) => refuse(format!("{sample_rate} Hz")),
        (_, false) => refuse(format!("{channels} channels")),
    }
}

/// Starts a file in `sink`, from where that stands; [`check`] has agreed.
pub(crate) fn open<'a>(
    sink: &'a mut dyn Sink,
    settings: &EncodeSettings,
    tags: &Tags,
    sample_rate: u32,
    channels: u16,
) -> Result<Box<dyn Encoder + 'a>, Error> {
    let output = BufWriter::with_capacity(BUFFER_BYTES, sink);
    Ok(match settings.format {
        Format::Mp3 => Box::new(mp3::Mp3::open(output, settings.bitrate_bps, tags, sample_rate, channels)?),
        Format::Opus => Box::new(opus::Opus::open(output, settings.bitrate_bps, tags, sample_rate, channels)?),
        Format::Flac => Box::new(flac::Flac::open(output, tags, sample_rate, channels)?),
        Format::Wav => Box::new(wav::Wav::open(output, tags, sample_rate, channels)?),
    })
}

/// A codec library refused what [`check`] allows: a defect, not the recording's fault.
fn library(error: impl std::fmt::Display) -> Error {
    Error::Io(std::io::Error::other(error.to_string()))
}
