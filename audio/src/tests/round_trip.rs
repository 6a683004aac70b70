//! What is written decodes to what was read.

use super::*;
use crate::{BitrateMode, EncodeSettings, Format, Tags, Transcoded, measure, transcode};

fn tags() -> Tags {
    let text = |value: &str| Some(value.to_owned());
    Tags {
        title: text("Llamada de prueba, año 2026"),
        date: text("2026-11-21T07:39:44Z"),
        caller: text("101"),
        callee: text("+4930123456"),
        pbx: text("acme"),
        call_id: text("1795246782.0"),
        recording_id: text("01K0000000000000000000000A"),
        source_sha256: text("00"),
    }
}

fn settings(format: Format) -> EncodeSettings {
    EncodeSettings::at(format, if format == Format::Opus { 24_000 } else { 32_000 })
}

fn encode(path: &Path, hint: &str, settings: &EncodeSettings) -> (tempfile::TempDir, PathBuf, Transcoded) {
    let (folder, kept) = file_of(&format!("kept.{}", settings.format.extension()), b"");
    let done = transcode(path, hint, &mut new_file(&kept), settings, &tags()).unwrap();
    (folder, kept, done)
}

/// The likeness of two signals at the shift at which they are most alike, and that shift.
pub(super) fn correlation(a: &[i16], b: &[i16]) -> (f64, i32) {
    let product = |shift: i32| -> f64 {
        let (a, b) = if shift < 0 { (&a[(-shift) as usize..], b) } else { (a, &b[shift as usize..]) };
        a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
    };
    let energy = |all: &[i16]| all.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
    let norm = (energy(a) * energy(b)).sqrt().max(1.0);
    (-64..=64).map(|shift| (product(shift) / norm, shift)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn point_2_every_recording_comes_out_of_every_encoder_as_long_as_it_went_in() {
    for fixture in manifest().iter().filter(|fixture| fixture.is_decodable()) {
        let source = measure(&fixture.path(), &fixture.hint()).unwrap();
        for format in Format::ALL {
            if fixture.channels > 2 && matches!(format, Format::Mp3 | Format::Opus) {
                continue;
            }
            let (_folder, kept, done) = encode(&fixture.path(), &fixture.hint(), &settings(format));
            let again = measure(&kept, "kept").unwrap();
            let name = format!("{format} {}", fixture.file);
            assert_eq!(again.samples_per_channel, source.samples_per_channel, "{name}");
            assert_eq!(done.samples_per_channel, source.samples_per_channel, "{name}");
            assert_eq!((again.sample_rate, again.channels), (source.sample_rate, source.channels), "{name}");
            assert_eq!((&done.peaks, &done.quality), (&source.peaks, &source.quality), "{name}");
            assert!(!again.truncated && !again.quality.stale_header, "{name}");
        }
    }
}

#[test]
fn point_2_flac_and_wav_keep_every_bit() {
    for end in ["073942-1795246782.0.wav", "1795246803.32.raw", "1795246784.6.g722", "2a2746688f2eef20-mix.wav"] {
        let fixture = fixture(end);
        let (_, source) = samples(&fixture.path(), &fixture.hint()).unwrap();
        for format in [Format::Flac, Format::Wav] {
            let (_folder, kept, _) = encode(&fixture.path(), &fixture.hint(), &settings(format));
            assert!(samples(&kept, "kept").unwrap().1 == source, "{format} {end}");
        }
    }
}

#[test]
fn point_2_mp3_and_opus_keep_the_speech_in_its_place() {
    for end in [
        "073942-1795246782.0.wav",
        "1795246799.20.sln16",
        "1795246784.8.opus",
        "out-118-117-20261121-074045-1795246845.44.ogg",
    ] {
        let fixture = manifest().into_iter().rfind(|fixture| fixture.file.ends_with(end)).unwrap();
        let (probe, source) = samples(&fixture.path(), &fixture.hint()).unwrap();
        for format in [Format::Mp3, Format::Opus] {
            let (_folder, kept, _) = encode(&fixture.path(), &fixture.hint(), &settings(format));
            let (likeness, shift) = correlation(&source, &samples(&kept, "kept").unwrap().1);
            assert!(likeness > 0.8, "{format} {end}: {likeness}");
            assert!(shift.unsigned_abs() <= probe.sample_rate / 4_000, "{format} {end}: shifted by {shift}");
        }
    }
}

#[test]
fn point_2_every_length_survives_to_the_sample() {
    for (frames, channels, rate) in
        [(1, 1, 8_000), (31, 1, 8_000), (159, 2, 8_000), (160, 1, 8_000), (161, 1, 16_000), (575, 1, 8_000)]
            .into_iter()
            .chain([(1_105, 1, 8_000), (4_095, 2, 16_000), (4_096, 1, 8_000), (4_097, 1, 24_000)])
            .chain([(8_000, 1, 8_000), (48_001, 2, 48_000), (80_000, 2, 8_000)])
    {
        let signal = tones(frames, channels, rate);
        let (_source_folder, path) = file_of("source.wav", &wav(&signal, channels as u16, rate));
        for format in Format::ALL {
            let (_folder, kept, _) = encode(&path, "source.wav", &settings(format));
            let again = measure(&kept, "kept").unwrap();
            assert_eq!(again.samples_per_channel, frames as u64, "{format} {frames} {channels} {rate}");
            assert_eq!(usize::from(again.channels), channels);
        }
    }
}

#[test]
fn every_rate_of_mp3_and_opus_stays_as_it_is() {
    for (format, rates) in [
        (Format::Mp3, &[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000][..]),
        (Format::Opus, &[8_000, 12_000, 16_000, 24_000, 48_000][..]),
    ] {
        for &rate in rates {
            for channels in [1u16, 2] {
                for bitrate_bps in [6_000, 16_000, 32_000, 64_000, 500_000] {
                    let signal = tones(rate as usize / 2, usize::from(channels), rate);
                    let (_source_folder, path) = file_of("source.wav", &wav(&signal, channels, rate));
                    let (_folder, kept, _) = encode(&path, "source.wav", &EncodeSettings::at(format, bitrate_bps));
                    let again = measure(&kept, "kept").unwrap();
                    let expected = (u64::from(rate / 2), rate, channels);
                    let name = format!("{format} {bitrate_bps}");
                    assert_eq!((again.samples_per_channel, again.sample_rate, again.channels), expected, "{name}");
                }
            }
        }
    }
}

#[test]
fn a_rate_or_channels_that_a_format_lacks_are_refused_before_anything_is_written() {
    let (_folder_a, cd) = file_of("cd.wav", &wav(&tones(4_410, 2, 44_100), 2, 44_100));
    let (_folder_b, odd) = file_of("odd.wav", &wav(&tones(1_000, 1, 9_600), 1, 9_600));
    let mix = fixture("2a2746688f2eef20-mix.wav");
    for (path, format, expected) in [
        (&cd, Format::Opus, "opus cannot carry 44100 Hz"),
        (&odd, Format::Mp3, "mp3 cannot carry 9600 Hz"),
        (&mix.path(), Format::Mp3, "mp3 cannot carry 4 channels"),
        (&mix.path(), Format::Opus, "opus cannot carry 4 channels"),
    ] {
        let mut sink = std::io::Cursor::new(Vec::new());
        let error = transcode(path, "x.wav", &mut sink, &settings(format), &tags()).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(sink.into_inner().is_empty());
    }
}

#[test]
fn a_file_may_begin_in_the_middle_of_its_sink() {
    let fixture = fixture("073942-1795246782.0.wav");
    for format in Format::ALL {
        let (_folder, kept, _) = encode(&fixture.path(), &fixture.file, &settings(format));
        let mut sink = std::io::Cursor::new(b"before".to_vec());
        sink.set_position(6);
        transcode(&fixture.path(), &fixture.file, &mut sink, &settings(format), &tags()).unwrap();
        assert!(sink.into_inner()[6..] == std::fs::read(kept).unwrap(), "{format}: the same bytes each time");
    }
}

#[test]
fn point_2_the_tags_are_in_the_file() {
    let fixture = fixture("073942-1795246782.0.wav");
    for format in Format::ALL {
        let (_folder, kept, _) = encode(&fixture.path(), &fixture.file, &settings(format));
        let head = String::from_utf8_lossy(&std::fs::read(kept).unwrap()[..1_024]).into_owned();
        for part in ["Llamada de prueba, año 2026", "2026-11-21T07:39:44", "+4930123456", "01K0000000000000000000000A"]
        {
            assert!(head.contains(part), "{format}: {part}");
        }
    }
}

#[test]
fn without_tags_nothing_is_said() {
    let fixture = fixture("073942-1795246782.0.wav");
    let source = measure(&fixture.path(), &fixture.file).unwrap();
    for format in Format::ALL {
        let (_folder, kept) = file_of("kept", b"");
        let mut sink = new_file(&kept);
        transcode(&fixture.path(), &fixture.file, &mut sink, &settings(format), &Tags::default()).unwrap();
        assert_eq!(measure(&kept, "kept").unwrap().samples_per_channel, source.samples_per_channel, "{format}");
        let head = std::fs::read(kept).unwrap();
        assert!(!head.starts_with(b"ID3") && !head[..64].windows(4).any(|four| four == b"LIST"), "{format}");
    }
}

#[test]
fn flac_keeps_every_bit_of_what_is_hard_to_predict() {
    let mut dice = Dice(7);
    let mut noise = |count: usize| -> Vec<i16> { (0..count).map(|_| dice.roll(65_536) as u16 as i16).collect() };
    let alternating = |count: usize| (0..count).map(|i| if i % 2 == 0 { i16::MIN } else { i16::MAX }).collect();
    let signals: [(Vec<i16>, u16); 9] = [
        (noise(20_000), 1),
        (noise(20_000), 2),
        // Opposite extremes on both sides: their difference takes 17 bits.
        (alternating(20_000), 2),
        (alternating(5_000), 1),
        (vec![0; 10_000], 2),
        (vec![-8; 4_096], 1),
        (noise(9), 1),
        (noise(8_192).iter().map(|sample| sample & !0xff).collect(), 2),
        (tones(4_100, 8, 16_000), 8),
    ];
    for (index, (signal, channels)) in signals.into_iter().enumerate() {
        let (_folder, path) = file_of("source.wav", &wav(&signal, channels, 16_000));
        let (_kept_folder, kept, _) = encode(&path, "source.wav", &settings(Format::Flac));
        assert!(samples(&kept, "kept").unwrap().1 == signal, "signal {index}");
        let most = signal.len() * 2 + signal.len() / 100 + 1_024;
        assert!(std::fs::metadata(kept).unwrap().len() <= most as u64, "signal {index} grew");
    }
}

/// The reference encoder (`flac -5`) makes 105,301 bytes of it.
#[test]
fn flac_of_telephone_speech_is_as_small_as_the_reference_encoders() {
    let fixture = fixture("073942-1795246782.0.wav");
    let (_folder, kept, _) = encode(&fixture.path(), &fixture.file, &settings(Format::Flac));
    let size = std::fs::metadata(kept).unwrap().len();
    assert!(size < 105_500, "{size}");
}

#[test]
fn point_2_mp3_of_a_variable_bit_rate_is_as_long_as_its_source_for_us_and_for_ffmpeg() {
    let mut sizes = Vec::new();
    for (end, rate) in [("073942-1795246782.0.wav", 8_000), ("1795246799.20.sln16", 16_000)] {
        let fixture = manifest().into_iter().rfind(|fixture| fixture.file.ends_with(end)).unwrap();
        let source = measure(&fixture.path(), &fixture.hint()).unwrap();
        for quality in [0, 5, 9, 200] {
            let bitrate_mode = BitrateMode::Variable { quality };
            let settings = EncodeSettings { bitrate_mode, ..EncodeSettings::STANDARD };
            let (_folder, kept, done) = encode(&fixture.path(), &fixture.hint(), &settings);
            let again = measure(&kept, "kept.mp3").unwrap();
            assert_eq!((again.samples_per_channel, again.sample_rate), (source.samples_per_channel, rate), "{quality}");
            assert_eq!(ffmpeg_samples(&kept) as u64, source.samples_per_channel, "{quality}");
            assert_eq!(done.bitrate_bps, 0);
            let bytes = std::fs::read(&kept).unwrap();
            assert!(bytes[..1_024].windows(4).any(|four| four == b"Xing"));
            sizes.push(bytes.len());
        }
    }
    for sizes in sizes.chunks(4) {
        assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2] && sizes[2] == sizes[3], "{sizes:?}");
    }
}

