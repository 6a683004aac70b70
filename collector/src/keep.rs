//! What of a source is kept: its audio in the tier's format, or the bytes as they came where that is all that is safe.
//!
//! What was encoded is decoded again and must last as long as its source. A recording is kept as it came when it cannot
//! be decoded whole, when the encoder cannot carry it or does not keep to its length, when decoding it takes for ever or
//! panics, and when its tier says so.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use archive::Sha256;
use audio::{EncodeSettings, Measured, Tags, Transcoded};

mod facts;

use crate::failure::Failure;
use crate::landing::remove_if_there;

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

/// Prepares what is to be archived, in no more time than `timeout`.
///
/// # Errors
/// Nothing to keep (empty, or no audio at all), or a landing zone that fails.
pub(crate) async fn prepare(job: Job, timeout: Duration) -> Result<Kept, Failure> {
    let stopped = Arc::new(AtomicBool::default());
    let working = {
        let (job, stopped) = (job.clone(), Arc::clone(&stopped));
        tokio::task::spawn_blocking(move || prepare_blocking(&job, &stopped))
    };
    match tokio::time::timeout(timeout, working).await {
        Ok(Ok(prepared)) => prepared,
        // A decoder that panics says more about the file than about us; the panic itself is in the log.
        Ok(Err(_)) => {
            remove_if_there(&job.encoded);
            Ok(Kept::undecodable(&job, "panicked"))
        }
        Err(_) => {
            // The thread cannot be killed, but it ends at the next block that it writes.
            stopped.store(true, Ordering::Relaxed);
            Ok(Kept::undecodable(&job, "timed-out"))
        }
    }
}

fn prepare_blocking(job: &Job, stopped: &AtomicBool) -> Result<Kept, Failure> {
    let Some(settings) = &job.settings else {
        return match audio::measure(&job.source, &job.name) {
            Ok(measured) => Ok(Kept::as_it_came(job, &measured, &[])),
            Err(error) => without_audio(job, &error),
        };
    };
    match encode(job, settings, stopped) {
        Ok(transcoded) if transcoded.quality.truncated => {
            remove_if_there(&job.encoded);
            Ok(Kept::as_it_came(job, &measured_source(transcoded), &[]))
        }
        Ok(transcoded) if lasts_as_long(job, &transcoded) => {
            Kept::encoded(job, settings, &transcoded).map_err(|error| Failure::later("landing-zone", error.to_string()))
        }
        Ok(transcoded) => {
            remove_if_there(&job.encoded);
            Ok(Kept::as_it_came(job, &measured_source(transcoded), &["encode-mismatch"]))
        }
        Err(error) => {
            remove_if_there(&job.encoded);
            match error {
                audio::Error::UnsupportedByEncoder { .. } => match audio::measure(&job.source, &job.name) {
                    Ok(measured) => Ok(Kept::as_it_came(job, &measured, &["unencodable"])),
                    Err(error) => without_audio(job, &error),
                },
                error => without_audio(job, &error),
            }
        }
    }
}

/// What is done with a source that could not be decoded at all.
fn without_audio(job: &Job, error: &audio::Error) -> Result<Kept, Failure> {
    match error {
        audio::Error::Empty => Err(Failure::quarantine("empty", error.to_string())),
        audio::Error::NotAudio => Err(Failure::quarantine("not-audio", error.to_string())),
        audio::Error::Io(error) => Err(Failure::later("landing-zone", error.to_string())),
        audio::Error::Unsupported { .. } => Ok(Kept::undecodable(job, "unsupported")),
        _ => Ok(Kept::undecodable(job, "damaged")),
    }
}

fn encode(job: &Job, settings: &EncodeSettings, stopped: &AtomicBool) -> Result<Transcoded, audio::Error> {
    let mut sink = Stoppable { file: io::BufWriter::with_capacity(64 * 1024, File::create(&job.encoded)?), stopped };
    let transcoded = audio::transcode(&job.source, &job.name, &mut sink, settings, &job.tags)?;
    sink.flush()?;
    Ok(transcoded)
}

/// Decodes what was encoded, and compares.
fn lasts_as_long(job: &Job, transcoded: &Transcoded) -> bool {
    audio::measure(&job.encoded, &job.encoded.to_string_lossy())
        .is_ok_and(|kept| kept.duration_ms.abs_diff(transcoded.duration_ms) <= TOLERANCE_MS && !kept.truncated)
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
    }
}

/// A sink that fails once nobody waits for it any more, so that its thread ends.
struct Stoppable<'a> {
    file: io::BufWriter<File>,
    stopped: &'a AtomicBool,
}

impl Write for Stoppable<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Stoppable<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(bytes: &[u8], name: &str, directory: &std::path::Path) -> Job {
        let source = directory.join("source");
        std::fs::write(&source, bytes).unwrap();
        Job {
            source,
            name: name.to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: Sha256::of(bytes),
            settings: Some(EncodeSettings::default()),
            tags: Tags::default(),
            encoded: directory.join("source.0.out.mp3"),
        }
    }

    #[tokio::test]
    async fn what_takes_too_long_is_kept_as_it_came() {
        let directory = tempfile::tempdir().unwrap();
        let job = job(&[0; 4_000_000], "a.sln", directory.path());
        let kept = prepare(job.clone(), Duration::ZERO).await.unwrap();
        assert_eq!(kept.flags, ["undecodable", "timed-out"]);
        assert_eq!((kept.file, kept.kept_original, kept.sha256), (job.source, true, job.sha256));
    }

    #[test]
    fn nobody_waits_for_a_sink_that_is_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let job = job(&[0; 4_000_000], "a.sln", directory.path());
        let stopped = AtomicBool::new(true);
        assert!(matches!(encode(&job, &EncodeSettings::default(), &stopped), Err(audio::Error::Io(_))));
    }

    #[test]
    fn an_encoding_that_lasts_longer_or_shorter_than_its_source_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let job = job(&[0; 32_000], "a.sln", directory.path());
        let transcoded = encode(&job, &EncodeSettings::default(), &AtomicBool::default()).unwrap();
        assert!(lasts_as_long(&job, &transcoded));
        for duration_ms in [1900, 1950, 2050, 4000] {
            assert!(!lasts_as_long(&job, &Transcoded { duration_ms, ..transcoded.clone() }), "{duration_ms}");
        }
        std::fs::write(&job.encoded, b"").unwrap();
        assert!(!lasts_as_long(&job, &transcoded));
    }
}
