//! Each number of a quality from a signal of which it is known.

use std::f64::consts::TAU;

use super::*;

const RATE: u32 = 8_000;

/// So many milliseconds of a sine of 400 Hz.
fn sine(ms: usize, amplitude: f64) -> Vec<i16> {
    (0..ms * 8).map(|i| (amplitude * (i as f64 * 400.0 / f64::from(RATE) * TAU).sin()).round() as i16).collect()
}

fn silence(ms: usize) -> Vec<i16> {
    vec![0; ms * 8]
}

/// So many milliseconds of noise of this level.
fn noise(ms: usize, dbfs: f64) -> Vec<i16> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    // Evenly spread between its bounds, noise has a third of their power.
    let bound = 10f64.powf(dbfs / 20.0) * 32_768.0 * 3f64.sqrt();
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..ms * 8).map(|_| ((next() * 2.0 - 1.0) * bound).round() as i16).collect()
}

fn of(channels: &[&[i16]]) -> Quality {
    let mut meter = Meter::new(RATE, channels.len() as u16);
    let frames: Vec<i16> = (0..channels[0].len()).flat_map(|i| channels.iter().map(move |leg| leg[i])).collect();
    // Blocks of no round length: windows must not depend on them.
    frames.chunks(997 * channels.len()).for_each(|block| meter.block(block));
    meter.finish(false, false)
}

fn mono(signal: &[i16]) -> ChannelQuality {
    of(&[signal]).channels.remove(0)
}

#[test]
fn the_level_is_that_of_the_signal() {
    for (amplitude, dbfs) in [(32_767.0, -3.01), (16_384.0, -9.03), (327.68, -43.01), (16.0, -69.3)] {
        let level = mono(&sine(1_000, amplitude)).rms_dbfs;
        assert!((level - dbfs).abs() < 0.1, "{level} instead of {dbfs}");
    }
    assert_eq!(mono(&silence(1_000)).rms_dbfs, FLOOR_DBFS);
    let square: Vec<i16> = (0..8_000).map(|i| if i % 2 == 0 { 8_000 } else { -8_000 }).collect();
    assert!((mono(&square).rms_dbfs + 12.25).abs() < 0.01);
}

#[test]
fn a_channel_of_comfort_noise_is_silent_and_a_quiet_speaker_is_not() {
    for (dbfs, silent) in [(-75.0, true), (-65.0, true), (-61.0, true), (-59.0, false), (-45.0, false)] {
        let quality = mono(&noise(2_000, dbfs));
        assert_eq!(quality.silent, silent, "{dbfs}: {}", quality.rms_dbfs);
    }
    // What an idle line sends in G.711: the smallest steps of A-law and µ-law.
    for step in [8, 4] {
        let idle: Vec<i16> = (0..16_000).map(|i| if i % 3 == 0 { step } else { -step }).collect();
        assert!(mono(&idle).silent, "{step}");
    }
}

#[test]
fn a_constant_offset_is_no_sound() {
    let hum: Vec<i16> = noise(2_000, -70.0).iter().map(|sample| sample + 900).collect();
    let quality = of(&[&hum]);
    assert!(quality.channels[0].silent && (quality.channels[0].rms_dbfs + 70.0).abs() < 1.0);
    assert_eq!(quality.longest_silence_ms, 2_000);
    let speech: Vec<i16> = sine(2_000, 4_000.0).iter().map(|sample| sample + 900).collect();
    assert!((mono(&speech).rms_dbfs - mono(&sine(2_000, 4_000.0)).rms_dbfs).abs() < 0.01);
}

