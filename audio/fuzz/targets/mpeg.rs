//! MPEG audio: ID3 tags, frame headers, the tag that tells the length.
#![no_main]

use harness::{SAMPLES_PER_BYTE_OF_PACKETS, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    measure(data, "a.mp3", SAMPLES_PER_BYTE_OF_PACKETS);
});
