//! Ogg: the heads of Opus, Vorbis and FLAC in it, and our way through the pages of Opus.
#![no_main]

use harness::{SAMPLES_PER_BYTE_OF_PACKETS, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    let mut data = data.to_vec();
    seal(&mut data);
    measure(&data, "a.ogg", SAMPLES_PER_BYTE_OF_PACKETS);
});

/// Gives each page the checksum that it needs to be read at all (RFC 3533 §6): no fuzzer guesses it.
fn seal(file: &mut [u8]) {
    let mut at = 0;
    while let Some(page) = file.get_mut(at..).filter(|page| page.len() > 27) {
        if !page.starts_with(b"OggS") {
            at += 1;
            continue;
        }
        let segments = usize::from(page[26]);
        let body: usize = page[27..].iter().take(segments).map(|&length| usize::from(length)).sum();
        let len = (27 + segments + body).min(page.len());
        page[22..26].fill(0);
        let checksum = page[..len].iter().fold(0u32, |crc, &byte| {
            (0..8).fold(
                crc ^ u32::from(byte) << 24,
                |crc, _| {
                    if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
                },
            )
        });
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
        at += len;
    }
}
