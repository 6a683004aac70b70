//! Files that are cut, stale, empty, foreign or nonsense.

use super::*;
use crate::{EncodeSettings, Format, Tags, measure, transcode};

#[test]
fn bad_input_without_audio_is_empty_whatever_its_name() {
    for name in ["a.wav", "a.gsm", "a.ulaw", "a.mp3", "a.spx", "a", "a.txt"] {
        let (_folder, path) = file_of(name, b"");
        assert!(matches!(measure(&path, name), Err(Error::Empty)), "{name}");
    }
    let (_folder, path) = file_of("a.wav", &wav(&[], 1, 8_000));
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 44);
    let mut sink = std::io::Cursor::new(Vec::new());
    let done = transcode(&path, "a.wav", &mut sink, &EncodeSettings::default(), &Tags::default());
    assert!(matches!(done, Err(Error::Empty)) && sink.into_inner().is_empty());
    // As Asterisk leaves it while no one has spoken.
    let mut open = wav(&[], 1, 8_000);
    open[4..8].fill(0);
    let (_folder, path) = file_of("a.wav", &open);
    assert!(matches!(measure(&path, "a.wav"), Err(Error::Empty)));
}

#[test]
fn a_cut_wav_decodes_as_far_as_it_goes_and_is_flagged() {
    let whole = wav(&tones(8_000, 1, 8_000), 1, 8_000);
    let (_folder, path) = file_of("a.wav", &whole[..whole.len() / 2 + 1]);
    let measured = measure(&path, "a.wav").unwrap();
    assert!(measured.truncated && measured.quality.stale_header);
    assert_eq!(measured.samples_per_channel, (whole.len() as u64 / 2 - 44) / 2);
}

#[test]
fn sizes_that_were_never_written_are_read_to_the_end_of_the_file() {
    let signal = tones(8_000, 1, 8_000);
    for (size, name) in [(0u32, "asterisk"), (u32::MAX, "rtpengine")] {
        let mut open = wav(&signal, 1, 8_000);
        open[4..8].copy_from_slice(&size.to_le_bytes());
        open[40..44].copy_from_slice(&size.to_le_bytes());
        let (_folder, path) = file_of("a.wav", &open);
        let measured = measure(&path, "a.wav").unwrap();
        assert_eq!(measured.samples_per_channel, 8_000, "{name}");
        assert!(measured.quality.stale_header && !measured.truncated, "{name}");
    }
}

#[test]
fn chunks_around_the_audio_are_not_audio() {
    let plain = wav(&tones(1_000, 1, 8_000), 1, 8_000);
    for (chunk, name) in [
        (&b"LIST\x05\0\0\0INFOx"[..], "odd, without its pad byte"),
        (&b"LIST\x05\0\0\0INFOx\0"[..], "odd, with its pad byte"),
        (&b"LIST\x04\0\0\0INFO"[..], "even"),
    ] {
        let mut file = plain[..36].to_vec();
        file.extend(chunk);
        file.extend(&plain[36..]);
        file.extend(b"LIST\x04\0\0\0INFO");
        let size = file.len() as u32 - 8;
        file[4..8].copy_from_slice(&size.to_le_bytes());
        let (_folder, path) = file_of("a.wav", &file);
        let measured = measure(&path, "a.wav").unwrap();
        assert_eq!(measured.samples_per_channel, 1_000, "{name}");
        assert!(!measured.truncated && !measured.quality.stale_header, "{name}");
    }
}

#[test]
fn every_width_of_pcm_is_read() {
    let signal = tones(1_000, 2, 8_000);
    let bytes =
        |convert: &dyn Fn(i16) -> Vec<u8>| signal.iter().flat_map(|&sample| convert(sample)).collect::<Vec<_>>();
    let float = |sample: i16| f32::from(sample) / 32_768.0;
    for (tag, bits, data, exact) in [
        (1, 16, bytes(&|s| s.to_le_bytes().to_vec()), true),
        (1, 24, bytes(&|s| (i32::from(s) << 8).to_le_bytes()[..3].to_vec()), true),
        (1, 32, bytes(&|s| (i32::from(s) << 16).to_le_bytes().to_vec()), true),
        (3, 32, bytes(&|s| float(s).to_le_bytes().to_vec()), true),
        (3, 64, bytes(&|s| f64::from(float(s)).to_le_bytes().to_vec()), true),
        (1, 8, bytes(&|s| vec![((s >> 8) + 128) as u8]), false),
    ] {
        let file = wav_of(tag, bits, 2, 8_000, bits / 8 * 2, &data);
        let (_folder, path) = file_of("a.wav", &file);
        let (_, decoded) = samples(&path, "a.wav").unwrap();
        assert_eq!(decoded.len(), signal.len());
        let worst = decoded.iter().zip(&signal).map(|(&a, &b)| (a - b).unsigned_abs()).max().unwrap();
        assert!(worst <= if exact { 0 } else { 256 }, "tag {tag}, {bits} bits: off by {worst}");
    }
    // WAVE_FORMAT_EXTENSIBLE: a fmt chunk of 40 bytes, the tag in its GUID.
    let mut file = wav(&signal, 2, 8_000);
    file[16] = 40;
    file[20..22].copy_from_slice(&0xfffeu16.to_le_bytes());
    let extension = b"\x16\0\x10\0\x03\0\0\0\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";
    file.splice(36..36, extension.iter().copied());
    let (_folder, path) = file_of("a.wav", &file);
    assert_eq!(samples(&path, "a.wav").unwrap().1, signal);
}