#[test]
fn one_speaker_on_two_channels_is_one_way() {
    let (heard, nothing, hiss) = (sine(3_000, 5_000.0), silence(3_000), noise(3_000, -66.0));
    for (legs, one_way) in
        [([&heard, &nothing], true), ([&hiss, &heard], true), ([&heard, &heard], false), ([&hiss, &nothing], false)]
    {
        let quality = of(&[legs[0], legs[1]]);
        assert_eq!(quality.one_way, one_way);
        let silent = quality.channels.iter().map(|channel| channel.silent);
        assert!(silent.eq(legs.iter().map(|leg| **leg != heard)));
    }
    assert!(!of(&[&heard]).one_way, "mono cannot tell");
    // Each spoke once: long silences on both sides, but nobody was unheard.
    let (first, second) =
        ([sine(1_500, 5_000.0), silence(1_500)].concat(), [silence(1_500), sine(1_500, 5_000.0)].concat());
    let quality = of(&[&first, &second]);
    assert!(!quality.one_way && quality.longest_silence_ms == 0);
    assert!(quality.channels.iter().all(|channel| channel.longest_silence_ms == 1_500));
}

#[test]
fn the_longest_silence_is_found_to_the_millisecond_where_windows_begin_and_to_twenty_elsewhere() {
    for ms in [20, 500, 1_000, 4_020, 59_980] {
        let signal = [sine(400, 5_000.0), silence(ms), sine(200, 5_000.0), silence(ms / 40 * 20), sine(40, 5_000.0)];
        assert_eq!(of(&[&signal.concat()]).longest_silence_ms, ms as u64);
        let shifted = [sine(407, 5_000.0), silence(ms), sine(200, 5_000.0)];
        let found = of(&[&shifted.concat()]).longest_silence_ms;
        assert!((ms as u64 - 20..=ms as u64).contains(&found), "{found} instead of {ms}");
    }
    let (all, none) = (of(&[&silence(1_234)]), of(&[&sine(1_234, 5_000.0)]));
    assert_eq!((all.longest_silence_ms, none.longest_silence_ms), (1_234, 0));
    // Quiet speech is above the window's level, comfort noise below it.
    assert_eq!(of(&[&noise(1_000, -45.0)]).longest_silence_ms, 0);
    assert_eq!(of(&[&noise(1_000, -56.0)]).longest_silence_ms, 1_000);
}

#[test]
fn silence_is_what_no_channel_breaks() {
    let left = [silence(3_000), sine(1_000, 5_000.0), silence(1_000)].concat();
    let right = [silence(1_000), sine(1_000, 5_000.0), silence(3_000)].concat();
    let quality = of(&[&left, &right]);
    assert_eq!(quality.longest_silence_ms, 1_000);
    assert_eq!((quality.channels[0].longest_silence_ms, quality.channels[1].longest_silence_ms), (3_000, 3_000));
}

#[test]
fn samples_at_full_scale_are_clipped_whatever_the_codec() {
    let loud = sine(1_000, 31_900.0);
    assert_eq!(mono(&loud).clipped_samples, 0);
    // Full scale of PCM, of A-law and of µ-law.
    for (top, bottom) in [(i16::MAX, i16::MIN), (32_256, -32_256), (32_124, -32_124)] {
        let clip = |sample: f64| (sample as i32).clamp(bottom.into(), top.into()) as i16;
        let overdriven: Vec<i16> =
            (0..8_000).map(|i| clip(60_000.0 * (f64::from(i) * 400.0 / 8_000.0 * TAU).sin())).collect();
        // Of the 20 samples of a period, 12 are beyond 60,000 × sin(36°).
        assert_eq!(mono(&overdriven).clipped_samples, 8_000 / 20 * 14, "{top}");
    }
    let mut one_run = loud;
    one_run[4_000..4_007].fill(i16::MIN);
    let quality = of(&[&one_run, &silence(1_000)]);
    assert_eq!((quality.channels[0].clipped_samples, quality.channels[1].clipped_samples), (7, 0));
    assert_eq!((quality.channels[0].peak, quality.channels[1].peak), (32_768, 0));
}

#[test]
fn what_the_decoder_knows_is_told() {
    for (truncated, stale_header) in [(false, false), (true, false), (false, true), (true, true)] {
        let quality = Meter::new(RATE, 1).finish(truncated, stale_header);
        assert_eq!((quality.truncated, quality.stale_header), (truncated, stale_header));
    }
}
