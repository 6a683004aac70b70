//! An ffmpeg that is not there, hangs, floods, dies or cannot: the recording's own trouble, and nobody else's.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::*;
use crate::{Ffmpeg, Limit, Limits, Measured, measure_within};

/// A second of 8 kHz as the real one would write it.
const HEADER: &str = r"printf '.snd\0\0\0\040\377\377\377\377\0\0\0\003\0\0\037\100\0\0\0\001\0\0\0\0\0\0\0\0'";

/// A program in the place of ffmpeg.
struct Impostor {
    folder: tempfile::TempDir,
}

impl Impostor {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (draft, program) = (folder.path().join("draft"), folder.path().join("ffmpeg"));
        std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&draft, PermissionsExt::from_mode(0o755)).unwrap();
        // Copied by another process: one that this process had open for writing might still be open in a child of
        // another test, and could not be started.
        assert!(
            std::process::Command::new("cp")
                .args(["-p".as_ref(), draft.as_os_str(), program.as_os_str()])
                .status()
                .unwrap()
                .success()
        );
        Self { folder }
    }

    fn limits(&self) -> Limits {
        Limits { ffmpeg_time: Duration::from_secs(20), ..with(Ffmpeg::At(self.folder.path().join("ffmpeg"))) }
    }

    fn measure(&self) -> Result<Measured, Error> {
        measure(&self.limits())
    }
}

fn measure(limits: &Limits) -> Result<Measured, Error> {
    let path = fixtures_dir().join("codecs/bcg729.g729");
    measure_within(limits, &path, "out-15551234567.g729")
}

fn processes_called(argument: &str) -> usize {
    let tell = |entry: std::fs::DirEntry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(tell);
    all.filter(|line| String::from_utf8_lossy(line).contains(argument)).count()
}

