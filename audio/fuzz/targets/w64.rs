//! Wave64 and RF64: the walkers with sizes of 64 bits. The first byte chooses which signature is put in front.
#![no_main]

use harness::{SAMPLES_PER_BYTE_OF_PACKETS, choices, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(([choice], rest)) = choices(data) else { return };
    let signature: &[u8] = if choice & 1 == 0 { b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0" } else { b"RF64" };
    measure(&[signature, rest].concat(), "a.w64", SAMPLES_PER_BYTE_OF_PACKETS);
});
