//! No recording takes more time, audio or bytes than it may.

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::{EncodeSettings, Format, Limit, Limits, Tags, measure_within, transcode_within};

/// A recording of years, and a file system that has room for it.
fn endless() -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = file_of("a.sln", b"");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
    (folder, path)
}

fn encode(path: &Path, format: Format, limits: &Limits) -> (Result<u64, Error>, usize) {
    let mut sink = Cursor::new(Vec::new());
    let settings = EncodeSettings::at(format, 32_000);
    let done = transcode_within(limits, path, "a.sln", &mut sink, &settings, &Tags::default());
    (done.map(|done| done.duration_ms), sink.into_inner().len())
}

#[test]
fn an_endless_recording_ends_at_its_deadline() {
    let (_folder, path) = endless();
    let began = Instant::now();
    let limits = Limits { deadline: Some(began + Duration::from_millis(200)), ..Limits::default() };
    assert!(matches!(measure_within(&limits, &path, "a.sln"), Err(Error::Exceeded(Limit::Time))));
    assert!(matches!(encode(&path, Format::Mp3, &limits).0, Err(Error::Exceeded(Limit::Time))));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn an_endless_recording_ends_at_the_longest_length() {
    let (_folder, path) = endless();
    let limits = Limits { longest: Duration::from_secs(60), ..Limits::default() };
    assert!(matches!(measure_within(&limits, &path, "a.sln"), Err(Error::Exceeded(Limit::Length))));
    for format in Format::ALL {
        let (done, written) = encode(&path, format, &limits);
        assert!(matches!(done, Err(Error::Exceeded(Limit::Length))), "{format}");
        assert!(written <= 60 * 16_000 + 64 * 1_024, "{format}: {written}");
    }
}

#[test]
fn a_recording_of_just_the_longest_length_is_whole() {
    let (_folder, path) = file_of("a.sln", &[1; 2 * 8_000 * 10]);
    let limits = |ms| Limits { longest: Duration::from_millis(ms), ..Limits::default() };
    assert_eq!(encode(&path, Format::Wav, &limits(10_000)).0.unwrap(), 10_000);
    assert!(matches!(encode(&path, Format::Wav, &limits(9_999)).0, Err(Error::Exceeded(Limit::Length))));
}

#[test]
fn no_more_bytes_are_written_than_may_be() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let noise: Vec<u8> = (0..2_000_000).map(|_| dice.roll(256) as u8).collect();
    let (_folder, path) = file_of("a.sln", &noise);
    let limits = Limits { most_written_bytes: 200_000, ..Limits::default() };
    for format in Format::ALL {
        let (done, written) = encode(&path, format, &limits);
        assert!(matches!(done, Err(Error::Exceeded(Limit::Written))), "{format}: {done:?}");
        assert!((1..=200_000).contains(&written), "{format}: {written}");
    }
}

#[test]
fn a_recording_ends_when_its_pass_is_told_to_stop() {
    let (_folder, path) = endless();
    let stop: std::sync::Arc<AtomicBool> = Default::default();
    let limits = Limits { longest: Duration::MAX, stop: stop.clone(), ..Limits::default() };
    let pass = std::thread::spawn(move || encode(&path, Format::Mp3, &limits).0);
    assert!(!pass.is_finished());
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(pass.join().unwrap(), Err(Error::Stopped)));
}

/// A decoder makes the end of the file, or damage, of a read that is refused; the pass must not.
#[test]
fn a_limit_is_never_taken_for_damage() {
    let limits = Limits { stop: std::sync::Arc::new(AtomicBool::new(true)), ..Limits::default() };
    for fixture in manifest().iter().filter(|fixture| fixture.is_decodable()) {
        let refused = measure_within(&limits, &fixture.path(), &fixture.hint());
        assert!(matches!(refused, Err(Error::Stopped)), "{}: {refused:?}", fixture.file);
    }
    let late = Limits { deadline: Some(Instant::now()), ..Limits::default() };
    for entry in std::fs::read_dir(fixtures_dir().join("codecs")).unwrap() {
        let path = entry.unwrap().path();
        let refused = measure_within(&late, &path, &path.to_string_lossy());
        assert!(matches!(refused, Err(Error::Exceeded(Limit::Time))), "{}: {refused:?}", path.display());
    }

    for fixture in manifest().iter().filter(|fixture| fixture.is_decodable()) {
        let limits = Limits::default();
        let mut opened = decode::open(&fixture.path(), &fixture.hint(), &limits).unwrap();
        limits.stop.store(true, Ordering::Relaxed);
        let refused = opened.source.next_block(&mut Vec::new());
        assert!(matches!(refused, Err(Error::Stopped)), "{}: {refused:?}", fixture.file);
    }
}
