//! Recordings as Asterisk and rtpengine leave them.

use super::*;
use crate::{Codec, Container, measure, probe};

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

#[test]
fn every_recording_of_the_corpus_lasts_as_long_as_the_manifest_says() {
    let mut failures = Vec::new();
    for fixture in manifest().iter().filter(|fixture| fixture.is_decodable()) {
        let tolerance = if fixture.codec == "mp3" { 0.1 } else { 0.01 };
        match measure(&fixture.path(), &fixture.hint()) {
            Ok(measured) => {
                let seconds = measured.samples_per_channel as f64 / f64::from(measured.sample_rate);
                let right = (seconds - fixture.duration_s).abs() <= tolerance
                    && (measured.sample_rate, measured.channels) == (fixture.sample_rate, fixture.channels)
                    // What is in brackets explains the name.
                    && measured.source_format == format!("{}/{}", fixture.container, first_word(&fixture.codec));
                if !right {
                    failures.push(format!("{}: {seconds} s, {}", fixture.file, measured.source_format));
                }
            }
            Err(error) => failures.push(format!("{}: {error}", fixture.file)),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_finished_recording_is_whole_and_every_copy_in_progress_is_flagged() {
    for fixture in manifest().iter().filter(|fixture| fixture.is_decodable()) {
        let quality = measure(&fixture.path(), &fixture.hint()).unwrap().quality;
        let unfinished = ["in-progress snapshot", "truncated"].contains(&fixture.kind.as_str());
        assert_eq!(quality.truncated || quality.stale_header, unfinished, "{}", fixture.file);
    }
}

#[test]
fn what_is_not_decoded_is_told_apart_from_what_is_not_audio() {
    for (end, expected) in [
        (".spx", "there is no audio in the file"),
        ("1795246881.48.gsm", "there is no audio in the file"),
        ("1795246804.34.wav", "there is no audio in the file"),
    ] {
        let fixture = fixture(end);
        assert_eq!(measure(&fixture.path(), &fixture.file).unwrap_err().to_string(), expected, "{end}");
    }
    let manifest = fixtures_dir().join("MANIFEST.tsv");
    assert!(matches!(measure(&manifest, "MANIFEST.tsv"), Err(Error::NotAudio)));
    assert!(matches!(measure(&manifest, "renamed.wav"), Err(Error::NotAudio)));
}

#[test]
fn a_known_signature_wins_over_a_wrong_extension() {
    let fixture = fixture("out-102-101-20261121-073942-1795246782.0.wav");
    let mut file = std::fs::File::open(fixture.path()).unwrap();
    let probed = probe(&mut file, "renamed.ulaw").unwrap();
    assert_eq!((probed.container, probed.codec, probed.sample_rate), (Container::Wav, Codec::PcmS16Le, 8_000));
}

#[test]
fn the_callers_own_leg_is_not_silent_and_the_peaks_show_it() {
    let fixture = fixture("out-102-101-20261121-073942-1795246782.0-in.wav");
    let measured = measure(&fixture.path(), &fixture.file).unwrap();
    assert_eq!(measured.peaks.len(), crate::PEAK_BUCKETS);
    assert!(measured.peaks.iter().any(|&peak| peak > 40));
    assert!(!measured.quality.channels[0].silent && !measured.quality.one_way);
    assert!((-40.0..-10.0).contains(&measured.quality.channels[0].rms_dbfs));
}

#[test]
fn a_copy_in_progress_is_the_beginning_of_the_finished_recording() {
    for end in ["074043-1795246843.38.wav", "1795246844.40.WAV", "1795246845.42.gsm"] {
        let mut both = manifest().into_iter().filter(|fixture| fixture.file.ends_with(end));
        let (copy, finished) = (both.next().unwrap(), both.next().unwrap());
        let (_, copy) = samples(&copy.path(), &copy.hint()).unwrap();
        let (_, finished) = samples(&finished.path(), &finished.hint()).unwrap();
        assert!(copy.len() < finished.len(), "{end}");
        assert_eq!(copy, finished[..copy.len()], "{end}");
    }
}

/// A decoder that takes the wrong width, byte order or law makes noise, of which neighbouring samples do not resemble
/// each other.
#[test]
fn every_decoded_recording_sounds_like_speech() {
    for fixture in manifest().iter().filter(|fixture| fixture.is_decodable()) {
        let (probe, all) = samples(&fixture.path(), &fixture.hint()).unwrap();
        let channels = usize::from(probe.channels);
        let first: Vec<f64> = all.iter().step_by(channels).map(|&sample| f64::from(sample)).collect();
        let energy: f64 = first.iter().map(|sample| sample * sample).sum();
        let alike: f64 = first.windows(2).map(|pair| pair[0] * pair[1]).sum();
        // The unused channels of a four-channel mix are silent.
        assert!(energy == 0.0 || alike / energy > 0.5, "{}: {}", fixture.file, alike / energy);
    }
}

/// The hashes (FNV-1a of the samples, little-endian) are of ffmpeg 5.1's decoders, that of G.726 of SpanDSP's.
#[test]
fn the_codecs_of_telephony_decode_as_another_decoder_does_bit_by_bit() {
    for (end, expected) in [
        ("1795246783.4.gsm", 0xf86b_8733_cf44_8007),
        ("073942-1795246782.2.WAV", 0x4c63_b7df_3956_f38f),
        ("1795246784.6.g722", 0xac77_1339_d59f_9fcb),
        ("1795246787.14.ulaw", 0xe59d_5a5e_b547_3884),
        ("1795246787.16.alaw", 0x2e5f_01ed_b0fc_6f02),
        ("1795246801.26.au", 0xb08d_8b5d_d0a5_6c93),
        ("1795246800.22.g726-32", 0x875e_4995_8977_06ce),
    ] {
        let fixture = fixture(end);
        let (_, all) = samples(&fixture.path(), &fixture.file).unwrap();
        let bytes = all.iter().flat_map(|sample| sample.to_le_bytes());
        let hash =
            bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        assert_eq!(hash, expected, "{end}: {hash:#x}");
    }
}