/// LAME's own program writes the same table, up to the tag that it places behind the file's name.
#[test]
fn point_2_the_table_of_a_variable_bit_rate_says_where_each_hundredth_begins() {
    // Silence, then noise: the second half takes more bytes than the first.
    let mut dice = Dice(11);
    let mut signal = vec![0; 30 * 8_000];
    signal.extend((0..30 * 8_000).map(|_| dice.roll(20_000) as i16 - 10_000));
    let (_folder, source) = file_of("source.wav", &wav(&signal, 1, 8_000));
    let bitrate_mode = BitrateMode::Variable { quality: 4 };
    let settings = EncodeSettings { bitrate_mode, ..EncodeSettings::STANDARD };
    let mut sink = std::io::Cursor::new(Vec::new());
    transcode(&source, "source.wav", &mut sink, &settings, &Tags::default()).unwrap();
    let bytes = sink.into_inner();
    let tag = bytes.windows(4).position(|four| four == b"Xing").unwrap();
    let word = |at: usize| u32::from_be_bytes(*bytes[tag + at..].first_chunk().unwrap());
    assert_eq!((word(4), word(12) as usize), (0xf, bytes.len()));
    // Where the frames really are.
    let (mut places, mut at) = (Vec::new(), 0);
    while let Some(header) = crate::mpeg::frame_header(&bytes[at..]) {
        places.push(at);
        at += header.len;
    }
    assert_eq!((at, places.len()), (bytes.len(), word(8) as usize + 1), "the first frame is the tag");
    for percent in 0..100 {
        let told = f64::from(bytes[tag + 16 + percent]) / 256.0;
        let exact = places[1 + percent * (places.len() - 1) / 100] as f64 / bytes.len() as f64;
        assert!((told - exact).abs() < 0.02, "{percent} %: {told} instead of {exact}");
    }
    assert!(bytes[tag + 16 + 50] < 100, "half of the time is less than half of the bytes");
}