/// Those that are ended but for the last instructions may still be seen for a moment.
fn are_gone(argument: &str) -> bool {
    let began = Instant::now();
    while processes_called(argument) > 0 {
        if began.elapsed() > Duration::from_secs(10) {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn without_an_ffmpeg_the_recording_says_why_it_is_not_decoded() {
    let told = |ffmpeg| match measure(&with(ffmpeg)) {
        Err(error @ Error::Unsupported { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(told(Ffmpeg::Missing), "cannot decode G.729: no ffmpeg is installed");
    assert_eq!(told(Ffmpeg::Off), "cannot decode G.729: no ffmpeg is used");
    let gone = told(Ffmpeg::At("/nowhere/ffmpeg".into()));
    assert!(gone.starts_with("cannot decode G.729: the ffmpeg that is configured cannot be started"), "{gone}");
    assert_eq!("none".parse(), Ok(Ffmpeg::Off));
    assert_eq!("/opt/ffmpeg".parse(), Ok(Ffmpeg::At("/opt/ffmpeg".into())));
    assert!("ffmpeg".parse::<Ffmpeg>().is_err());
}

#[test]
fn it_learns_neither_names_nor_the_environment() {
    let nosy = Impostor::new(&format!(
        "case \"$*\" in *1555*|*codecs*) exit 1;; esac\nIFS= read -r seen </proc/$$/environ\n[ -z \"$seen\" ] || exit 1\n{HEADER}\nprintf '\\0\\001\\0\\002'"
    ));
    let measured = nosy.measure().unwrap();
    assert_eq!((measured.samples_per_channel, measured.truncated), (2, false));
    assert_eq!(measured.source_format, "raw/g729");
}

#[test]
fn one_that_hangs_is_ended_with_all_that_it_has_started() {
    let hanging = Impostor::new(&format!("{HEADER}\nprintf '\\0\\001'\n/bin/sleep 4711.25 &\n/bin/sleep 4711.25"));
    let began = Instant::now();
    let limits = Limits { ffmpeg_time: Duration::from_millis(400), ..hanging.limits() };
    let measured = measure(&limits).unwrap();
    assert_eq!((measured.samples_per_channel, measured.truncated), (1, true));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(are_gone("4711.25"));
    // Before it has said anything.
    let mute = Impostor::new("/bin/sleep 4711.75");
    let error = measure_error(&Limits { ffmpeg_time: Duration::from_millis(400), ..mute.limits() });
    assert_eq!(error, "damaged: G.729: ffmpeg took too long");
    assert!(are_gone("4711.75"));
}

fn measure_error(limits: &Limits) -> String {
    measure(limits).unwrap_err().to_string()
}

#[test]
fn one_that_is_no_longer_read_is_ended() {
    let endless = Impostor::new(&format!("{HEADER}\n/bin/cat /dev/zero\n/bin/sleep 4712.25"));
    let path = fixtures_dir().join("codecs/bcg729.g729");
    let mut opened = decode::open(&path, "a.g729", &endless.limits()).unwrap();
    let mut block = Vec::new();
    opened.source.next_block(&mut block).unwrap();
    assert!(!block.is_empty() && processes_called(&endless.folder.path().to_string_lossy()) > 0);
    drop(opened);
    assert!(are_gone(&endless.folder.path().to_string_lossy()));
}

#[test]
fn audio_without_an_end_is_cut_off() {
    let endless = Impostor::new(&format!("{HEADER}\nexec /bin/cat /dev/zero"));
    let limits = Limits { longest: Duration::from_secs(60), ..endless.limits() };
    assert!(matches!(measure(&limits), Err(Error::Exceeded(Limit::Length))));
    assert!(are_gone(&endless.folder.path().to_string_lossy()));
}

#[test]
fn one_that_hangs_does_not_outlast_the_pass() {
    let mute = Impostor::new("/bin/sleep 4713.25");
    let late = Limits { deadline: Some(Instant::now() + Duration::from_millis(300)), ..mute.limits() };
    assert!(matches!(measure(&late), Err(Error::Exceeded(Limit::Time))));
    let stopped = mute.limits();
    let stop = stopped.stop.clone();
    let stopping = std::thread::spawn(move || {
        while processes_called("4713.25") == 0 {
            std::thread::yield_now();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(matches!(measure(&stopped), Err(Error::Stopped)));
    stopping.join().unwrap();
    assert!(are_gone("4713.25"));
}

#[test]
fn one_that_floods_with_messages_or_fails_in_the_middle_is_not_believed_to_be_whole() {
    let noisy =
        format!("/usr/bin/yes lost >&2 &\nyes=$!\n{HEADER}\nprintf '\\0\\001'\n/bin/sleep 0.2\nkill $yes\nexit");
    for (script, name) in [(noisy, "flood"), (format!("{HEADER}\nprintf '\\0\\001'\nexit 3"), "failure")] {
        let measured = Impostor::new(&script).measure().unwrap();
        assert_eq!((measured.samples_per_channel, measured.truncated), (1, true), "{name}");
    }
    let error = Impostor::new("echo 'broken: \u{7}header' >&2; exit 1").measure().unwrap_err();
    assert_eq!(error.to_string(), "damaged: G.729: ffmpeg says \"broken: header\"");
    let error = Impostor::new("echo 'Unknown input format: g729' >&2; exit 1").measure().unwrap_err();
    assert!(matches!(&error, Error::Unsupported { what } if what.contains("no decoder")), "{error}");
    let error = Impostor::new("exit 4").measure().unwrap_err();
    assert_eq!(error.to_string(), "damaged: G.729: ffmpeg ended with exit status: 4");
}

#[test]
fn it_gets_no_more_memory_than_it_may_have_and_writes_no_file() {
    let starved = Limits { ffmpeg_memory_bytes: 64 << 20, ..with_ffmpeg() };
    assert!(matches!(measure(&starved), Err(Error::Damaged { .. })));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made");
    // The file may come into being; a byte in it may not.
    let writing =
        Impostor::new(&format!("/bin/sleep 0.1\n/bin/echo bytes >{}\n{HEADER}\nprintf '\\0\\001'", file.display()));
    let _outcome = writing.measure();
    assert_eq!(std::fs::metadata(&file).map_or(0, |file| file.len()), 0);
}

/// ffmpeg knows no comfort noise in AMR, and would leave it out without a word in the samples.
#[test]
fn what_it_complains_of_is_flagged() {
    let mut bytes = std::fs::read(fixtures_dir().join("codecs/opencore.amr")).unwrap();
    // A frame of comfort noise (RFC 4867 §5.3): type 8, good, 39 bits.
    bytes.splice(6..6, [0x44, 1, 2, 3, 4, 5]);
    let (_folder, path) = file_of("a.amr", &bytes);
    let measured = measure_within(&with_ffmpeg(), &path, "a.amr").unwrap();
    assert!(measured.truncated);
}

/// RFC 3952 has a header; Asterisk writes none.
#[test]
fn a_part_of_a_frame_is_flagged_where_there_is_no_header() {
    let limits = with_ffmpeg();
    for (name, frame, samples) in [("bcg729.g729", 10, 80), ("pjsip.ilbc", 50, 240), ("pjsip.ilbc20", 38, 160)] {
        let bytes = std::fs::read(fixtures_dir().join("codecs").join(name)).unwrap();
        let (_folder, path) = file_of(name, &bytes[..10 * frame + 3]);
        let measured = measure_within(&limits, &path, name).unwrap();
        assert!(measured.truncated && (10 * samples..=11 * samples).contains(&measured.samples_per_channel), "{name}");
    }
}

/// A leg for each track: with one of them alone the recording would not be whole.
#[test]
fn a_recording_of_several_tracks_is_never_taken_for_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, codec) in [
        ("two.mka", "libvorbis"),
        ("opus.mka", "libopus"),
        ("two.m4a", "aac"),
        ("two.ogg", "libvorbis"),
        ("two.opus", "libopus"),
        ("two.wma", "wmav2"),
        ("two.mka", "ac3"),
    ] {
        let path = folder.path().join(name);
        let made = format!(
            "-nostdin -v error -y -f lavfi -i sine=d=2 -f lavfi -i sine=f=900:d=2 -map 0:a -map 1:a -ac 1 -ar 48000 \
             -strict -2 -c:a {codec} @"
        );
        every_codec::run("ffmpeg", &made, &[&path]);
        let measured = measure_within(&with_ffmpeg(), &path, name);
        assert!(!matches!(&measured, Ok(measured) if !measured.truncated), "{name}: {measured:?}");
    }
}

/// ffmpeg would not say a word.
#[test]
fn an_ogg_file_that_is_cut_between_two_pages_is_flagged() {
    let bytes = std::fs::read(fixtures_dir().join("codecs/libspeex.spx")).unwrap();
    let last = bytes.windows(4).rposition(|four| four == b"OggS").unwrap();
    for (len, truncated) in [(bytes.len(), false), (last, true)] {
        let (_folder, path) = file_of("a.spx", &bytes[..len]);
        assert_eq!(measure_within(&with_ffmpeg(), &path, "a.spx").unwrap().truncated, truncated);
    }
}
