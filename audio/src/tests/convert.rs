//! Conversion to a stream: what arrives is whole, and begins before the source has been read.

use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::{BitrateMode, EncodeSettings, Format, Tags, convert, measure, transcode};

/// A stream: it takes bytes one after the other, and nothing else.
struct Stream<'a> {
    bytes: Vec<u8>,
    on_first: Box<dyn FnMut() + 'a>,
    /// It is closed when it has taken so many.
    room: usize,
}

impl<'a> Stream<'a> {
    fn new(on_first: impl FnMut() + 'a) -> Self {
        Self { bytes: Vec::new(), on_first: Box::new(on_first), room: usize::MAX }
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.is_empty() {
            (self.on_first)();
        }
        if self.bytes.len() >= self.room {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

fn settings(format: Format) -> EncodeSettings {
    EncodeSettings::for_listening(format, 8_000, 1)
}

fn converted(source: &Path, hint: &str, settings: &EncodeSettings) -> Vec<u8> {
    let mut stream = Stream::new(|| {});
    convert(File::open(source).unwrap(), hint, &mut stream, settings, &Tags::default()).unwrap();
    stream.bytes
}

/// Kept recordings of two seconds and a bit in every format, named as it.
fn kept(frames: usize) -> (tempfile::TempDir, Vec<(Format, PathBuf)>) {
    let (folder, source) = file_of("source.wav", &wav(&tones(frames, 1, 8_000), 1, 8_000));
    let kept = Format::ALL.into_iter().map(|format| {
        let path = folder.path().join(format!("kept.{format}"));
        transcode(&source, "source.wav", &mut new_file(&path), &settings(format), &Tags::default()).unwrap();
        (format, path)
    });
    let kept = kept.collect();
    (folder, kept)
}

#[test]
fn point_6_the_first_byte_goes_out_before_the_last_is_encoded() {
    let (_folder, kept) = kept(240 * 8_000);
    for (from, path) in &kept {
        let size = std::fs::metadata(path).unwrap().len();
        for to in Format::ALL {
            let read = Arc::new(AtomicU64::new(0));
            let source = Counted { file: File::open(path).unwrap(), read: Arc::clone(&read) };
            let at_first = AtomicU64::new(0);
            let mut stream = Stream::new(|| at_first.store(read.load(Ordering::Relaxed), Ordering::Relaxed));
            let done = convert(source, "kept", &mut stream, &settings(to), &Tags::default()).unwrap();
            assert_eq!(done.samples_per_channel, 240 * 8_000, "{from} to {to}");
            let at_first = at_first.load(Ordering::Relaxed);
            assert!(at_first > 0 && at_first < size / 2, "{from} to {to}: {at_first} of {size} bytes were read");
        }
    }
}

#[test]
fn what_is_kept_converts_to_every_format_to_the_sample() {
    for frames in [1, 161, 20_011] {
        let (_folder, kept) = kept(frames);
        for (from, path) in &kept {
            for to in Format::ALL {
                let bytes = converted(path, "kept", &settings(to));
                let (_folder, again) = file_of("converted", &bytes);
                let measured = measure(&again, "converted").unwrap();
                let name = format!("{from} to {to}, {frames} frames");
                assert_eq!(measured.samples_per_channel, frames as u64, "{name}");
                assert!(!measured.quality.stale_header && !measured.truncated, "{name}");
                if matches!(from, Format::Flac | Format::Wav) && matches!(to, Format::Flac | Format::Wav) {
                    assert!(samples(&again, "converted").unwrap().1 == tones(frames, 1, 8_000), "{name}");
                }
            }
        }
    }
}

/// A stream's headers, written first, are byte by byte those that a file gets at its end.
#[test]
fn a_stream_of_known_length_is_the_file_that_transcoding_writes() {
    for (rate, channels) in [(8_000, 1), (11_025, 2), (16_000, 1), (22_050, 1), (44_100, 2), (48_000, 1)] {
        for frames in [1, 575, 576, 1_151, 1_152, 30_000, 50_001] {
            let (_folder, source) = file_of("source.wav", &wav(&tones(frames, channels, rate), channels as u16, rate));
            for bitrate_bps in [24_000, 32_000, 128_000] {
                for format in [Format::Mp3, Format::Wav] {
                    let settings = EncodeSettings::at(format, bitrate_bps);
                    let mut file = Cursor::new(Vec::new());
                    transcode(&source, "source.wav", &mut file, &settings, &Tags::default()).unwrap();
                    let same = converted(&source, "source.wav", &settings) == file.into_inner();
                    assert!(same, "{format} {bitrate_bps} {rate} {channels} {frames}");
                }
            }
        }
    }
}

#[test]
fn a_stream_of_unknown_length_is_read_to_its_end_by_us_and_by_ffmpeg() {
    // GSM has no length in its file.
    let fixture = fixture("1795246783.4.gsm");
    let (_, source) = samples(&fixture.path(), &fixture.file).unwrap();
    for format in Format::ALL {
        let bytes = converted(&fixture.path(), &fixture.file, &settings(format));
        let (_folder, path) = file_of("converted", &bytes);
        let (_, ours) = samples(&path, "converted").unwrap();
        // ffmpeg decodes Opus at 48 kHz, whatever it was made of.
        let theirs = ffmpeg_samples(&path) / if format == Format::Opus { 6 } else { 1 };
        // An MP3 without a tag plays the silence that its encoder put around the recording.
        let around = if format == Format::Mp3 { 576 * 4 } else { 0 };
        for found in [ours.len(), theirs] {
            assert!((source.len()..=source.len() + around).contains(&found), "{format}: {found} of {}", source.len());
        }
        match format {
            Format::Wav => assert_eq!(bytes[4..8], [0xff; 4], "the size is not known"),
            Format::Flac => assert_eq!(bytes[8 + 14..8 + 18], [0; 4], "the count is not known"),
            Format::Mp3 => assert!(!bytes.windows(4).any(|four| four == b"Info")),
            Format::Opus => {}
        }
    }
}

#[test]
fn a_stream_of_variable_bit_rate_knows_where_it_ends() {
    let (_folder, kept) = kept(30_001);
    let settings =
        EncodeSettings { bitrate_mode: BitrateMode::Variable { quality: 5 }, ..EncodeSettings::at(Format::Mp3, 0) };
    let (_folder, path) = file_of("converted.mp3", &converted(&kept[2].1, "kept", &settings));
    assert_eq!(measure(&path, "converted.mp3").unwrap().samples_per_channel, 30_001);
    assert_eq!(ffmpeg_samples(&path), 30_001);
}

#[test]
fn what_a_source_promised_and_lost_is_silence() {
    let (_folder, kept) = kept(80_000);
    for (from, path) in &kept {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(bytes.len() / 2);
        let (_cut_folder, cut) = file_of("cut", &bytes);
        let promised = matches!(from, Format::Mp3 | Format::Flac);
        let (_out_folder, path) = file_of("converted", &converted(&cut, "cut", &settings(Format::Wav)));
        let (_, all) = samples(&path, "converted").unwrap();
        assert_eq!(all.len() == 80_000, promised, "{from}: {}", all.len());
        assert!(all.len() > 30_000, "{from}: {}", all.len());
        assert!(!promised || all[60_000..].iter().all(|&sample| sample == 0), "{from}");
    }
}

#[test]
fn a_listener_who_goes_away_ends_the_conversion_at_once() {
    let (_folder, kept) = kept(120 * 8_000);
    let (_, flac) = &kept[2];
    for format in Format::ALL {
        let read = Arc::new(AtomicU64::new(0));
        let source = Counted { file: File::open(flac).unwrap(), read: Arc::clone(&read) };
        let mut stream = Stream::new(|| {});
        stream.room = 10_000;
        let error = convert(source, "kept", &mut stream, &settings(format), &Tags::default()).unwrap_err();
        assert!(matches!(error, Error::Io(_)), "{format}: {error}");
        let size = std::fs::metadata(flac).unwrap().len();
        assert!(read.load(Ordering::Relaxed) < size / 2, "{format}");
    }
}

#[test]
fn what_cannot_be_converted_writes_nothing() {
    let (_folder, text) = file_of("text", b"not audio at all, and long enough to be something");
    let (_folder, empty) = file_of("empty.wav", &wav(&[], 1, 8_000));
    let (_folder, wide) = file_of("wide.wav", &wav(&tones(1_000, 4, 8_000), 4, 8_000));
    for (path, name) in [(&text, "text"), (&empty, "empty.wav"), (&wide, "wide.wav")] {
        let mut stream = Stream::new(|| {});
        let settings = EncodeSettings::at(Format::Opus, 24_000);
        convert(File::open(path).unwrap(), name, &mut stream, &settings, &Tags::default()).unwrap_err();
        assert!(stream.bytes.is_empty(), "{name}");
    }
    let done = converted(&wide, "wide.wav", &EncodeSettings::for_listening(Format::Opus, 8_000, 4));
    let (_folder, mixed) = file_of("mixed.opus", &done);
    assert_eq!(measure(&mixed, "mixed.opus").unwrap().channels, 1);
}

#[test]
fn a_length_that_no_call_has_is_not_kept_with_silence() {
    let (_folder, kept) = kept(30_001);
    let (_, flac) = kept.iter().find(|(format, _)| *format == Format::Flac).unwrap();
    let mut bytes = std::fs::read(flac).unwrap();
    // STREAMINFO's 36 bits of length: 99 days (RFC 9639 §8.2).
    bytes[21] |= 0x0f;
    bytes[22..26].fill(0xff);
    let (_folder, path) = file_of("forged.flac", &bytes);
    let (_folder, path) = file_of("converted.wav", &converted(&path, "forged.flac", &settings(Format::Wav)));
    assert_eq!(measure(&path, "converted.wav").unwrap().samples_per_channel, 30_001);
}