#[test]
fn codecs_in_wav_that_are_not_decoded_are_named() {
    for (tag, channels, name) in [
        // A block of one byte holds no sample.
        (0x11, 1, "IMA ADPCM"),
        (0x02, 1, "Microsoft ADPCM"),
        (0x45, 2, "G.726"),
        (0x28f, 2, "G.722"),
        (0x50, 1, "MPEG audio"),
        (0x83, 1, "G.729"),
        (0x777, 1, "codec"),
    ] {
        let (_folder, path) = file_of("a.wav", &wav_of(tag, 4, channels, 8_000, 1, &[0; 100]));
        let error = measure(&path, "a.wav").unwrap_err();
        assert!(matches!(&error, Error::Unsupported { what } if what.starts_with(name)), "{error}");
    }
}

#[test]
fn gsm_that_is_no_gsm_is_damaged() {
    let (_folder, path) = file_of("a.gsm", &[0x55; 3_300]);
    assert!(matches!(measure(&path, "a.gsm"), Err(Error::Damaged { .. })));
    let (_folder, path) = file_of("a.gsm", &[0xd5; 20]);
    assert!(matches!(measure(&path, "a.gsm"), Err(Error::Damaged { .. })), "shorter than a frame");
}

#[test]
fn every_compressed_format_cut_in_two_decodes_to_its_first_part() {
    let fixture = fixture("073942-1795246782.0.wav");
    let whole = measure(&fixture.path(), &fixture.file).unwrap().samples_per_channel;
    for format in [Format::Mp3, Format::Opus, Format::Flac] {
        let mut sink = std::io::Cursor::new(Vec::new());
        let settings = EncodeSettings::at(format, 32_000);
        transcode(&fixture.path(), &fixture.file, &mut sink, &settings, &Tags::default()).unwrap();
        let bytes = sink.into_inner();
        let (_folder, path) = file_of("cut", &bytes[..bytes.len() / 2]);
        let measured = measure(&path, "cut").unwrap();
        assert!(measured.truncated, "{format}");
        let part = measured.samples_per_channel as f64 / whole as f64;
        assert!((0.3..0.7).contains(&part), "{format}: {part}");
    }
}

/// Damage must stay an error or a flag: no panic, no endless loop, no memory out of a forged length.
#[test]
fn bad_input_by_mutation_of_a_recording_is_never_more_than_an_error() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut sources: Vec<(String, Vec<u8>)> = manifest()
        .iter()
        .filter(|fixture| fixture.is_decodable() && fixture.duration_s < 16.0)
        .map(|fixture| (fixture.hint(), std::fs::read(fixture.path()).unwrap()))
        .collect();
    let capture = fixture(".pcap");
    sources.push((capture.hint(), std::fs::read(capture.path()).unwrap()));
    for entry in std::fs::read_dir(fixtures_dir().join("codecs")).unwrap() {
        let path = entry.unwrap().path();
        sources.push((path.to_string_lossy().into_owned(), std::fs::read(&path).unwrap()));
    }
    let fixture = fixture("073942-1795246782.0.wav");
    for format in Format::ALL {
        let mut sink = std::io::Cursor::new(Vec::new());
        let settings = EncodeSettings::at(format, 24_000);
        transcode(&fixture.path(), &fixture.file, &mut sink, &settings, &Tags::default()).unwrap();
        sources.push((format!("ours.{format}"), sink.into_inner()));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutant");
    for (hint, original) in &sources {
        for round in 0..12 {
            let mut bytes = original[..original.len().min(60_000)].to_vec();
            for _ in 0..1 + dice.roll(20) {
                // Every other blow falls on the header.
                let reach = if round % 2 == 0 { 200.min(bytes.len()) } else { bytes.len() };
                let at = dice.roll(reach);
                bytes[at] = dice.roll(256) as u8;
            }
            if round % 3 == 0 {
                bytes.truncate(dice.roll(bytes.len()));
            }
            std::fs::write(&path, &bytes).unwrap();
            let outcome = measure(&path, hint);
            assert!(!matches!(outcome, Err(Error::Io(_))), "{hint} in round {round}: {outcome:?}");
        }
    }
}

