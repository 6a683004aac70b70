//! Each codec of a telephone platform beside a reference decoder: as long, as many channels, the same samples.

use std::process::Command;

use super::*;
use crate::{Ffmpeg, measure_within};

/// Where the bytes come from.
pub(super) enum Made {
    /// In `tests/fixtures/codecs`.
    Kept(&'static str),
    /// By ffmpeg, of two seconds of a caller at 8 or 16 kHz, with these options, under that name.
    Ffmpeg(u32, &'static str, &'static str),
    /// By SoX.
    Sox(u32, &'static str, &'static str),
}

/// What the samples are compared with.
enum Reference {
    /// The ffmpeg that is installed, with these options in front of the input.
    Ffmpeg(&'static str),
    /// The same, which leaves out so many samples at the start.
    Later(&'static str, usize),
    /// SoX, likewise, and what is done to its samples.
    Sox(&'static str, &'static str),
    /// The first second as the decoder named by the file made it: `<name>.reference.flac`.
    Second,
    /// What was encoded, that many samples later.
    Source(u32, usize),
}

/// How near they must be.
#[derive(Clone, Copy)]
enum Near {
    /// Bit by bit.
    Same,
    /// A signal-to-noise ratio of so many dB or more.
    Db(f64),
}

use Made::{Ffmpeg as ByFfmpeg, Kept, Sox as BySox};
use Near::{Db, Same};
use Reference::{Ffmpeg as LikeFfmpeg, Later, Second, Source, Sox as LikeSox};

/// File, what it is, rate, channels, samples of one frame, reference, and how near.
type Row = (Made, &'static str, u32, u16, usize, Reference, Near);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // WAVE of everything.
    (ByFfmpeg(8_000, "-c:a pcm_u8", "a.wav"),               "wav/pcm_u8",         8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_s16le", "a.wav"),            "wav/pcm_s16le",      8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-ac 2 -c:a pcm_s24le", "a.wav"),      "wav/pcm_s24le",      8_000, 2, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_s32le", "a.wav"),            "wav/pcm_s32le",      8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_f32le", "a.wav"),            "wav/pcm_f32le",      8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_f64le", "a.wav"),            "wav/pcm_f64le",      8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_alaw", "a.wav"),             "wav/pcm_alaw",       8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-ac 2 -c:a pcm_mulaw", "a.wav"),      "wav/pcm_mulaw",      8_000, 2, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a libgsm_ms", "a.wav"),            "wav/gsm_ms",         8_000, 1, 320, LikeFfmpeg("-c:a gsm_ms"), Same),
    (BySox(8_000, "-e gsm-full-rate", "a.wav"),             "wav/gsm_ms",         8_000, 1, 320, LikeFfmpeg("-c:a gsm_ms"), Same),
    (ByFfmpeg(8_000, "-c:a adpcm_ima_wav", "a.wav"),        "wav/adpcm_ima_wav",  8_000, 1, 2_041, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-ac 2 -c:a adpcm_ms", "a.wav"),       "wav/adpcm_ms",       8_000, 2, 1_012, LikeFfmpeg(""), Same),
    // ffmpeg's G.726 rounds otherwise than the ITU's; `references` compares it with SpanDSP's bit by bit.
    (ByFfmpeg(8_000, "-c:a g726 -b:a 16k", "a.wav"),        "wav/adpcm_g726",     8_000, 1, 4, LikeFfmpeg(""), Db(30.0)),
    (ByFfmpeg(8_000, "-c:a g726 -b:a 32k", "a.wav"),        "wav/adpcm_g726",     8_000, 1, 2, LikeFfmpeg(""), Db(25.0)),
    (ByFfmpeg(16_000, "-c:a g722", "a.wav"),                "wav/adpcm_g722",    16_000, 1, 2, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a libmp3lame", "a.wav"),           "wav/mp3",            8_000, 1, 1_728, LikeFfmpeg(""), Db(60.0)),
    (ByFfmpeg(8_000, "-rf64 always -c:a pcm_s16le", "a.wav"), "wav/pcm_s16le",    8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-rf64 always -c:a pcm_alaw", "a.wav"), "wav/pcm_alaw",      8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-ac 2 -c:a pcm_s16le", "a.w64"),      "w64/pcm_s16le",      8_000, 2, 1, LikeFfmpeg(""), Same),
    (BySox(8_000, "-e a-law", "a.w64"),                     "w64/pcm_alaw",       8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a g723_1 -b:a 6300", "a.wav"),     "wav/g723_1",         8_000, 1, 240, Source(8_000, 60), Db(8.0)),
    (Kept("random-siren.wav"),                              "wav/msnsiren",      16_000, 1, 320, LikeFfmpeg(""), Same),
    // Other headers.
    (ByFfmpeg(8_000, "-c:a pcm_mulaw", "a.au"),             "au/pcm_mulaw",       8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-ac 2 -c:a pcm_s16be", "a.au"),       "au/pcm_s16be",       8_000, 2, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-ac 2 -c:a pcm_s16be", "a.aiff"),     "aiff/pcm_s16be",     8_000, 2, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_s24be", "a.aiff"),           "aiff/pcm_s24be",     8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_alaw", "a.aiff"),            "aiff/pcm_alaw",      8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_s16le", "a.aiff"),           "aiff/pcm_s16le",     8_000, 1, 1, LikeFfmpeg(""), Same),
    (BySox(8_000, "-b 8", "a.aiff"),                        "aiff/pcm_s8",        8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-ac 2 -c:a pcm_s16be", "a.caf"),      "caf/pcm_s16be",      8_000, 2, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a pcm_mulaw", "a.caf"),            "caf/pcm_mulaw",      8_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(16_000, "-c:a alac", "a.caf"),                "caf/alac",          16_000, 1, 1, LikeFfmpeg(""), Same),
    // Headerless.
    (ByFfmpeg(8_000, "-f mulaw", "a.ulaw"),                 "raw/pcm_mulaw",      8_000, 1, 1, LikeFfmpeg("-f mulaw -ar 8000"), Same),
    (ByFfmpeg(8_000, "-f alaw", "a.alaw"),                  "raw/pcm_alaw",       8_000, 1, 1, LikeFfmpeg("-f alaw -ar 8000"), Same),
    (ByFfmpeg(8_000, "-f s16le", "a.sln"),                  "raw/pcm_s16le",      8_000, 1, 1, Source(8_000, 0), Same),
    (ByFfmpeg(16_000, "-f s16le", "a.sln16"),               "raw/pcm_s16le",     16_000, 1, 1, Source(16_000, 0), Same),
    (ByFfmpeg(16_000, "-ar 48000 -f s16le", "a.sln48"),     "raw/pcm_s16le",     48_000, 1, 1, LikeFfmpeg("-f s16le -ar 48000"), Same),
    (ByFfmpeg(8_000, "-c:a libgsm -f gsm", "a.gsm"),        "raw/gsm",            8_000, 1, 160, LikeFfmpeg("-c:a gsm -f gsm"), Same),
    (ByFfmpeg(16_000, "-f g722", "a.g722"),                 "raw/adpcm_g722",    16_000, 1, 2, LikeFfmpeg("-f g722"), Same),
    (BySox(8_000, "-t vox", "a.vox"),                       "raw/adpcm_oki",      8_000, 1, 2, LikeSox("-t vox -r 8000", ""), Db(25.0)),
    (Kept("bcg729.g729"),                                   "raw/g729",           8_000, 1, 80, Second, Db(20.0)),
    (Kept("pjsip.ilbc20"),                                  "raw/ilbc",           8_000, 1, 160, Second, Db(30.0)),
    (Kept("pjsip.ilbc"),                                    "raw/ilbc",           8_000, 1, 240, Second, Db(30.0)),
    (ByFfmpeg(8_000, "-c:a g723_1 -b:a 6300 -f g723_1", "a.g723"), "raw/g723_1",  8_000, 1, 240, Source(8_000, 60), Db(8.0)),
    // Packets.
    // The reference decodes at 48 kHz: at 8 kHz its resampler is most of what differs.
    (ByFfmpeg(16_000, "-ar 48000 -c:a libopus -b:a 24k", "a.opus"), "ogg/opus",  48_000, 1, 1, LikeFfmpeg("-c:a libopus"), Db(60.0)),
    (ByFfmpeg(8_000, "-c:a libopus -b:a 24k -application voip", "a.opus"), "ogg/opus", 8_000, 1, 160, LikeFfmpeg("-c:a libopus"), Db(7.0)),
    (ByFfmpeg(16_000, "-c:a libvorbis", "a.ogg"),           "ogg/vorbis",        16_000, 1, 1, LikeFfmpeg(""), Db(60.0)),
    (ByFfmpeg(8_000, "-c:a flac", "a.oga"),                 "ogg/flac",           8_000, 1, 1, LikeFfmpeg(""), Same),
    (Kept("libspeex.spx"),                                  "ogg/speex",          8_000, 1, 160, Second, Db(50.0)),
    (ByFfmpeg(8_000, "-ac 2 -c:a flac", "a.flac"),          "flac/flac",          8_000, 2, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(16_000, "-c:a flac -sample_fmt s32", "a.flac"), "flac/flac",       16_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(8_000, "-c:a libmp3lame -b:a 16k", "a.mp3"),  "mp3/mp3",            8_000, 1, 576, LikeFfmpeg(""), Db(60.0)),
    (ByFfmpeg(16_000, "-ac 2 -c:a libmp3lame -q:a 4", "a.mp3"), "mp3/mp3",       16_000, 2, 576, LikeFfmpeg(""), Db(60.0)),
    (ByFfmpeg(16_000, "-c:a aac", "a.aac"),                 "adts/aac",          16_000, 1, 1_024, LikeFfmpeg(""), Db(60.0)),
    (ByFfmpeg(16_000, "-c:a aac", "a.m4a"),                 "mp4/aac",           16_000, 1, 2_048, Later("", 1_024), Db(60.0)),
    (ByFfmpeg(16_000, "-c:a alac", "a.m4a"),                "mp4/alac",          16_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(16_000, "-ar 48000 -c:a libopus -b:a 24k", "a.webm"), "matroska/opus", 48_000, 1, 960, LikeFfmpeg("-c:a libopus"), Db(60.0)),
    (ByFfmpeg(16_000, "-c:a libopus -b:a 24k", "a.webm"),   "matroska/opus",     16_000, 1, 320, LikeFfmpeg("-c:a libopus"), Db(10.0)),
    (ByFfmpeg(16_000, "-c:a libvorbis", "a.mka"),           "matroska/vorbis",   16_000, 1, 1_024, LikeFfmpeg(""), Db(60.0)),
    (ByFfmpeg(16_000, "-c:a flac", "a.mka"),                "matroska/flac",     16_000, 1, 1, LikeFfmpeg(""), Same),
    (ByFfmpeg(16_000, "-c:a wmav2", "a.wma"),               "asf/wma",           16_000, 1, 4_096, LikeFfmpeg(""), Db(60.0)),
    (Kept("opencore.amr"),                                  "amr/amr_nb",         8_000, 1, 160, Second, Db(30.0)),
    (Kept("visualon.awb"),                                  "amr/amr_wb",        16_000, 1, 320, Second, Db(20.0)),
    (Kept("pjsip-header.ilbc"),                             "ilbc/ilbc",          8_000, 1, 240, LikeFfmpeg("-f ilbc"), Same),
];