#[test]
fn point_2_opus_stays_between_12_and_64_kilobits_a_channel_and_leaves_nothing_out() {
    for (channels, asked, taken) in
        [(1u16, 1, 12_000), (1, 24_000, 24_000), (1, 500_000, 64_000), (2, 500_000, 128_000)]
    {
        let (_folder, source) = file_of("source.wav", &wav(&tones(80_000, channels.into(), 8_000), channels, 8_000));
        let (_folder, kept, done) = encode(&source, "source.wav", &EncodeSettings::at(Format::Opus, asked));
        assert_eq!(done.bitrate_bps, taken);
        let bits = std::fs::metadata(kept).unwrap().len() as f64 * 8.0 / 10.0;
        assert!(bits < f64::from(taken) * 1.2 + 3_000.0, "{taken}: {bits} bit/s");
    }
    // Silence has packets too, each 20 ms of it.
    let (_folder, silence) = file_of("silence.wav", &wav(&[0; 80_000], 1, 8_000));
    let (_folder, kept, _) = encode(&silence, "silence.wav", &EncodeSettings::COMPACT);
    let mut reader = ogg::PacketReader::new(File::open(kept).unwrap());
    let packets: Vec<_> = std::iter::from_fn(|| reader.read_packet().unwrap()).skip(2).collect();
    assert!((500..=502).contains(&packets.len()), "{} packets", packets.len());
    assert!(packets.iter().all(|packet| packet.data.len() > 2), "a packet of two bytes says that nothing is sent");
}

