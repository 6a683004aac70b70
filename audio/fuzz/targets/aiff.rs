//! AIFF and AIFF-C. The signature is put in front: without it nothing else would be tried.
#![no_main]

use harness::{SAMPLES_PER_BYTE, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    measure(&[b"FORM", data].concat(), "a.aiff", SAMPLES_PER_BYTE);
});
