//! Other rates and channels, in the same pass as everything else.

use std::io::Cursor;

use super::round_trip::correlation;
use super::*;
use crate::{Channels, EncodeSettings, Format, Tags, Transcoded, measure, transcode};

const RATES: [u32; 8] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// The signal as a WAVE file at another rate.
fn resampled(signal: &[i16], channels: u16, from: u32, to: u32) -> (Transcoded, Vec<i16>) {
    let (_folder, source) = file_of("source.wav", &wav(signal, channels, from));
    let settings = EncodeSettings { sample_rate: Some(to), ..EncodeSettings::at(Format::Wav, 0) };
    let mut sink = Cursor::new(Vec::new());
    let done = transcode(&source, "source.wav", &mut sink, &settings, &Tags::default()).unwrap();
    let (_folder, path) = file_of("kept", &sink.into_inner());
    let (probe, all) = samples(&path, "kept").unwrap();
    assert_eq!((probe.sample_rate, probe.channels), (to, channels));
    (done, all)
}

fn tone(hertz: f64, rate: u32, frames: usize) -> Vec<i16> {
    (0..frames).map(|i| ((i as f64 / f64::from(rate) * hertz * TAU).sin() * 10_000.0).round() as i16).collect()
}

fn level_db(signal: &[i16]) -> f64 {
    let mean = signal.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / signal.len() as f64;
    10.0 * (mean.max(1e-9) / (10_000.0f64.powi(2) / 2.0)).log10()
}

#[test]
fn point_3_a_recording_is_resampled_only_where_it_is_asked_for() {
    let (_folder, cd) = file_of("cd.wav", &wav(&tones(44_100, 2, 44_100), 2, 44_100));
    let opus = EncodeSettings::at(Format::Opus, 32_000);
    let mut sink = Cursor::new(Vec::new());
    let refused = transcode(&cd, "cd.wav", &mut sink, &opus, &Tags::default()).unwrap_err();
    assert_eq!(refused.to_string(), "opus cannot carry 44100 Hz");
    let asked = EncodeSettings { sample_rate: Some(Format::Opus.rate_for(44_100)), ..opus };
    let done = transcode(&cd, "cd.wav", &mut sink, &asked, &Tags::default()).unwrap();
    assert_eq!((done.sample_rate, done.samples_per_channel, done.duration_ms), (48_000, 48_000, 1_000));
    let (_folder, kept) = file_of("kept", &sink.into_inner());
    let again = measure(&kept, "kept").unwrap();
    assert_eq!((again.sample_rate, again.channels, again.samples_per_channel), (48_000, 2, 48_000));
    for rate in RATES {
        let (done, all) = resampled(&tones(5_000, 1, rate), 1, rate, rate);
        assert_eq!(done.sample_rate, rate);
        assert!(all == tones(5_000, 1, rate), "{rate}: the same rate changes nothing");
    }
}

#[test]
fn point_3_what_is_resampled_lasts_as_long_to_the_nearest_sample() {
    for from in RATES {
        for to in RATES {
            for frames in [1, 2, 7, 999, 1_024, 10_007] {
                let (done, all) = resampled(&tones(frames, 1, from), 1, from, to);
                let exact = frames as f64 * f64::from(to) / f64::from(from);
                assert_eq!(all.len(), exact.round().max(1.0) as usize, "{frames} frames of {from} at {to}");
                assert_eq!(done.samples_per_channel, all.len() as u64);
            }
        }
    }
}

#[test]
fn point_3_a_tone_keeps_its_pitch_its_level_and_its_place() {
    for from in RATES {
        for to in RATES {
            let highest = f64::from(from.min(to)) * 0.45;
            for hertz in [300.0, 1_000.0, highest] {
                let (_, all) = resampled(&tone(hertz, from, from as usize), 1, from, to);
                let exact = tone(hertz, to, to as usize);
                // The filter sees silence before and after: not the edges.
                let middle = to as usize / 10..to as usize * 9 / 10;
                let error: Vec<i16> = all[middle.clone()].iter().zip(&exact[middle]).map(|(a, b)| a - b).collect();
                let error = level_db(&error);
                assert!(error < -45.0, "{hertz} Hz of {from} at {to}: the error is at {error:.0} dB");
            }
        }
    }
}

#[test]
fn point_3_what_the_new_rate_cannot_carry_is_gone_and_comes_back_as_nothing_else() {
    for from in RATES {
        for to in RATES.into_iter().filter(|&to| to < from) {
            for share in [0.54, 0.7, 0.9, 1.0] {
                let hertz = f64::from(to) * share;
                if hertz < f64::from(from) * 0.49 {
                    let (_, all) = resampled(&tone(hertz, from, from as usize), 1, from, to);
                    let left = level_db(&all[to as usize / 10..to as usize * 9 / 10]);
                    assert!(left < -70.0, "{hertz} Hz of {from} at {to}: {left:.0} dB are left");
                }
            }
        }
    }
}

#[test]
fn point_3_speech_keeps_its_place_in_every_channel_and_format() {
    let fixture = fixture("1795246803.32.raw");
    let (_, source) = samples(&fixture.path(), &fixture.hint()).unwrap();
    for format in Format::ALL {
        let settings = EncodeSettings { sample_rate: Some(16_000), ..EncodeSettings::at(format, 64_000) };
        let mut sink = Cursor::new(Vec::new());
        let done = transcode(&fixture.path(), &fixture.hint(), &mut sink, &settings, &Tags::default()).unwrap();
        assert_eq!((done.channels, done.samples_per_channel), (2, source.len() as u64));
        let (_folder, path) = file_of("kept", &sink.into_inner());
        let (_, wide) = samples(&path, "kept").unwrap();
        for channel in 0..2 {
            let narrow: Vec<i16> = source.iter().skip(channel).step_by(2).copied().collect();
            let every_other: Vec<i16> = wide.iter().skip(channel).step_by(4).copied().collect();
            let (likeness, shift) = correlation(&narrow, &every_other);
            assert!(likeness > 0.9 && shift.abs() <= 1, "{format} {channel}: {likeness} at {shift}");
        }
    }
}

#[test]
fn point_3_channels_are_mixed_and_resampled_in_the_same_pass() {
    let (_folder, source) = file_of("source.wav", &wav(&tones(44_100, 4, 44_100), 4, 44_100));
    let settings = EncodeSettings {
        channels: Channels::MixDown,
        sample_rate: Some(8_000),
        ..EncodeSettings::at(Format::Mp3, 32_000)
    };
    let mut sink = Cursor::new(Vec::new());
    let done = transcode(&source, "source.wav", &mut sink, &settings, &Tags::default()).unwrap();
    assert_eq!((done.channels, done.sample_rate, done.samples_per_channel), (1, 8_000, 8_000));
    let (_folder, kept) = file_of("kept", &sink.into_inner());
    let again = measure(&kept, "kept").unwrap();
    assert_eq!((again.channels, again.sample_rate, again.samples_per_channel), (1, 8_000, 8_000));
}

#[test]
fn a_ratio_that_would_take_memory_is_refused() {
    let (_folder, odd) = file_of("odd.wav", &wav(&tones(1_000, 1, 44_101), 1, 44_101));
    let settings = EncodeSettings { sample_rate: Some(48_000), ..EncodeSettings::at(Format::Opus, 32_000) };
    let mut sink = Cursor::new(Vec::new());
    let refused = transcode(&odd, "odd.wav", &mut sink, &settings, &Tags::default()).unwrap_err();
    assert_eq!(refused.to_string(), "opus cannot carry 44101 Hz at 48000 Hz");
    assert!(sink.into_inner().is_empty());
}
