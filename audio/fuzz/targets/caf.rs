//! Core Audio: the walker, and what is left to the container of packets. The signature is put in front.
#![no_main]

use harness::{SAMPLES_PER_BYTE_OF_PACKETS, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    measure(&[b"caff", data].concat(), "a.caf", SAMPLES_PER_BYTE_OF_PACKETS);
});
