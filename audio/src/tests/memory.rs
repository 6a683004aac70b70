//! An hour of audio takes no more memory than a minute of it.

use super::*;
use std::time::Duration;

use crate::{EncodeSettings, Format, Limits, Tags, convert, measure, measure_within, transcode};

/// The most memory that this process ever had, in KiB.
pub(super) fn peak_resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Tells the child from the parent.
const ALONE: &str = "FONOTECA_TEST_ALONE";
/// Address space of the child, in KiB: to ask for more ends it, even for memory that is never touched.
const SPACE_KIB: u64 = 1_024 * 1_024;
/// Memory of it that was ever touched: a small part of what a header can promise.
const MOST_KIB: u64 = 48 * 1_024;

/// Runs a test of this file in a process of its own, since what other tests hold at the same time is not ours; tells
/// whether this is that process.
fn is_alone(name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = std::process::Command::new("sh");
    child.args(["-c", &format!("ulimit -v {SPACE_KIB} && exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    let name = format!("tests::memory::{name}");
    let output =
        child.args(["--exact", &name, "--nocapture"]).env(ALONE, "1").env("RUST_BACKTRACE", "0").output().unwrap();
    let (told, cried) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let end = cried.len().saturating_sub(4_000);
    assert!(output.status.success() && told.contains("1 passed"), "{told}\n{}", cried.get(end..).unwrap_or(&cried));
    false
}

/// An hour of 8 kHz is 57.6 MB as it is read and 115 MB as FLAC's 32-bit samples.
#[test]
fn an_hour_is_encoded_and_decoded_in_the_memory_of_a_minute() {
    if !is_alone("an_hour_is_encoded_and_decoded_in_the_memory_of_a_minute") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let minute = recording_of(60, &folder.path().join("minute.sln"));
    let hour = recording_of(3_600, &folder.path().join("hour.sln"));
    Format::ALL.into_iter().for_each(|format| encode(&minute, format, 60));
    resample_to_a_stream(&minute, 60);
    let before = peak_resident_kib();
    Format::ALL.into_iter().for_each(|format| encode(&hour, format, 3_600));
    resample_to_a_stream(&hour, 3_600);
    let grown = peak_resident_kib() - before;
    assert!(grown < 4 * 1_024, "{grown} KiB more for an hour than for a minute");
}

fn recording_of(seconds: usize, path: &Path) -> PathBuf {
    let second: Vec<u8> = tones(8_000, 1, 8_000).iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut file = std::fs::File::create(path).unwrap();
    (0..seconds).for_each(|_| std::io::Write::write_all(&mut file, &second).unwrap());
    path.to_owned()
}

fn resample_to_a_stream(path: &Path, seconds: u64) {
    let settings = EncodeSettings { sample_rate: Some(44_100), ..EncodeSettings::ARCHIVE };
    let mut sink = std::io::sink();
    let done = convert(File::open(path).unwrap(), "a.sln", &mut sink, &settings, &Tags::default()).unwrap();
    assert_eq!(done.samples_per_channel, seconds * 44_100);
}

fn encode(path: &Path, format: Format, seconds: u64) {
    let settings = EncodeSettings::at(format, 24_000);
    let kept = path.with_extension("kept");
    let done = transcode(path, "a.sln", &mut new_file(&kept), &settings, &Tags::default()).unwrap();
    assert_eq!((done.duration_ms, done.source.bytes), (seconds * 1_000, seconds * 16_000));
    let again = measure(&kept, "kept").unwrap();
    assert_eq!((again.duration_ms, again.source), (done.duration_ms, done.written));
}

/// Sizes, counts and lengths of 2³² or so, wherever a header could have one: nothing is taken at its word.
#[test]
fn fault_31_a_header_that_promises_four_billion_of_anything_gets_no_memory_for_it() {
    if !is_alone("fault_31_a_header_that_promises_four_billion_of_anything_gets_no_memory_for_it") {
        return;
    }
    const PROMISES: [[u8; 4]; 3] = [[0xff; 4], [0x7f, 0xff, 0xff, 0xff], [0xff, 0xff, 0xff, 0x7f]];
    let limits = Limits { longest: Duration::from_secs(600), ..Limits::default() };
    let folder = tempfile::tempdir().unwrap();
    let mut any_read = 0;
    for (name, whole, header) in one_of_each_container() {
        let path = folder.path().join(&name);
        for at in header.step_by(2) {
            for promise in PROMISES {
                let mut bytes = whole.clone();
                bytes[at..at + 4].copy_from_slice(&promise);
                mend_pages(&mut bytes);
                std::fs::write(&path, &bytes).unwrap();
                any_read += usize::from(measure_within(&limits, &path, &name).is_ok());
                let peak = peak_resident_kib();
                assert!(peak < MOST_KIB, "{peak} KiB for {promise:x?} at {at} of {name}");
            }
        }
    }
    assert!(any_read > 1_000, "only {any_read} could still be decoded: it is not only headers that are refused");
}

/// The first seconds of a recording in each container, and where its headers are.
fn one_of_each_container() -> Vec<(String, Vec<u8>, std::ops::Range<usize>)> {
    let mut all = Vec::new();
    let mut add = |name: &str, mut bytes: Vec<u8>, header: std::ops::Range<usize>| {
        bytes.truncate(12_000.max(header.end + 4));
        all.push((name.to_owned(), bytes, header));
    };
    for (end, header) in
        [("1795246782.0.wav", 0..60), (".au", 0..32), (".pcap", 0..120), ("-mix.mp3", 0..420), (".44.ogg", 0..400)]
    {
        let fixture = manifest().into_iter().find(|fixture| fixture.file.ends_with(end)).unwrap();
        add(&fixture.file.replace('/', "-"), std::fs::read(fixture.path()).unwrap(), header);
    }
    for (name, header) in [
        ("ffmpeg-ima.wav", 0..60),
        ("ffmpeg-mp3.wav", 0..90),
        ("ffmpeg-opus.webm", 0..500),
        ("ffmpeg-vorbis.mka", 0..600),
        ("ffmpeg.m4a", 0..48),
        ("ffmpeg.m4a", 8_000..9_250),
        ("ffmpeg.aac", 0..16),
    ] {
        add(name, std::fs::read(fixtures_dir().join("codecs").join(name)).unwrap(), header);
    }
    let source = fixture("073942-1795246782.0.wav");
    let tags = Tags { title: Some("a call".to_owned()), ..Tags::default() };
    for (format, header) in [(Format::Mp3, 0..200), (Format::Flac, 0..160), (Format::Opus, 0..200)] {
        let mut sink = std::io::Cursor::new(Vec::new());
        let settings = EncodeSettings::at(format, 24_000);
        transcode(&source.path(), &source.file, &mut sink, &settings, &tags).unwrap();
        add(&format!("ours.{format}"), sink.into_inner(), header);
    }
    all
}

/// Corrects the checksums of Ogg pages (RFC 3533 §6): a page that fails its own is not even looked at.
fn mend_pages(bytes: &mut [u8]) {
    let mut at = 0;
    while bytes.get(at..at + 4) == Some(b"OggS") && bytes.len() > at + 27 {
        let segments = usize::from(bytes[at + 26]);
        let Some(table) = bytes.get(at + 27..at + 27 + segments) else { return };
        let end = at + 27 + segments + table.iter().map(|&len| usize::from(len)).sum::<usize>();
        if end > bytes.len() {
            return;
        }
        bytes[at + 22..at + 26].fill(0);
        let sum = bytes[at..end].iter().fold(0u32, |sum, &byte| {
            (0..8).fold(sum ^ (u32::from(byte) << 24), |sum, _| (sum << 1) ^ ((sum >> 31) * 0x04c1_1db7))
        });
        bytes[at + 22..at + 26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}
