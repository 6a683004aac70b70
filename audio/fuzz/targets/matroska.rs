//! Matroska and WebM: what is made of the demuxer's packets.
#![no_main]

use harness::{SAMPLES_PER_BYTE_OF_PACKETS, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    measure(data, "a.webm", SAMPLES_PER_BYTE_OF_PACKETS);
});
