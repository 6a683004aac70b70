//! Packet captures: the survey, RTP, and its placing in time.
#![no_main]

use harness::{choices, measure, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    // Silence between packets comes of time, not of bytes: a minute and a second, two seconds of drift at each end, and
    // what the payloads hold, of two channels at 16 kHz.
    let Some((magic, _)) = choices::<4>(data) else { return };
    if !matches!(magic, [0xd4 | 0x4d, ..] | [0xa1, ..]) {
        return;
    }
    let longest = 70 * 16_000 * 2 + data.len() as u64 * 4;
    measure(data, "a.pcap", longest.div_ceil(data.len().max(1) as u64));
});
