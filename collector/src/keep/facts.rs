//! What the catalogue is told of a recording that is kept: format, media type, flags, quality.

use audio::{EncodeSettings, Measured, Quality, Transcoded};
use serde_json::json;

use super::{Job, Kept};

/// The longest extension that is kept of a name.
const MAX_EXTENSION: usize = 10;

impl Kept {
    /// What was encoded.
    pub(super) fn encoded(job: &Job, settings: &EncodeSettings, transcoded: &Transcoded) -> Self {
        Self {
            file: job.encoded.clone(),
            size_bytes: transcoded.written.bytes,
            sha256: transcoded.written.sha256.into(),
            format: settings.format.extension().to_owned(),
            content_type: settings.format.content_type().to_owned(),
            bitrate_bps: transcoded.bitrate_bps,
            sample_rate: transcoded.sample_rate,
            channels: transcoded.channels.into(),
            duration_ms: transcoded.duration_ms,
            source_format: transcoded.source_format.clone(),
            kept_original: false,
            quality: quality_json(&transcoded.quality),
            flags: flags(&transcoded.quality, &[]),
            peaks: transcoded.peaks.clone(),
        }
    }

    /// The source as it came, of which the decoder found out this much.
    pub(super) fn as_it_came(job: &Job, measured: &Measured, flagged: &[&str]) -> Self {
        let container = measured.source_format.split('/').next().unwrap_or_default();
        Self {
            content_type: content_type(container, &tidy_extension(&job.name)).to_owned(),
            sample_rate: measured.sample_rate,
            channels: measured.channels.into(),
            duration_ms: measured.duration_ms,
            source_format: measured.source_format.clone(),
            quality: quality_json(&measured.quality),
            flags: flags(&measured.quality, flagged),
            peaks: measured.peaks.clone(),
            ..Self::unknown(job)
        }
    }

    /// The source as it came, of which nothing is known but why.
    pub(super) fn undecodable(job: &Job, why: &str) -> Self {
        Self { flags: vec!["undecodable".to_owned(), why.to_owned()], ..Self::unknown(job) }
    }

    /// Says in words, to whoever looks at the recording, why it could not be decoded.
    pub(super) fn because(self, error: &audio::Error) -> Self {
        Self { quality: json!({ "undecodable": error.to_string() }).to_string(), ..self }
    }

    fn unknown(job: &Job) -> Self {
        let extension = tidy_extension(&job.name);
        Self {
            file: job.source.clone(),
            size_bytes: job.size_bytes,
            sha256: job.sha256,
            content_type: content_type("raw", &extension).to_owned(),
            source_format: extension.clone(),
            format: extension,
            bitrate_bps: 0,
            sample_rate: 0,
            channels: 0,
            duration_ms: 0,
            kept_original: true,
            quality: "{}".to_owned(),
            flags: Vec::new(),
            peaks: Vec::new(),
        }
    }
}

/// The extension as a word that any file system, URL and header takes; `bin` where there is none.
fn tidy_extension(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let tidy: String = extension
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(MAX_EXTENSION)
        .collect::<String>()
        .to_ascii_lowercase();
    if tidy.chars().any(|c| c.is_ascii_alphanumeric()) { tidy } else { "bin".to_owned() }
}

/// The media type, by what was found in the file, else by its extension.
fn content_type(container: &str, extension: &str) -> &'static str {
    match (container, extension) {
        ("wav", _) | ("raw", "wav" | "wav16") => "audio/wav",
        ("mp3", _) | ("raw", "mp3") => "audio/mpeg",
        ("ogg", _) | ("raw", "ogg" | "opus" | "spx") => "audio/ogg",
        ("flac", _) | ("raw", "flac") => "audio/flac",
        ("au", _) | ("raw", "au") => "audio/basic",
        ("raw", "gsm") => "audio/x-gsm",
        ("raw", "m4a" | "mp4") => "audio/mp4",
        ("raw", "aac") => "audio/aac",
        ("raw", "amr") => "audio/amr",
        ("raw", "webm") => "audio/webm",
        _ => "application/octet-stream",
    }
}

fn flags(quality: &Quality, flagged: &[&str]) -> Vec<String> {
    let silent = !quality.channels.is_empty() && quality.channels.iter().all(|channel| channel.silent);
    let found = [
        (quality.truncated, "truncated"),
        (quality.stale_header, "stale-header"),
        (quality.one_way, "one-way"),
        (silent, "silent"),
    ];
    let found = found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, flag)| flag);
    found.chain(flagged.iter().copied()).map(str::to_owned).collect()
}

fn quality_json(quality: &Quality) -> String {
    // A tenth of a decibel is more than anybody hears.
    let decibels = |level: f32| (f64::from(level) * 10.0).round() / 10.0;
    let channels: Vec<_> = quality
        .channels
        .iter()
        .map(|channel| {
            json!({
                "rms_dbfs": decibels(channel.rms_dbfs),
                "peak": channel.peak,
                "clipped_samples": channel.clipped_samples,
                "silent": channel.silent,
                "longest_silence_ms": channel.longest_silence_ms,
            })
        })
        .collect();
    json!({
        "channels": channels,
        "longest_silence_ms": quality.longest_silence_ms,
        "one_way": quality.one_way,
        "truncated": quality.truncated,
        "stale_header": quality.stale_header,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_tidied_whatever_it_was() {
        let table = [
            ("a.WAV", "wav"),
            ("a.g726-32", "g726-32"),
            ("a", "bin"),
            ("a.", "bin"),
            ("a.-", "bin"),
            ("a.w\r\nav", "wav"),
            ("a.../../etc", "etc"),
            ("a.абв", "bin"),
            ("a.averyveryverylongone", "averyveryv"),
        ];
        for (name, extension) in table {
            assert_eq!(tidy_extension(name), extension, "{name:?}");
        }
    }

    #[test]
    fn what_is_in_the_file_counts_before_its_name() {
        for (container, extension, expected) in [
            ("wav", "mp3", "audio/wav"),
            ("raw", "gsm", "audio/x-gsm"),
            ("raw", "sln", "application/octet-stream"),
            ("mp3", "bin", "audio/mpeg"),
        ] {
            assert_eq!(content_type(container, extension), expected);
        }
    }
}
