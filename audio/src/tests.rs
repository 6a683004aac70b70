//! The crate from outside, over recordings that real call cores made (`tests/fixtures`).

mod bad_input;
mod broken;
mod captures;
mod convert;
mod corpus;
mod every_codec;
mod fuzzed;
mod last_resort;
mod legs;
mod limits;
mod memory;
mod one_pass;
mod references;
mod resample;
mod round_trip;

use std::f64::consts::TAU;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::decode;
use crate::error::Error;
use crate::probe::Probe;

/// A recording of the manifest.
struct Fixture {
    file: String,
    kind: String,
    container: String,
    codec: String,
    sample_rate: u32,
    channels: u16,
    duration_s: f64,
}

impl Fixture {
    fn path(&self) -> PathBuf {
        fixtures_dir().join(&self.file)
    }

    /// The name, and for headerless stereo what the core server's configuration tells.
    fn hint(&self) -> String {
        if self.file.ends_with(".raw") {
            format!("{};channels={}", self.file, self.channels)
        } else {
            self.file.clone()
        }
    }

    /// Whether the crate promises to decode it.
    fn is_decodable(&self) -> bool {
        self.duration_s > 0.0 && !self.codec.contains("RTP")
    }
}

fn fixtures_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

fn manifest() -> Vec<Fixture> {
    let text = std::fs::read_to_string(fixtures_dir().join("MANIFEST.tsv")).unwrap();
    let fixture = |line: &str| {
        let columns: Vec<_> = line.split('\t').collect();
        Fixture {
            file: columns[0].to_owned(),
            kind: columns[3].to_owned(),
            container: columns[4].to_owned(),
            codec: columns[5].to_owned(),
            sample_rate: columns[6].parse().unwrap_or(0),
            channels: columns[7].parse().unwrap_or(0),
            duration_s: columns[8].parse().unwrap_or(0.0),
        }
    };
    let fixtures: Vec<_> = text.lines().skip(1).map(fixture).collect();
    assert!(fixtures.len() > 40, "the manifest is there");
    fixtures
}

/// The one recording of the manifest whose name ends so.
fn fixture(end: &str) -> Fixture {
    let mut found = manifest().into_iter().filter(|fixture| fixture.file.ends_with(end));
    let fixture = found.next().unwrap_or_else(|| panic!("no fixture {end}"));
    assert!(found.next().is_none(), "more than one fixture {end}");
    fixture
}

/// Everything decoded: only tests hold a recording whole.
fn samples(path: &Path, hint: &str) -> Result<(Probe, Vec<i16>), Error> {
    let mut opened = decode::open(path, hint, &crate::Limits::default())?;
    let (mut all, mut block) = (Vec::new(), Vec::new());
    loop {
        opened.source.next_block(&mut block)?;
        if block.is_empty() {
            return Ok((opened.probe, all));
        }
        all.extend_from_slice(&block);
    }
}

/// With the ffmpeg that is installed.
fn with_ffmpeg() -> crate::Limits {
    with(crate::Ffmpeg::find())
}

fn with(ffmpeg: crate::Ffmpeg) -> crate::Limits {
    crate::Limits { ffmpeg, ..Default::default() }
}

/// How many samples per channel ffmpeg decodes of it.
fn ffmpeg_samples(path: &Path) -> usize {
    let mut ffmpeg = std::process::Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(path).args(["-ac", "1", "-f", "s16le", "-"]);
    let output = ffmpeg.output().expect("ffmpeg is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.len() / 2
}

/// The same pseudo-random numbers in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

/// A speech-like signal: a few moving tones that swell and fade.
fn tones(frames: usize, channels: usize, sample_rate: u32) -> Vec<i16> {
    let rate = f64::from(sample_rate);
    (0..frames * channels)
        .map(|i| {
            let (time, channel) = ((i / channels) as f64 / rate, (i % channels) as f64);
            let swell = (time * 3.0 + channel).sin().abs();
            let tone = (time * (220.0 + 40.0 * channel) * TAU).sin() + (time * 470.0 * TAU).sin() * 0.5;
            (tone * swell * 9_000.0) as i16
        })
        .collect()
}

/// A minimal WAVE file of 16-bit samples.
fn wav(samples: &[i16], channels: u16, sample_rate: u32) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    wav_of(1, 16, channels, sample_rate, channels * 2, &data)
}

/// A minimal WAVE file of any coding.
fn wav_of(tag: u16, bits: u16, channels: u16, sample_rate: u32, block_align: u16, data: &[u8]) -> Vec<u8> {
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(sample_rate.to_le_bytes());
    file.extend((sample_rate * u32::from(block_align)).to_le_bytes());
    file.extend(block_align.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// A file in a folder of its own that goes when the test does.
fn file_of(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// A file to write to and to read back.
fn new_file(path: &Path) -> std::fs::File {
    std::fs::File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap()
}
