//! Anything under any name: the first byte chooses an extension, or that the name follows up to the end of the line.
#![no_main]

use harness::{RAW_NAMES, SAMPLES_PER_BYTE_OF_PACKETS, choices, measure, watch};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 16] = [
    "a", "a.wav", "a.WAV", "a.mp3", "a.ogg", "a.opus", "a.flac", "a.au", "a.aac", "a.m4a", "a.webm", "a.pcap",
    "a.g729", "a.amr", "a.spx", "a.txt",
];

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(([choice], bytes)) = choices(data) else { return };
    let choice = usize::from(choice);
    if let Some(name) = NAMES.iter().chain(&RAW_NAMES).nth(choice) {
        measure(bytes, name, SAMPLES_PER_BYTE_OF_PACKETS);
    } else {
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        let (name, bytes) = bytes.split_at(end);
        measure(bytes.get(1..).unwrap_or_default(), &String::from_utf8_lossy(name), SAMPLES_PER_BYTE_OF_PACKETS);
    }
});
