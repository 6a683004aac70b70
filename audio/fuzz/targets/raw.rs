//! Headerless codecs: the first byte chooses the name, and so the codec.
#![no_main]

use harness::{RAW_NAMES, SAMPLES_PER_BYTE, SAMPLES_PER_BYTE_OF_PACKETS, choices, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(([choice], bytes)) = choices(data) else { return };
    let name = RAW_NAMES[usize::from(choice) % RAW_NAMES.len()];
    let Some(measured) = measure(bytes, name, SAMPLES_PER_BYTE_OF_PACKETS) else { return };
    if measured.source_format.starts_with("raw/") {
        let samples = measured.samples_per_channel * u64::from(measured.channels);
        assert!(samples <= bytes.len() as u64 * SAMPLES_PER_BYTE, "{measured:?}");
    }
});
