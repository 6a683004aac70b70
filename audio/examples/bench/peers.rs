//! A process for each file, as known systems do it, with the same settings.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};

use audio::Format;

use crate::Outcome;
use crate::cpu::{Cost, children_seconds};

/// Who encodes a format, and how: `IN` and `OUT` stand for the files.
pub(crate) fn of(format: Format) -> Vec<(&'static str, Vec<&'static str>)> {
    let lines: &[(&str, &str)] = match format {
        Format::Mp3 => &[
            (
                "ffmpeg",
                "ffmpeg -nostdin -v error -y -i IN -c:a libmp3lame -b:a 32k -compression_level 5 -ar 8000 OUT.mp3",
            ),
            ("lame", "lame --quiet -m m --cbr -b 32 -q 5 --resample 8 IN OUT.mp3"),
            ("sox", "sox IN -C 32.5 OUT.mp3"),
        ],
        Format::Opus => &[
            (
                "ffmpeg",
                "ffmpeg -nostdin -v error -y -i IN -c:a libopus -application voip -b:a 24k -compression_level 5 OUT.opus",
            ),
            ("opusenc", "opusenc --quiet --speech --bitrate 24 --comp 5 IN OUT.opus"),
        ],
        Format::Flac => {
            &[("ffmpeg", "ffmpeg -nostdin -v error -y -i IN -c:a flac OUT.flac"), ("sox", "sox IN OUT.flac")]
        }
        Format::Wav => {
            &[("ffmpeg", "ffmpeg -nostdin -v error -y -i IN -c:a pcm_s16le OUT.wav"), ("sox", "sox IN OUT.wav")]
        }
    };
    lines.iter().map(|(name, line)| (*name, line.split(' ').collect())).collect()
}

/// Runs it on one file; `None` if the program is not installed.
pub(crate) fn run(command: &[&str], source: &Path, folder: &Path) -> Outcome<Option<Cost>> {
    let mut out = folder.join("peer");
    let mut child = Command::new(command[0]);
    for word in &command[1..] {
        match word.strip_prefix("OUT.") {
            Some(extension) => {
                out.set_extension(extension);
                child.arg(&out);
            }
            None if *word == "IN" => _ = child.arg(source),
            None => _ = child.arg(word),
        }
    }
    let before = children_seconds()?;
    let ended = match child.stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        ended => ended?,
    };
    if !ended.success() {
        return Err(format!("{} failed on {}", command[0], source.display()).into());
    }
    Ok(Some(Cost { cpu_seconds: children_seconds()? - before, bytes: out.metadata()?.len() }))
}
