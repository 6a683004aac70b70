//! What of a source is kept: its audio in the tier's format, or the bytes as they came where that is all that is safe.
//!
//! What was decoded must be what was fetched, byte by byte, or it is fetched again. What was encoded is decoded again and
//! must be what was written and last as long as its source. A recording is kept as it came when it cannot
//! be decoded whole, when the encoder cannot carry it or does not keep to its length, when decoding it takes for ever or
//! panics, and when its tier says so.

use std::fs::File;
use std::path::PathBuf;

use archive::Sha256;
use audio::{EncodeSettings, Limit, Limits, Measured, Tags, Transcoded};
use tokio_util::sync::CancellationToken;

mod facts;

use crate::failure::Failure;
use crate::landing::{check_whole, remove_if_there};
use crate::workers::{GivenUp, Workers};

/// By how much the lengths of source and encoded recording may differ.
const TOLERANCE_MS: u64 = 40;

/// A fetched source, and what is wanted of it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// Its bytes, in the landing zone.
    pub(crate) source: PathBuf,
    /// Its name on the core server: where the file has no header, the extension says what it is.
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: Sha256,
    /// How to encode it; `None`: it stays as it came.
    pub(crate) settings: Option<EncodeSettings>,
    pub(crate) tags: Tags,
    /// Where to put what is encoded.
    pub(crate) encoded: PathBuf,
}

/// What is to be archived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: Sha256,
    pub(crate) format: String,
    pub(crate) content_type: String,
    pub(crate) bitrate_bps: u32,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u32,
    pub(crate) duration_ms: u64,
    pub(crate) source_format: String,
    pub(crate) kept_original: bool,
    pub(crate) quality: String,
    pub(crate) flags: Vec<String>,
    pub(crate) peaks: Vec<u8>,
}

/// Prepares what is to be archived, when a worker is free and within its limits.
///
/// # Errors
/// Nothing to keep (empty, or no audio at all); bytes that are no longer those that were fetched; a landing zone that
/// fails; being told to stop.
pub(crate) async fn prepare(job: Job, workers: &Workers, stop: &CancellationToken) -> Result<Kept, Failure> {
    let worked = {
        let job = job.clone();
        workers.run(stop, move |limits| prepare_blocking(&job, limits)).await
    };
    worked.unwrap_or_else(|given_up| without_result(&job, &given_up))
}

/// What is done with a source at which a worker gave up.
fn without_result(job: &Job, given_up: &GivenUp) -> Result<Kept, Failure> {
    match given_up {
        GivenUp::Stopped => Err(Failure::Stopped),
        // A decoder that panics says more about the file than about us.
        GivenUp::Panicked => {
            remove_if_there(&job.encoded);
            Ok(Kept::undecodable(job, "panicked"))
        }
        GivenUp::Stuck => {
            tracing::error!("a decoder does not come back: until this process starts anew there is one worker less");
            Ok(Kept::undecodable(job, "timed-out"))
        }
    }
}

fn prepare_blocking(job: &Job, limits: &Limits) -> Result<Kept, Failure> {
    let prepared = match &job.settings {
        Some(settings) => encode(job, settings, limits),
        None => audio::measure_within(limits, &job.source, &job.name).map(|measured| kept_as(job, &measured, &[])),
    };
    if !matches!(&prepared, Ok(Ok(kept)) if !kept.kept_original) {
        remove_if_there(&job.encoded);
    }
    prepared.unwrap_or_else(|error| without_audio(job, &error))
}

/// Encodes the source, and decides what of the two is kept.
fn encode(job: &Job, settings: &EncodeSettings, limits: &Limits) -> Result<Result<Kept, Failure>, audio::Error> {
    let mut sink = File::create_new(&job.encoded)?;
    let transcoded = audio::transcode_within(limits, &job.source, &job.name, &mut sink, settings, &job.tags);
    drop(sink);
    let transcoded = match transcoded {
        Err(audio::Error::UnsupportedByEncoder { .. }) => {
            let measured = audio::measure_within(limits, &job.source, &job.name)?;
            return Ok(kept_as(job, &measured, &["unencodable"]));
        }
        transcoded => transcoded?,
    };
    if transcoded.source.sha256 != *job.sha256.as_bytes() {
        return Ok(Err(Failure::Unspooled));
    }
    if transcoded.quality.truncated {
        return Ok(kept_as(job, &measured_source(transcoded), &[]));
    }
    let again = audio::measure_within(limits, &job.encoded, &job.encoded.to_string_lossy());
    Ok(match again {
        Err(error @ (audio::Error::Stopped | audio::Error::Exceeded(_))) => return Err(error),
        Ok(again) if again.source != transcoded.written => {
            Err(Failure::later("landing-zone", "what was encoded is not what can be read there"))
        }
        Ok(again) if lasts_as_long(&again, &transcoded) => Ok(Kept::encoded(job, settings, &transcoded)),
        _ => kept_as(job, &measured_source(transcoded), &["encode-mismatch"]),
    })
}

/// Does what was encoded, decoded again, last as long as its source?
fn lasts_as_long(again: &Measured, transcoded: &Transcoded) -> bool {
    again.duration_ms.abs_diff(transcoded.duration_ms) <= TOLERANCE_MS && !again.truncated
}

/// The source as it came, if what was decoded is what was fetched.
fn kept_as(job: &Job, measured: &Measured, flagged: &[&str]) -> Result<Kept, Failure> {
    match measured.source.sha256 == *job.sha256.as_bytes() {
        true => Ok(Kept::as_it_came(job, measured, flagged)),
        false => Err(Failure::Unspooled),
    }
}

/// What is done with a source that could not be decoded at all: nothing, if that may be because it is no longer what was
/// fetched.
fn without_audio(job: &Job, error: &audio::Error) -> Result<Kept, Failure> {
    if matches!(error, audio::Error::Stopped) {
        return Err(Failure::Stopped);
    }
    check_whole(&job.source, job.sha256)?;
    match error {
        audio::Error::Empty => Err(Failure::quarantine("empty", error.to_string())),
        audio::Error::NotAudio => Err(Failure::quarantine("not-audio", error.to_string())),
        audio::Error::Io(error) => Err(Failure::later("landing-zone", error.to_string())),
        audio::Error::Unsupported { .. } => Ok(Kept::undecodable(job, "unsupported").because(error)),
        audio::Error::Exceeded(Limit::Time) => Ok(Kept::undecodable(job, "timed-out")),
        audio::Error::Exceeded(Limit::Length) => Ok(Kept::undecodable(job, "too-long")),
        audio::Error::Exceeded(_) => Ok(Kept::undecodable(job, "too-large")),
        _ => Ok(Kept::undecodable(job, "damaged").because(error)),
    }
}

/// What the decoder found out about the source while it was transcoded.
fn measured_source(transcoded: Transcoded) -> Measured {
    Measured {
        duration_ms: transcoded.duration_ms,
        samples_per_channel: transcoded.samples_per_channel,
        sample_rate: transcoded.sample_rate,
        channels: transcoded.channels,
        truncated: transcoded.quality.truncated,
        peaks: transcoded.peaks,
        quality: transcoded.quality,
        source_format: transcoded.source_format,
        source: transcoded.source,
    }
}

#[cfg(test)]
mod tests;
