//! The pass that the collector makes: from file to file, measured and tagged.

use std::fs::File;
use std::path::Path;

use audio::{EncodeSettings, Format, Tags};

use crate::Outcome;
use crate::cpu::{Cost, own_seconds};

/// The bit rates of the comparison.
pub(crate) fn settings(format: Format) -> EncodeSettings {
    EncodeSettings::at(format, if format == Format::Opus { 24_000 } else { 32_000 })
}

/// What a kept recording says about itself.
pub(crate) fn tags() -> Tags {
    let text = |value: &str| Some(value.to_owned());
    Tags {
        title: text("101 to 102"),
        date: text("2026-11-21T07:39:44Z"),
        caller: text("101"),
        callee: text("102"),
        pbx: text("acme"),
        call_id: text("1795246782.0"),
        recording_id: text("01K0000000000000000000000A"),
        source_sha256: text(&"0".repeat(64)),
    }
}

/// A file to transcode into: what was written is read back.
pub(crate) fn new_file(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(true).open(path)
}

/// Transcodes one file.
pub(crate) fn transcode(source: &Path, format: Format, folder: &Path) -> Outcome<Cost> {
    let kept = folder.join("ours");
    let before = own_seconds()?;
    let mut sink = new_file(&kept)?;
    audio::transcode(source, "minute.wav", &mut sink, &settings(format), &tags())?;
    drop(sink);
    Ok(Cost { cpu_seconds: own_seconds()? - before, bytes: kept.metadata()?.len() })
}
