//! RIFF/WAVE: the walker, and every codec that WAVE carries.
#![no_main]

use harness::{SAMPLES_PER_BYTE, SAMPLES_PER_BYTE_OF_PACKETS, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(measured) = measure(data, "a.wav", SAMPLES_PER_BYTE_OF_PACKETS) else { return };
    // Only MP3 may be in there as packets.
    if measured.source_format.starts_with("wav/") && measured.source_format != "wav/mp3" {
        let samples = measured.samples_per_channel * u64::from(measured.channels);
        assert!(samples <= data.len() as u64 * SAMPLES_PER_BYTE, "{measured:?}");
    }
});
