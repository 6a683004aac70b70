//! Other channels than the source has: legs joined, stereo taken apart, all mixed down.
#![no_main]

use std::io::Cursor;

use audio::{Channels, EncodeSettings, Tags};
use harness::{RAW_NAMES, Recording, check, choices, settings, sound, watch};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static LEGS: [Recording; 2] = [Recording::new(), Recording::new()];
}

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(([format, bitrate, left_name, right_name, share, what], bytes)) = choices(data) else { return };
    let bytes = &bytes[..bytes.len().min(8 * 1024)];
    if bytes.first().is_some_and(|first| matches!(first, 0xa1 | 0xd4 | 0x4d)) {
        // A capture may last for days: the target `pcap` has them.
        return;
    }
    let settings = settings(format, bitrate);
    let tags = Tags::default();
    let name = |choice: u8| RAW_NAMES.get(usize::from(choice)).copied().unwrap_or("a.wav");
    let (left, right) = bytes.split_at(bytes.len() * usize::from(share) / 256);
    LEGS.with(|legs| match what % 4 {
        0 => {
            let (left, right) = (legs[0].holding(left), legs[1].holding(right));
            let mut sink = Cursor::new(Vec::new());
            let legs = ((left, name(left_name)), (right, name(right_name)));
            let Some(done) = sound(audio::join_legs(legs.0, legs.1, &mut sink, &settings, &tags)) else { return };
            assert_eq!(done.channels, 2);
            check(&sink.into_inner(), settings.format, (done.samples_per_channel, done.sample_rate, 2));
        }
        1 => {
            let mut sink = Cursor::new(Vec::new());
            let settings = EncodeSettings { channels: Channels::MixDown, ..settings };
            let mixed = audio::transcode(legs[0].holding(bytes), name(left_name), &mut sink, &settings, &tags);
            let Some(done) = sound(mixed) else { return };
            check(&sink.into_inner(), settings.format, (done.samples_per_channel, done.sample_rate, 1));
        }
        count => {
            let mut sinks = vec![Cursor::new(Vec::new()); usize::from(count)];
            let split = audio::split_legs(legs[0].holding(bytes), name(left_name), &mut sinks, &settings, &tags);
            let Some(done) = sound(split) else { return };
            for (done, sink) in done.iter().zip(sinks) {
                check(&sink.into_inner(), settings.format, (done.samples_per_channel, done.sample_rate, 1));
            }
        }
    });
});
