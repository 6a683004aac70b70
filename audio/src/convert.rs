//! A recording in another format while somebody waits for it: written to a stream, whose first bytes are gone long before
//! the last are encoded.

use std::io::Write;

use crate::channels::mixed;
use crate::decode::{self, Decoding, Media};
use crate::encode;
use crate::error::Error;
use crate::format::{Channels, EncodeSettings};
use crate::resample::resampled;
use crate::tags::Tags;

/// What was streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// How long it lasts, exactly.
    pub samples_per_channel: u64,
    /// Samples per second of one channel.
    pub sample_rate: u32,
    /// Channels, 1 for mono.
    pub channels: u16,
    /// The source ended before its time, or lost something on the way; what is missing of the length that it promised is
    /// silence.
    pub truncated: bool,
}

/// Reads `source` and writes it, encoded, to `sink`, from its beginning to its end: nothing is written twice. See
/// [`crate::probe()`] for `name_hint`.
///
/// Headers say how long the audio is where the source does (PCM, FLAC, MP3 with an info tag, Opus); then exactly as much
/// is written. Where it does not, WAV says ffffffff, FLAC says 0, and MP3 goes without an info tag: players then play to
/// the end of what they get.
///
/// # Errors
/// As [`crate::transcode`]; an [`Error::Io`] of the sink ends it at once. [`Error::Damaged`] if the source is longer than
/// it promised, after what it promised is written.
pub fn convert(
    source: impl Media + 'static,
    name_hint: &str,
    sink: &mut dyn Write,
    settings: &EncodeSettings,
    tags: &Tags,
) -> Result<Converted, Error> {
    let (probe, mut source) = shaped(decode::open_media(Box::new(source), name_hint)?, settings)?;
    encode::check(settings.format, probe.sample_rate, probe.channels)?;
    let mut block = Vec::new();
    source.next_block(&mut block)?;
    if block.is_empty() {
        return Err(Error::Empty);
    }
    let channels = usize::from(probe.channels);
    // A length that no call has is not a promise: it would be kept with silence.
    let promised = source.frames().filter(|&frames| frames <= u64::from(probe.sample_rate) * LONGEST_SECONDS);
    let mut encoder = encode::open_stream(sink, promised, settings, tags, probe.sample_rate, probe.channels)?;
    let mut frames = 0;
    while !block.is_empty() {
        frames += (block.len() / channels) as u64;
        if promised.is_some_and(|promised| frames > promised) {
            return Err(Error::damaged("longer than its header says"));
        }
        encoder.write(&block)?;
        source.next_block(&mut block)?;
    }
    let missing = promised.map_or(0, |promised| promised - frames);
    pad(encoder.as_mut(), missing, channels)?;
    encoder.finish()?;
    Ok(Converted {
        samples_per_channel: frames + missing,
        sample_rate: probe.sample_rate,
        channels: probe.channels,
        truncated: probe.truncated || source.truncated(),
    })
}

/// As in [`crate::Limits::longest`].
const LONGEST_SECONDS: u64 = 48 * 3_600;

fn pad(encoder: &mut (dyn encode::Encoder + '_), mut frames: u64, channels: usize) -> Result<(), Error> {
    const SILENCE: [i16; 4_096] = [0; 4_096];
    let most = SILENCE.len() / channels;
    while frames > 0 {
        let now = most.min(usize::try_from(frames).unwrap_or(usize::MAX));
        encoder.write(&SILENCE[..now * channels])?;
        frames -= now as u64;
    }
    Ok(())
}

/// With the channels and at the rate that the settings ask for.
pub(crate) fn shaped(decoding: Decoding, settings: &EncodeSettings) -> Result<Decoding, Error> {
    let decoding = match settings.channels {
        Channels::Keep => decoding,
        Channels::MixDown => mixed(decoding),
    };
    match settings.sample_rate {
        None => Ok(decoding),
        Some(rate) => resampled(decoding, rate, settings.format),
    }
}
