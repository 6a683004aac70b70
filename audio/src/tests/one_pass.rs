//! One pass over a recording yields everything that is to be known of it.

use std::io::Cursor;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::{Digest, EncodeSettings, Format, PEAK_BUCKETS, Tags, join_legs, measure, split_legs, transcode};

fn digest(bytes: &[u8]) -> Digest {
    Digest { sha256: Sha256::digest(bytes).into(), bytes: bytes.len() as u64 }
}

fn digest_of(fixture: &Fixture) -> Digest {
    digest(&std::fs::read(fixture.path()).unwrap())
}

/// Over all that core servers make: containers that are read in order and such as are not, with and without a header.
#[test]
fn one_pass_yields_the_bytes_both_hashes_the_length_the_peaks_and_the_quality() {
    for fixture in manifest().iter().filter(|fixture| fixture.is_decodable() && fixture.channels <= 2) {
        for format in Format::ALL {
            let name = format!("{format} of {}", fixture.file);
            let settings = EncodeSettings::at(format, 32_000);
            let mut sink = Cursor::new(Vec::new());
            let done = transcode(&fixture.path(), &fixture.hint(), &mut sink, &settings, &Tags::default()).unwrap();
            assert_eq!(done.source, digest_of(fixture), "{name}");
            assert_eq!(done.written, digest(sink.get_ref()), "{name}");
            assert_eq!(sink.position(), done.written.bytes, "{name}");
            assert_eq!((done.peaks.len(), done.right_leg), (PEAK_BUCKETS, None), "{name}");
            assert_eq!(done.quality.channels.len(), usize::from(done.channels), "{name}");
            let off = (done.samples_per_channel as f64 / f64::from(done.sample_rate)) - fixture.duration_s;
            assert!(off.abs() < 0.1, "{name}: {off} s off");

            let (_folder, kept) = file_of("kept", sink.get_ref());
            let again = measure(&kept, "kept").unwrap();
            assert_eq!((again.source, again.samples_per_channel), (done.written, done.samples_per_channel), "{name}");
        }
    }
}

#[test]
fn what_is_behind_the_audio_is_hashed_too() {
    let fixture = fixture("073942-1795246782.0.wav");
    let mut bytes = std::fs::read(fixture.path()).unwrap();
    bytes.extend(b"LIST\x04\0\0\0INFO");
    let (_folder, path) = file_of("a.wav", &bytes);
    let before = measure(&path, "a.wav").unwrap().source;
    assert_eq!(before, digest(&bytes));
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let after = measure(&path, "a.wav").unwrap().source;
    assert!(after == digest(&bytes) && after != before);
}

#[test]
fn each_leg_has_its_own_hash() {
    const WAV: EncodeSettings = EncodeSettings::at(Format::Wav, 0);
    let legs = ["1795246782.0-in.wav", "1795246787.16-out.alaw"].map(fixture);
    let paths = [legs[0].path(), legs[1].path()];
    let mut joined = Cursor::new(Vec::new());
    let (left, right) = ((&*paths[0], legs[0].file.as_str()), (&*paths[1], legs[1].file.as_str()));
    let done = join_legs(left, right, &mut joined, &WAV, &Tags::default()).unwrap();
    assert_eq!((done.source, done.right_leg), (digest_of(&legs[0]), Some(digest_of(&legs[1]))));
    assert_eq!(done.written, digest(joined.get_ref()));

    let (_folder, path) = file_of("a.wav", joined.get_ref());
    let mut sinks = vec![Cursor::new(Vec::new()); 2];
    let split = split_legs(&path, "a.wav", &mut sinks, &WAV, &Tags::default()).unwrap();
    for (leg, sink) in split.iter().zip(&sinks) {
        assert_eq!((leg.source, leg.written), (done.written, digest(sink.get_ref())));
    }
    assert_ne!(split[0].written, split[1].written);
}