/// The caller, of whom every file here is two seconds.
fn caller(rate: u32) -> Vec<i16> {
    let name = if rate == 8_000 { "073942-1795246782.0-in.wav" } else { "b0bacf4dcdf82f11-cc4c8cc2.wav" };
    let (_, all) = samples(&fixture(name).path(), "a.wav").unwrap();
    // In the first one nobody speaks for two seconds.
    let skip = if rate == 8_000 { 16_000 } else { 0 };
    all[skip..skip + 2 * rate as usize].to_vec()
}

pub(super) fn run(program: &str, arguments: &str, inputs: &[&Path]) -> Vec<u8> {
    let mut command = Command::new(program);
    let mut inputs = inputs.iter();
    for word in arguments.split_whitespace() {
        match word {
            "@" => command.arg(inputs.next().unwrap()),
            word => command.arg(word),
        };
    }
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn native(bytes: &[u8]) -> Vec<i16> {
    bytes.as_chunks().0.iter().map(|&two| i16::from_le_bytes(two)).collect()
}

/// The file of a row.
pub(super) fn make(made: &Made, folder: &Path) -> PathBuf {
    let (rate, options, name, program) = match *made {
        Kept(name) => return fixtures_dir().join("codecs").join(name),
        ByFfmpeg(rate, options, name) => (rate, options, name, "ffmpeg"),
        BySox(rate, options, name) => (rate, options, name, "sox"),
    };
    let (source, path) = (folder.join("source"), folder.join(name));
    std::fs::write(&source, wav(&caller(rate), 1, rate)).unwrap();
    let arguments = match program {
        "ffmpeg" => format!("-nostdin -v error -y -f wav -i @ {options} @"),
        _ => format!("-V1 -D -t wav @ {options} @"),
    };
    run(program, &arguments, &[&source, &path]);
    path
}

/// The signal to the noise between them, in dB.
fn ratio(reference: &[i16], decoded: &[i16]) -> f64 {
    let noise: f64 = reference.iter().zip(decoded).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let signal: f64 = reference.iter().map(|&a| f64::from(a).powi(2)).sum();
    10.0 * (signal / noise.max(1e-9)).log10()
}

/// What is wrong with a row, if anything.
fn fault(row: &Row) -> Option<String> {
    let (made, format, rate, channels, frame, reference, near) = row;
    let folder = tempfile::tempdir().unwrap();
    let path = make(made, folder.path());
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let limits = with_ffmpeg();
    let measured = match measure_within(&limits, &path, &name) {
        Ok(measured) => measured,
        Err(error) => return Some(error.to_string()),
    };
    if (measured.source_format.as_str(), measured.sample_rate, measured.channels) != (format, *rate, *channels) {
        return Some(format!("{} at {} Hz, {}", measured.source_format, measured.sample_rate, measured.channels));
    }
    if measured.truncated || measured.quality.stale_header {
        return Some("not whole".to_owned());
    }
    let mut decoded = drain(decode::open(&path, &name, &limits).unwrap());
    let ffmpeg_out = format!("-f s16le -ar {rate} -");
    let (expected, whole) = match *reference {
        LikeFfmpeg(options) => {
            let arguments = format!("-nostdin -v error {options} -i @ {ffmpeg_out}");
            (native(&run("ffmpeg", &arguments, &[&path])), true)
        }
        Later(options, lead) => {
            decoded.drain(..lead * usize::from(*channels));
            let arguments = format!("-nostdin -v error {options} -i @ {ffmpeg_out}");
            (native(&run("ffmpeg", &arguments, &[&path])), true)
        }
        LikeSox(options, effect) => {
            let arguments = format!("-V1 -D {options} @ -t raw -e signed -b 16 - {effect}");
            (native(&run("sox", &arguments, &[&path])), true)
        }
        Second => {
            let kept = format!("{}.reference.flac", path.display());
            (samples(Path::new(&kept), &kept).unwrap().1, false)
        }
        Source(rate, delay) => {
            let mut heard = vec![0; delay];
            heard.extend(caller(rate));
            (heard, true)
        }
    };
    let (frames, expected_frames) = (decoded.len() / usize::from(*channels), expected.len() / usize::from(*channels));
    let spoken = 2 * *rate as usize;
    if whole && frames.abs_diff(expected_frames) > *frame {
        return Some(format!("{frames} samples for {expected_frames}"));
    }
    if !(spoken - frame..spoken + 2 * frame + 1_000).contains(&frames) && !matches!(made, Kept(_)) {
        return Some(format!("{frames} samples for {spoken}"));
    }
    match near {
        Same if whole && *frame == 1 && decoded != expected => Some("other samples".to_owned()),
        Same if ratio(&expected, &decoded) < 100.0 => Some(format!("{:.1} dB", ratio(&expected, &decoded))),
        Db(least) if ratio(&expected, &decoded) < *least => Some(format!("{:.1} dB", ratio(&expected, &decoded))),
        _ => None,
    }
}

fn drain(mut opened: decode::Opened) -> Vec<i16> {
    let (mut all, mut block) = (Vec::new(), Vec::new());
    loop {
        opened.source.next_block(&mut block).unwrap();
        if block.is_empty() {
            return all;
        }
        all.extend_from_slice(&block);
    }
}

#[test]
fn every_codec_of_a_telephone_platform_is_decoded_as_its_reference_does() {
    assert!(matches!(Ffmpeg::find(), Ffmpeg::At(_)), "ffmpeg is installed (.ci/packages test)");
    let faults = faults_of(TABLE, |row| {
        let (made, format, ..) = row;
        let made = match made {
            Kept(name) => name.to_string(),
            ByFfmpeg(_, options, name) => format!("ffmpeg {options} {name}"),
            BySox(_, options, name) => format!("sox {options} {name}"),
        };
        fault(row).map(|fault| format!("{made} ({format}): {fault}"))
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Looks at all of them, on all cores.
fn faults_of<T: Sync>(all: &[T], look: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let look = &look;
        let parts: Vec<_> = all
            .chunks(all.len().div_ceil(cores))
            .map(|part| scope.spawn(move || part.iter().filter_map(look).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

/// How a recording of the corpus is handed to the reference, by its extension.
#[rustfmt::skip]
const CORPUS: &[(&str, Reference, Near)] = &[
    ("wav",     LikeFfmpeg(""), Same),
    ("wav16",   LikeFfmpeg(""), Same),
    ("WAV",     LikeFfmpeg("-c:a gsm_ms"), Same),
    ("au",      LikeFfmpeg(""), Same),
    ("gsm",     LikeFfmpeg("-c:a gsm -f gsm"), Same),
    ("ulaw",    LikeFfmpeg("-f mulaw -ar 8000"), Same),
    ("alaw",    LikeFfmpeg("-f alaw -ar 8000"), Same),
    ("g722",    LikeFfmpeg("-f g722"), Same),
    ("sln",     LikeFfmpeg("-f s16le -ar 8000"), Same),
    ("sln16",   LikeFfmpeg("-f s16le -ar 16000"), Same),
    ("raw",     LikeFfmpeg("-f s16le -ar 8000 -ac 2"), Same),
    ("g726-32", LikeFfmpeg("-f g726le -code_size 4 -ar 8000"), Db(25.0)),
    // SoX rounds otherwise than Asterisk, and drifts: what is below speech is taken out of it, as we do.
    ("vox",     LikeSox("-t vox -r 8000", "highpass -1 6"), Db(20.0)),
    ("ogg",     LikeFfmpeg(""), Db(60.0)),
    ("opus",    LikeFfmpeg("-c:a libopus"), Db(60.0)),
    ("mp3",     LikeFfmpeg(""), Db(50.0)),
];

#[test]
fn every_recording_of_the_corpus_is_decoded_as_its_reference_does() {
    let corpus: Vec<_> = manifest().into_iter().filter(Fixture::is_decodable).collect();
    let faults = faults_of(&corpus, |fixture| {
        let extension = fixture.file.rsplit_once('.').unwrap().1;
        let Some((_, reference, near)) = CORPUS.iter().find(|(name, ..)| *name == extension) else {
            return Some(format!("{}: no reference", fixture.file));
        };
        let (probe, decoded) = samples(&fixture.path(), &fixture.hint()).unwrap();
        let arguments = match reference {
            LikeSox(options, effect) => format!("-V1 -D {options} @ -t raw -e signed -b 16 - {effect}"),
            LikeFfmpeg(options) => format!("-nostdin -v fatal {options} -i @ -f s16le -ar {} -", probe.sample_rate),
            _ => unreachable!("the corpus has no other references"),
        };
        let program = if matches!(reference, LikeSox(..)) { "sox" } else { "ffmpeg" };
        let expected = native(&run(program, &arguments, &[&fixture.path()]));
        let (frames, expected_frames) = (decoded.len() as f64, expected.len() as f64);
        let wrong = match near {
            Same => decoded != expected,
            Db(least) => {
                let frame = f64::from(probe.channels) * f64::from(probe.sample_rate) * 0.05;
                (frames - expected_frames).abs() > frame || ratio(&expected, &decoded) < *least
            }
        };
        let found = format!("{}: {frames} for {expected_frames}, {:.1} dB", fixture.file, ratio(&expected, &decoded));
        wrong.then_some(found)
    });
    assert!(faults.is_empty(), "{faults:#?}");
}
