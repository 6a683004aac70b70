//! Every recording at every length, headers that lie, a day of audio, and what is none at all.

use std::time::{Duration, Instant};

use super::every_codec::{Made, make};
use super::*;
use crate::{Limits, measure, measure_within};

/// A tenth of a second of each container and codec that is decoded here.
#[rustfmt::skip]
const SMALL: &[Made] = &[
    Made::Ffmpeg(8_000, "-t 0.1 -c:a pcm_s16le", "pcm.wav"),
    Made::Ffmpeg(8_000, "-t 0.1 -ac 2 -c:a pcm_s24le", "pcm24.wav"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a pcm_alaw", "alaw.wav"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a libgsm_ms", "gsm.wav"),
    Made::Ffmpeg(8_000, "-t 0.2 -c:a adpcm_ima_wav -block_size 256", "ima.wav"),
    Made::Ffmpeg(8_000, "-t 0.2 -c:a adpcm_ms -block_size 256", "ms.wav"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a g726 -b:a 24k", "g726.wav"),
    Made::Ffmpeg(16_000, "-t 0.1 -c:a g722", "g722.wav"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a libmp3lame", "mp3.wav"),
    Made::Ffmpeg(8_000, "-t 0.1 -rf64 always -c:a pcm_s16le", "large.wav"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a pcm_s16le", "a.w64"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a pcm_s16be", "a.au"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a pcm_s16be", "a.aiff"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a pcm_s16be", "a.caf"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a alac", "alac.caf"),
    Made::Ffmpeg(8_000, "-t 0.1 -f mulaw", "a.ulaw"),
    Made::Ffmpeg(8_000, "-t 0.1 -f s16le", "a.sln"),
    Made::Ffmpeg(8_000, "-t 0.2 -c:a libgsm -f gsm", "a.gsm"),
    Made::Ffmpeg(16_000, "-t 0.1 -f g722", "a.g722"),
    Made::Sox(8_000, "-t vox", "a.vox"),
    Made::Ffmpeg(8_000, "-t 0.2 -c:a libopus -b:a 12k", "a.opus"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a libvorbis", "a.ogg"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a flac", "a.oga"),
    Made::Ffmpeg(8_000, "-t 0.1 -c:a flac", "a.flac"),
    Made::Ffmpeg(8_000, "-t 0.3 -c:a libmp3lame -b:a 16k", "a.mp3"),
    Made::Ffmpeg(16_000, "-t 0.2 -c:a aac -b:a 16k", "a.aac"),
    Made::Ffmpeg(16_000, "-t 0.2 -c:a aac -b:a 16k", "a.m4a"),
    Made::Ffmpeg(16_000, "-t 0.1 -c:a alac", "alac.m4a"),
    Made::Ffmpeg(16_000, "-t 0.2 -c:a libopus -b:a 12k", "a.webm"),
];

/// The name and the bytes of each, and of captures.
fn small() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = SMALL
        .iter()
        .map(|made| {
            let folder = tempfile::tempdir().unwrap();
            let path = make(made, folder.path());
            let mut bytes = std::fs::read(&path).unwrap();
            if path.extension().is_some_and(|extension| extension == "vox") {
                bytes.truncate(300);
            }
            (path.file_name().unwrap().to_string_lossy().into_owned(), bytes)
        })
        .collect();
    let capture = std::fs::read(fixture(".pcap").path()).unwrap();
    let capture = &capture[..24 + 10 * 216];
    all.push(("a.pcapng".to_owned(), captures::next_generation(capture)));
    all.push(("a.pcap".to_owned(), capture.to_vec()));
    all
}

/// Decodes; a panic, an error of the disk or more time than that is a fault.
fn count(path: &Path, name: &str, what: &dyn std::fmt::Display) -> Option<u64> {
    let began = Instant::now();
    let measured = measure(path, name);
    assert!(began.elapsed() < Duration::from_secs(60), "{name}, {what}: {:?}", began.elapsed());
    assert!(!matches!(measured, Err(Error::Io(_))), "{name}, {what}: {measured:?}");
    measured.ok().map(|measured| measured.samples_per_channel * u64::from(measured.channels))
}

#[test]
fn bad_input_cut_at_every_byte_is_never_longer_than_the_whole_one() {
    for (name, bytes) in small() {
        let (_folder, path) = file_of(&name, &bytes);
        let whole = count(&path, &name, &"whole").unwrap_or_else(|| panic!("{name} is decoded"));
        assert!(whole >= 600, "{name}: {whole}");
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for len in (0..bytes.len()).rev() {
            file.set_len(len as u64).unwrap();
            let part = count(&path, &name, &format_args!("{len} of {} bytes", bytes.len())).unwrap_or(0);
            assert!(part <= whole, "{name}: {part} samples in {len} bytes, {whole} in all of it");
        }
    }
}

#[test]
fn bad_input_with_wrong_sizes_in_its_header_is_never_more_than_an_error() {
    const LIES: [u32; 7] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xff, 0xffff_fffe, u32::MAX];
    for (name, bytes) in small() {
        let (_folder, path) = file_of(&name, &bytes);
        let whole = count(&path, &name, &"whole").unwrap();
        for at in 0..bytes.len().min(120) - 4 {
            for lie in LIES {
                let mut lying = bytes.clone();
                // Both byte orders are meant.
                lying[at..at + 4].copy_from_slice(&if at % 2 == 0 { lie.to_le_bytes() } else { lie.to_be_bytes() });
                std::fs::write(&path, &lying).unwrap();
                let found = count(&path, &name, &format_args!("{lie:#x} at byte {at}")).unwrap_or(0);
                // What it holds can be read as another codec or as more channels, but not out of nothing. Between
                // the packets of a capture there is silence.
                let silence = if name.starts_with("a.pcap") { 48 * 3_600 * 8_000 * 2 } else { 0 };
                assert!(
                    found <= whole.max(bytes.len() as u64 * 160) + silence,
                    "{name}: {found} samples with {lie:#x} at {at}"
                );
            }
        }
    }
}

/// One of them takes a process each time: some cuts must do.
#[test]
fn bad_input_for_ffmpeg_is_never_longer_than_the_whole_one() {
    let limits = with_ffmpeg();
    for name in ["bcg729.g729", "pjsip.ilbc", "libspeex.spx", "opencore.amr", "visualon.awb", "random-siren.wav"] {
        let bytes = std::fs::read(fixtures_dir().join("codecs").join(name)).unwrap();
        let (_folder, path) = file_of(name, &bytes);
        let whole = measure_within(&limits, &path, name).unwrap().samples_per_channel;
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for len in [bytes.len() - 1, bytes.len() / 2 + 1, 70, 30, 12, 7, 1, 0] {
            file.set_len(len as u64).unwrap();
            match measure_within(&limits, &path, name) {
                Ok(part) => assert!(part.samples_per_channel <= whole, "{name}: {len}"),
                Err(error) => assert!(!matches!(error, Error::Io(_)), "{name}, {len}: {error}"),
            }
        }
    }
}

#[test]
fn bad_input_that_is_text_or_nothing_is_told_apart_under_every_name() {
    let text = "Asterisk ended with exit status 0\n".repeat(100);
    for name in
        ["a.wav", "a.WAV", "a.mp3", "a.ogg", "a.opus", "a.flac", "a.au", "a.aiff", "a.caf", "a.pcap", "a.txt", "a"]
    {
        let (_folder, path) = file_of("a", text.as_bytes());
        let error = measure(&path, name).unwrap_err();
        // Of what the extension promises there is no sign, but it may be of a kind that is not known.
        assert!(matches!(error, Error::NotAudio | Error::Unsupported { .. }), "{name}: {error}");
        assert!(!name.to_lowercase().ends_with("wav") || matches!(error, Error::NotAudio), "{name}: {error}");
        let (_folder, path) = file_of("a", b"");
        assert!(matches!(measure(&path, name), Err(Error::Empty)), "{name}");
    }
}

/// The test's own name, and the variable that tells the child from the parent.
const NAME: &str = "tests::bad_input::bad_input_of_a_whole_day_takes_no_more_memory_than_a_minute";
const ALONE: &str = "FONOTECA_TEST_ALONE";

/// A day of 8 kHz is 1.4 GB as WAVE; the files have holes in the place of their silence.
#[test]
fn bad_input_of_a_whole_day_takes_no_more_memory_than_a_minute() {
    if std::env::var_os(ALONE).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let minute = 60 * 8_000;
    let day = 24 * 60 * minute;
    // Of two bytes a sample with a header, and of one without.
    let last = |seconds: u64| {
        let mut header = wav(&[], 1, 8_000);
        for at in [4, 40] {
            header[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        }
        for (name, head, bytes) in [("a.wav", header, 2), ("a.ulaw", Vec::new(), 1)] {
            let path = folder.path().join(name);
            std::fs::write(&path, &head).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_len(head.len() as u64 + seconds * bytes).unwrap();
            assert_eq!(drained(&path, name), seconds, "{name}");
        }
    };
    last(minute);
    let before = memory::peak_resident_kib();
    last(day);
    let grown = memory::peak_resident_kib() - before;
    assert!(grown < 2 * 1_024, "{grown} KiB more for a day than for a minute");
}

fn drained(path: &Path, name: &str) -> u64 {
    let mut source = decode::open(path, name, &Limits::default()).unwrap().source;
    let (mut samples, mut block) = (0, Vec::new());
    loop {
        source.next_block(&mut block).unwrap();
        if block.is_empty() {
            return samples;
        }
        samples += block.len() as u64;
    }
}
