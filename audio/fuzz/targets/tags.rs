//! Anything in the tags: each format still decodes to the sample, and where it loses nothing to the same samples.
#![no_main]

use audio::{Format, Tags};
use harness::{choices, settings, transcode, watch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: watch(), |data: &[u8]| {
    let Some(([format, bitrate], text)) = choices(data) else { return };
    // A byte that no UTF-8 has stands between the values.
    let mut values = text.split(|&byte| byte == 0xff).map(|value| String::from_utf8_lossy(value).into_owned());
    let tags = Tags {
        title: values.next(),
        date: values.next(),
        caller: values.next(),
        callee: values.next(),
        pbx: values.next(),
        call_id: values.next(),
        recording_id: values.next(),
        source_sha256: values.next(),
        ..Tags::default()
    };
    let samples: Vec<u8> = (0..400i16).flat_map(|i| (i.wrapping_mul(i).wrapping_mul(7) >> 3).to_le_bytes()).collect();
    let settings = settings(format, bitrate);
    let written = transcode(&samples, "a.sln", &settings, &tags).expect("good samples are not refused");
    if matches!(settings.format, Format::Flac | Format::Wav) {
        let plain = settings_of_wav();
        let name = format!("a.{}", settings.format.extension());
        let again = transcode(&written, &name, &plain, &Tags::default()).expect("it was just checked");
        assert!(again.ends_with(&samples), "other samples come back");
    }
});

fn settings_of_wav() -> audio::EncodeSettings {
    audio::EncodeSettings { format: Format::Wav, ..Default::default() }
}
