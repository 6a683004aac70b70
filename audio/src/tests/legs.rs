//! Channels mixed, joined and split.

use std::io::Cursor;

use super::*;
use crate::{Channels, EncodeSettings, Format, Tags, join_legs, split_legs, transcode};

const WAV: EncodeSettings = EncodeSettings::at(Format::Wav, 0);

fn decoded(bytes: &[u8]) -> Vec<i16> {
    let (_folder, path) = file_of("kept", bytes);
    samples(&path, "kept").unwrap().1
}

fn channel(all: &[i16], channel: usize, channels: usize) -> Vec<i16> {
    all.iter().skip(channel).step_by(channels).copied().collect()
}

#[test]
fn point_3_channels_are_kept_as_they_are() {
    let fixture = fixture("1795246803.32.raw");
    let (_, source) = samples(&fixture.path(), &fixture.hint()).unwrap();
    let mut sink = Cursor::new(Vec::new());
    let done = transcode(&fixture.path(), &fixture.hint(), &mut sink, &WAV, &Tags::default()).unwrap();
    assert_eq!(done.channels, 2);
    assert!(decoded(&sink.into_inner()) == source);
}

#[test]
fn point_3_a_mix_is_the_sum_of_its_channels() {
    for end in ["1795246803.32.raw", "2a2746688f2eef20-mix.wav", "073942-1795246782.0.wav"] {
        let fixture = fixture(end);
        let (probe, source) = samples(&fixture.path(), &fixture.hint()).unwrap();
        let mut sink = Cursor::new(Vec::new());
        let mixed = EncodeSettings { channels: Channels::MixDown, ..WAV };
        let done = transcode(&fixture.path(), &fixture.hint(), &mut sink, &mixed, &Tags::default()).unwrap();
        let sum: Vec<i16> = source
            .chunks(usize::from(probe.channels))
            .map(|frame| frame.iter().fold(0i16, |sum, &sample| sum.saturating_add(sample)))
            .collect();
        assert_eq!((done.channels, done.samples_per_channel), (1, sum.len() as u64), "{end}");
        assert!(decoded(&sink.into_inner()) == sum, "{end}");
    }
}

#[test]
fn point_3_two_legs_become_left_and_right() {
    let legs = ["1795246782.0-in.wav", "1795246787.16-out.alaw"].map(fixture);
    let [(_, left), (_, right)] = [0, 1].map(|i| samples(&legs[i].path(), &legs[i].file).unwrap());
    assert!(left.len() > right.len());
    let [a, b] = [0, 1].map(|i| (legs[i].path(), legs[i].file.as_str()));
    for (first, second, expected) in [(&a, &b, [&left, &right]), (&b, &a, [&right, &left])] {
        let mut sink = Cursor::new(Vec::new());
        let done = join_legs((&first.0, first.1), (&second.0, second.1), &mut sink, &WAV, &Tags::default()).unwrap();
        assert_eq!((done.channels, done.samples_per_channel), (2, left.len() as u64));
        let stereo = decoded(&sink.into_inner());
        for (i, leg) in expected.into_iter().enumerate() {
            let mut padded = leg.clone();
            padded.resize(left.len(), 0);
            assert!(channel(&stereo, i, 2) == padded, "the shorter leg is followed by silence");
        }
    }
}

#[test]
fn legs_of_different_rates_are_not_joined() {
    let (narrow, wide) = (fixture("1795246782.0-in.wav"), fixture("1795246786.12.wav16"));
    let mut sink = Cursor::new(Vec::new());
    let joined = join_legs(
        (&narrow.path(), &narrow.file),
        (&wide.path(), &wide.file),
        &mut sink,
        &EncodeSettings::default(),
        &Tags::default(),
    );
    assert_eq!(joined.unwrap_err().to_string(), "one leg is at 8000 Hz, the other at 16000 Hz");
    assert!(sink.into_inner().is_empty());
}

#[test]
fn point_3_stereo_becomes_a_file_for_each_leg() {
    for (fixture, channels) in
        [(fixture("1795246803.32.raw"), 2), (fixture(".pcap"), 2), (fixture("0bacf4dcdf82f11-mix.wav"), 1)]
    {
        let hint = fixture.hint();
        let (_, source) = samples(&fixture.path(), &hint).unwrap();
        let mut sinks = vec![Cursor::new(Vec::new()); channels];
        let done = split_legs(&fixture.path(), &hint, &mut sinks, &WAV, &Tags::default()).unwrap();
        assert_eq!(done.len(), channels);
        for (i, (sink, done)) in sinks.into_iter().zip(&done).enumerate() {
            assert_eq!((done.channels, done.quality.channels.len()), (1, 1));
            assert_eq!(done.samples_per_channel * channels as u64, source.len() as u64);
            assert!(decoded(&sink.into_inner()) == channel(&source, i, channels), "{} {i}", fixture.file);
        }
    }
}

#[test]
fn as_many_files_as_channels_are_asked_for() {
    let fixture = fixture("1795246803.32.raw");
    let mut sinks = vec![Cursor::new(Vec::new()); 3];
    let error = split_legs(&fixture.path(), &fixture.hint(), &mut sinks, &WAV, &Tags::default()).unwrap_err();
    assert_eq!(error.to_string(), "2 channels do not fit into 3 files");
}