#[test]
fn point_2_the_defaults_of_the_tiers_are_what_was_measured() {
    let (compact, standard, archive) = (EncodeSettings::COMPACT, EncodeSettings::STANDARD, EncodeSettings::ARCHIVE);
    assert_eq!(EncodeSettings::default(), standard);
    let fixture = fixture("073942-1795246782.0.wav");
    let [compact, standard, archive] = [compact, standard, archive].map(|settings| {
        let (_folder, kept, done) = encode(&fixture.path(), &fixture.file, &settings);
        std::fs::metadata(kept).unwrap().len() as f64 * 8.0 / done.duration_ms as f64
    });
    assert!(compact < standard && standard < archive, "{compact} {standard} {archive} kbit/s");
}

// Headers of 8 kHz, one channel, 16 bits and 256 samples, their checksum right, in noise that no predictor makes smaller.
#[test]
fn point_2_samples_that_look_like_a_flac_header_mislead_no_decoder() {
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i16
    });
    let mut audio: Vec<i16> = noise.take(3 * 4096).collect();
    for at in [1_000, 2_000, 5_000, 8_190] {
        audio[at..at + 3].copy_from_slice(&[0xfff8u16 as i16, 0x8408u16 as i16, 0x0599]);
    }
    let (_folder, source) =
        file_of("noise.sln", &audio.iter().flat_map(|sample| sample.to_le_bytes()).collect::<Vec<_>>());
    let (_kept_folder, kept, done) = encode(&source, "noise.sln", &settings(Format::Flac));
    assert_eq!(done.samples_per_channel, audio.len() as u64);
    assert!(samples(&kept, "kept").unwrap().1 == audio);
}
