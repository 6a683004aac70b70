//! What the targets share: recordings that lie in memory, and what must hold for any bytes.
//!
//! libFuzzer reports a panic, an input that takes longer than `-timeout` and memory beyond `-rss_limit_mb` by itself. What
//! is left to say is in [`sound`]: which errors there may be, and how much audio so many bytes may become.

use std::fs::File;
use std::io::Cursor;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use audio::{EncodeSettings, Error, Format, Limits, Measured, Tags};

/// Inputs are cut to this length: every header and several blocks of every codec fit.
pub const MAX_INPUT_BYTES: usize = 64 * 1024;
/// Samples, of all channels, that a byte becomes at most in the codecs without packets. GSM 06.10 has the most: 160 in 33
/// bytes, or 320 in 65.
pub const SAMPLES_PER_BYTE: u64 = 5;
/// The same where a packet or frame may say "as before": FLAC of eight channels has 65,535 × 8 samples in 34 bytes, Opus
/// 120 ms at 48 kHz of two channels in a byte and its length.
pub const SAMPLES_PER_BYTE_OF_PACKETS: u64 = 16 * 1024;

/// A file that lies in memory and is written anew for each input.
pub struct Recording {
    file: File,
    path: PathBuf,
}

impl Recording {
    /// An empty one.
    pub fn new() -> Self {
        let file = File::from(rustix::fs::memfd_create("recording", rustix::fs::MemfdFlags::CLOEXEC).expect("memory"));
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Self { file, path }
    }

    /// Replaces what is in it.
    pub fn holding(&self, bytes: &[u8]) -> &Path {
        self.file.set_len(0).expect("memory can be cut");
        self.file.write_all_at(bytes, 0).expect("memory can be written");
        &self.path
    }
}

impl Default for Recording {
    fn default() -> Self {
        Self::new()
    }
}

thread_local! {
    static SOURCE: Recording = Recording::new();
    static RESULT: Recording = Recording::new();
}

/// Measures `bytes` under a name; `None` if they are refused.
///
/// # Panics
/// If what comes out is not [`sound`].
pub fn measure(bytes: &[u8], name: &str, samples_per_byte: u64) -> Option<Measured> {
    let bytes = tamed(bytes);
    let result = SOURCE.with(|source| audio::measure_within(&limits(), source.holding(&bytes), name));
    let measured = sound(result)?;
    let samples = measured.samples_per_channel * u64::from(measured.channels);
    assert!(samples <= bytes.len() as u64 * samples_per_byte, "{samples} samples out of {} bytes", bytes.len());
    assert_eq!(measured.quality.channels.len(), usize::from(measured.channels));
    assert_eq!(measured.peaks.len(), audio::PEAK_BUCKETS);
    Some(measured)
}

/// Transcodes `bytes` under a name into memory; `None` if they are refused.
///
/// # Panics
/// If what comes out does not decode to exactly what went in.
pub fn transcode(bytes: &[u8], name: &str, settings: &EncodeSettings, tags: &Tags) -> Option<Vec<u8>> {
    let bytes = tamed(bytes);
    let mut sink = Cursor::new(Vec::new());
    let result = SOURCE.with(|source| audio::transcode(source.holding(&bytes), name, &mut sink, settings, tags));
    let done = sound(result)?;
    let written = sink.into_inner();
    check(&written, settings.format, (done.samples_per_channel, done.sample_rate, done.channels));
    Some(written)
}

/// Ten minutes of audio are more than any input needs. What a capture's times ask for beyond is refused.
fn limits() -> Limits {
    Limits { longest: Duration::from_secs(600), ..Limits::default() }
}

/// That `written` decodes to its last sample: so many for each channel, at this rate, of so many channels.
pub fn check(written: &[u8], format: Format, promised: (u64, u32, u16)) {
    let name = format!("written.{}", format.extension());
    let again = RESULT.with(|result| audio::measure(result.holding(written), &name));
    let again = again.unwrap_or_else(|error| panic!("what was written as {format} does not decode: {error}"));
    assert_eq!((again.samples_per_channel, again.sample_rate, again.channels), promised, "{format}");
    assert!(!again.truncated && !again.quality.stale_header, "{format} is said to be cut: {again:?}");
}

/// What was done, or `None` where the bytes were refused for what is wrong with them.
///
/// # Panics
/// If they are said to be unreadable: they lie in memory.
pub fn sound<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(Error::Io(error)) => panic!("an input/output error without input or output: {error}"),
        Err(_) => None,
    }
}

/// The bytes, or if they are a packet capture the same with its packets within a minute of each other (or so far apart
/// that they are left out): two packets may by design be two days of silence apart, which is no finding.
fn tamed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes[..bytes.len().min(MAX_INPUT_BYTES)].to_vec();
    let little_endian = match bytes.first_chunk() {
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => true,
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => false,
        _ => return bytes,
    };
    let nanoseconds = bytes[..4].contains(&0x4d);
    let mut at = 24;
    while let Some(head) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<16>()) {
        let mut word = |at: usize, mask: u32| {
            let four = head[at..].first_chunk_mut::<4>().expect("inside the header");
            let value = if little_endian { u32::from_le_bytes(*four) } else { u32::from_be_bytes(*four) } & mask;
            *four = if little_endian { value.to_le_bytes() } else { value.to_be_bytes() };
            value
        };
        word(0, 0x8000_003f);
        word(4, if nanoseconds { 0x3fff_ffff } else { 0xf_ffff });
        at = at.saturating_add(16 + word(8, u32::MAX) as usize);
    }
    bytes
}

/// A format and how to encode, as two bytes choose.
pub fn settings(format: u8, bitrate: u8) -> EncodeSettings {
    EncodeSettings {
        format: Format::ALL[usize::from(format) % Format::ALL.len()],
        bitrate_bps: u32::from(bitrate) * 2_000,
        ..EncodeSettings::default()
    }
}

/// The first `N` bytes, which choose, and the others.
pub fn choices<const N: usize>(data: &[u8]) -> Option<([u8; N], &[u8])> {
    data.split_first_chunk().map(|(choices, rest)| (*choices, rest))
}

/// Names of which the extension says what a headerless file is.
pub const RAW_NAMES: [&str; 24] = [
    "a.gsm",
    "a.g722",
    "a.g726-16",
    "a.g726-24",
    "a.g726-32",
    "a.g726-40",
    "a.g726aal2-16",
    "a.g726aal2-24",
    "a.g726aal2",
    "a.g726aal2-40",
    "a.vox",
    "a.vox;rate=6000",
    "a.ulaw",
    "a.alaw",
    "a.sln",
    "a.sln12",
    "a.sln16",
    "a.sln24",
    "a.sln32",
    "a.sln44",
    "a.sln48",
    "a.sln192",
    "a.raw;channels=2",
    "a.raw;rate=22050;channels=3",
];

/// Lets a panic in other people's decoders pass, which the crate contains and calls damage; one in ours ends the run.
/// libFuzzer's own hook would end it for both.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // What is nobody's file (of the standard library) is not caught anywhere, or it was theirs.
            let theirs = |file: &str| file.contains("/registry/src/") || file.starts_with("/rustc/");
            if !panic.location().is_some_and(|location| theirs(location.file())) {
                report(panic);
            }
        }));
    });
}
