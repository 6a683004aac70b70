//! Packet captures of the next generation: their blocks, interfaces and times. The signature is put in front.
#![no_main]

use harness::{measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    // Silence between packets comes of time, not of bytes: the limit of ten minutes, of two channels at 16 kHz.
    let bytes = [b"\x0a\x0d\x0d\x0a", data].concat();
    measure(&bytes, "a.pcapng", (600_u64 * 16_000 * 2).div_ceil(bytes.len() as u64) + 4);
});