#[test]
fn bad_input_of_random_bytes_under_every_extension_is_never_more_than_an_error() {
    let mut dice = Dice(42);
    for extension in [
        "wav", "mp3", "ogg", "opus", "flac", "au", "gsm", "g722", "ulaw", "sln16", "raw", "vox", "g726-24", "g726-40",
        "aac", "m4a", "webm", "pcap", "pcapng", "aiff", "caf", "w64", "g729", "ilbc", "ilbc20", "g723", "spx", "amr",
        "awb", "siren7", "wma", "alaw", "sln", "sln48", "oga", "mka", "mp4", "bin", "",
    ] {
        for length in [1, 3, 12, 44, 700, 20_000] {
            let mut noise: Vec<u8> = (0..length).map(|_| dice.roll(256) as u8).collect();
            let name = format!("noise.{extension}");
            for signature in [
                &b""[..],
                b"RIFF\0\0\0\0WAVE",
                b"OggS\0\x02",
                b"fLaC",
                b"ID3\x04\0\0\0\0\0\x01",
                b".snd",
                b"\xd4\xc3\xb2\xa1",
                b"\0\0\0\x18ftypM4A ",
                b"\x1a\x45\xdf\xa3",
                b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a",
                b"RF64\0\0\0\0WAVEds64",
                b"FORM\0\0\0\0AIFCCOMM",
                b"caff\0\x01\0\0desc",
                b"#!AMR\n",
            ] {
                noise.splice(..signature.len().min(noise.len()), signature.iter().copied());
                let (_folder, path) = file_of("noise", &noise);
                assert!(!matches!(measure(&path, &name), Err(Error::Io(_))), "{name} {length}");
            }
        }
    }
}

#[test]
fn an_mp3_whose_recorder_was_killed_is_flagged() {
    let fixture = fixture("-mix.mp3");
    let mut bytes = std::fs::read(fixture.path()).unwrap();
    // The count of frames in the info tag is written when the recorder closes the file.
    let tag = bytes.windows(4).position(|four| four == b"Xing" || four == b"Info").unwrap();
    bytes[tag + 8..tag + 12].fill(0);
    bytes.truncate(bytes.len() / 2);
    let (_folder, path) = file_of("a.mp3", &bytes);
    let measured = measure(&path, "a.mp3").unwrap();
    assert!(measured.quality.stale_header);
    let part = measured.duration_ms as f64 / (fixture.duration_s * 1_000.0);
    assert!((0.45..0.55).contains(&part), "{part}");
}

/// RFC 7845 §4.5: a stream that was joined late begins at a granule other than 0.
#[test]
fn an_opus_stream_that_begins_late_lasts_as_long() {
    let fixture = fixture(".opus");
    let whole = measure(&fixture.path(), &fixture.file).unwrap();
    let mut reader = ogg::PacketReader::new(std::io::Cursor::new(std::fs::read(fixture.path()).unwrap()));
    let mut writer = ogg::PacketWriter::new(Vec::new());
    let mut packets = 0;
    while let Some(packet) = reader.read_packet().unwrap() {
        packets += 1;
        let offset = if packets > 2 { 480_000 } else { 0 };
        let end = match (packet.last_in_stream(), packet.last_in_page()) {
            (true, _) => ogg::PacketWriteEndInfo::EndStream,
            (_, true) => ogg::PacketWriteEndInfo::EndPage,
            _ => ogg::PacketWriteEndInfo::NormalPacket,
        };
        let (serial, granule) = (packet.stream_serial(), packet.absgp_page() + offset);
        writer.write_packet(packet.data, serial, end, granule).unwrap();
    }
    let (_folder, path) = file_of("late.opus", &writer.into_inner());
    let late = measure(&path, "late.opus").unwrap();
    assert_eq!(late.samples_per_channel, whole.samples_per_channel);
    assert!(!late.truncated);
}

/// A recording that is kept as it came is told from one that is whole.
#[test]
fn a_cut_aac_or_matroska_is_flagged_or_refused() {
    let half = |name: &str| {
        let bytes = std::fs::read(fixtures_dir().join("codecs").join(name)).unwrap();
        let (_folder, path) = file_of(name, &bytes[..bytes.len() / 2]);
        measure(&path, name)
    };
    let measured = half("ffmpeg.aac").unwrap();
    assert!(measured.truncated && (800..1_300).contains(&measured.duration_ms), "{}", measured.duration_ms);
    // Their tables are at the end, or promise more than there is: the demuxer begins with neither.
    for name in ["ffmpeg.m4a", "ffmpeg-opus.webm"] {
        assert!(matches!(half(name), Err(Error::Damaged { .. } | Error::Unsupported { .. })), "{name}");
    }
}
