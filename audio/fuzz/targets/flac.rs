//! Our FLAC encoder: any samples of up to eight channels come back as they were.
#![no_main]

use audio::{EncodeSettings, Format, Tags};
use harness::{choices, transcode, watch};
use libfuzzer_sys::fuzz_target;

/// Rates with a code of their own in frame headers, and some without.
const RATES: [u32; 8] = [8_000, 16_000, 44_100, 48_000, 96_000, 11_025, 6_000, 1];

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(([shape, repeat], bytes)) = choices(data) else { return };
    let channels = usize::from(shape % 8) + 1;
    let name = format!("a.raw;rate={};channels={channels}", RATES[usize::from(shape / 8) % RATES.len()]);
    // Blocks are 4,096 samples: what is repeated fills them, and the low bits that are cleared are "wasted".
    let (repeat, wasted) = (usize::from(repeat & 15) + 1, repeat >> 4);
    let clear = |two: &[u8; 2]| (i16::from_le_bytes(*two) >> wasted << wasted).to_le_bytes();
    let mut samples = bytes.as_chunks().0.iter().flat_map(clear).collect::<Vec<_>>().repeat(repeat);
    samples.truncate(harness::MAX_INPUT_BYTES);
    samples.truncate(samples.len() / (channels * 2) * channels * 2);
    let settings = |format| EncodeSettings { format, ..Default::default() };
    // Samples that look like another kind of file are one.
    let probed = audio::probe(&mut std::io::Cursor::new(&samples), &name);
    if !probed.is_ok_and(|probe| probe.container == audio::Container::Raw) {
        return;
    }
    let flac = transcode(&samples, &name, &settings(Format::Flac), &Tags::default()).expect("good samples");
    let wav = transcode(&flac, "a.flac", &settings(Format::Wav), &Tags::default()).expect("it was just checked");
    assert!(wav.ends_with(&samples), "other samples come back");
});
