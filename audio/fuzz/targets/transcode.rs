//! From anything to each format: what is written decodes to as many samples as were read.
#![no_main]

use audio::Tags;
use harness::{RAW_NAMES, choices, settings, transcode, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(([format, bitrate, name], bytes)) = choices(data) else { return };
    let name = RAW_NAMES.get(usize::from(name)).copied().unwrap_or("a");
    transcode(bytes, name, &settings(format, bitrate), &Tags::default());
});
