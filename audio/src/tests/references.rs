//! Codecs of telephony against the decoders of others, over short files in `tests/fixtures/codecs`.
//!
//! Hashes are FNV-1a of the samples, little-endian, as ffmpeg 5.1 decodes them, up to the count of a `fact` chunk.

use super::*;
use crate::measure;

fn reference(name: &str) -> PathBuf {
    fixtures_dir().join("codecs").join(name)
}

fn hash(samples: &[i16]) -> u64 {
    let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The file must decode to so many samples (all channels), with this hash.
fn assert_decodes(name: &str, source_format: &str, count: usize, expected: u64) {
    let path = reference(name);
    let measured = measure(&path, name).unwrap();
    assert_eq!(measured.source_format, source_format, "{name}");
    assert!(!measured.truncated && !measured.quality.stale_header, "{name}");
    let (_, all) = samples(&path, name).unwrap();
    assert_eq!(all.len(), count, "{name}");
    assert_eq!(hash(&all), expected, "{name}: {:#x}", hash(&all));
}

#[test]
fn adpcm_in_wav_decodes_as_another_decoder_does_bit_by_bit() {
    for (name, format, count, expected) in [
        ("ffmpeg-ima.wav", "wav/adpcm_ima_wav", 16_328, 0x6712_f183_5bc5_0c98),
        ("ffmpeg-ima-stereo.wav", "wav/adpcm_ima_wav", 32_544, 0xb395_6ca8_59b6_40f1),
        ("sox-ima.wav", "wav/adpcm_ima_wav", 16_002, 0x207d_ca1c_8dcc_33be),
        ("ffmpeg-ms.wav", "wav/adpcm_ms", 16_288, 0x533e_1fd0_d49e_4a13),
        ("ffmpeg-ms-stereo.wav", "wav/adpcm_ms", 32_384, 0xc05b_0718_1f1c_ce27),
        ("sox-ms-stereo.wav", "wav/adpcm_ms", 32_004, 0xc777_2106_64f6_5ee9),
        ("sox-gsm.wav", "wav/gsm_ms", 16_002, 0x2e5a_30fa_b537_1445),
        ("ffmpeg-g722.wav", "wav/adpcm_g722", 32_006, 0xa808_faf6_06b3_8794),
    ] {
        assert_decodes(name, format, count, expected);
    }
}

/// SpanDSP passes the test vectors of the ITU. ffmpeg does not: it rounds otherwise, and at 40 kbit/s drifts away.
#[test]
fn g726_decodes_at_every_rate_and_in_both_packings_as_spandsp_does_bit_by_bit() {
    for (rate, count, expected) in [
        (16, 16_000, 0xf0a4_448a_cd06_7d68),
        (24, 16_000, 0xcbc4_5857_ef2d_1a19),
        (32, 16_002, 0xbbae_581a_0499_ec77),
        (40, 16_001, 0xa062_6d6b_9491_1e36),
    ] {
        assert_decodes(&format!("spandsp-g726-{rate}.wav"), "wav/adpcm_g726", count, expected);
        assert_decodes(&format!("spandsp.g726-{rate}"), "raw/adpcm_g726le", count, expected);
    }
    assert_decodes("spandsp.g726aal2", "raw/adpcm_g726", 16_002, 0xbbae_581a_0499_ec77);
}

#[test]
fn mp3_in_wav_is_decoded_as_another_decoder_does() {
    let (_, all) = samples(&reference("ffmpeg-mp3.wav"), "ffmpeg-mp3.wav").unwrap();
    let (_, source) = samples(&caller_wideband(), "source.wav").unwrap();
    // ffmpeg 5.1 finds as many, the encoder's delay included.
    assert_eq!(all.len(), 33_408);
    let (likeness, _) = super::round_trip::correlation(&all[1_105..][..24_000], &source[..24_000]);
    assert!(likeness > 0.9, "{likeness}");
}

fn caller_wideband() -> PathBuf {
    fixture("b0bacf4dcdf82f11-cc4c8cc2.wav").path()
}

/// What the references were made of: two seconds of the caller, from the third on.
fn spoken() -> Vec<i16> {
    let (_, all) = samples(&fixture("073942-1795246782.0-in.wav").path(), "source.wav").unwrap();
    all[16_000..32_002].to_vec()
}

#[test]
fn dialogic_adpcm_is_decoded_and_stays_around_zero() {
    let fixture = fixture(".vox");
    let (_, all) = samples(&fixture.path(), &fixture.file).unwrap();
    for half_second in all.chunks_exact(4_000) {
        let mean = half_second.iter().map(|&sample| f64::from(sample)).sum::<f64>() / half_second.len() as f64;
        assert!(mean.abs() < 60.0, "{mean}");
    }
    let rms = (all.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / all.len() as f64).sqrt() / 32_768.0;
    assert!((rms - 0.0726).abs() < 0.001, "{rms}");
    // SoX rounds its steps otherwise than Asterisk, and drifts less than a high-pass takes out.
    let (_, all) = samples(&reference("sox.vox"), "sox.vox").unwrap();
    let (likeness, shift) = super::round_trip::correlation(&all, &spoken());
    assert!(likeness > 0.98 && shift == 0, "{likeness} {shift}");
}

/// What the wideband references were made of: the first two seconds of the caller.
fn spoken_wideband() -> Vec<i16> {
    let (_, all) = samples(&caller_wideband(), "source.wav").unwrap();
    all[..32_005].to_vec()
}

/// The file must last as long as its source but for the frame of the codec, and sound alike.
fn assert_sounds_like(name: &str, source_format: &str, channels: u16, source: &[i16], lead: usize, frame: usize) {
    let measured = measure(&reference(name), name).unwrap();
    assert_eq!((measured.source_format.as_str(), measured.channels), (source_format, channels), "{name}");
    assert!(!measured.truncated, "{name}");
    let (_, all) = samples(&reference(name), name).unwrap();
    let first: Vec<i16> =
        all.iter().skip(lead * usize::from(channels)).step_by(usize::from(channels)).copied().collect();
    let longer = first.len() as i64 - source.len() as i64;
    assert!((0..=frame as i64).contains(&longer), "{name}: {longer} samples longer");
    let (likeness, shift) = super::round_trip::correlation(source, &first[..source.len()]);
    assert!(likeness > 0.9 && shift.abs() < 8, "{name}: {likeness} at {shift}");
}

#[test]
fn aac_is_decoded_with_the_delay_of_its_encoder() {
    // The container says what to leave out at the start, but the demuxer does not read it.
    assert_sounds_like("ffmpeg.m4a", "mp4/aac", 1, &spoken_wideband(), 1_024, 1_024);
    assert_sounds_like("ffmpeg.aac", "adts/aac", 1, &spoken_wideband(), 1_024, 1_024);
}

#[test]
fn opus_and_vorbis_in_matroska_are_decoded() {
    assert_sounds_like("ffmpeg-opus.webm", "matroska/opus", 1, &spoken(), 0, 160);
    assert_sounds_like("ffmpeg-vorbis.mka", "matroska/vorbis", 2, &spoken_wideband(), 0, 1_024);
}
