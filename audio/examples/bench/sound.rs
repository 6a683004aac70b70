//! How much of a recording's sound is left: every setting against its source, over the speech of some recordings.
//!
//! Segmental SNR (frames of 20 ms with speech, each between −10 and 35 dB) says how alike the waves are, log-spectral
//! distance how alike they sound to an ear that does not hear phases; PESQ (ITU-T P.862, narrow band, its raw score
//! mapped by P.862.1) is a model of a listener. P.862 is run by a program beside this one, where there is one.

use std::f64::consts::PI;
use std::path::{Path, PathBuf};
use std::process::Command;

use audio::{BitrateMode, EncodeSettings, Format};

use crate::cpu::own_seconds;
use crate::{Outcome, ours, speech};

const RATE: f64 = 8_000.0;
const FRAME: usize = 160;
/// The kernel counts a thread's time no finer than this.
const TICK: f64 = 0.001;
/// Below this level a frame is a pause, and says nothing of speech.
const PAUSE_DBFS: f64 = -50.0;

struct Heard {
    name: String,
    bytes: u64,
    cpu_seconds: f64,
    decoded: PathBuf,
    segmental_snr_db: f64,
    spectral_distance_db: f64,
}

/// Prints the table, over `recordings` or, if there are none, over those of the fixtures. `judge`: the command that prints a score for each line of two paths that it is given.
pub(crate) fn report(recordings: &[&str], judge: Option<&str>) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source.wav");
    let seconds = speech::joined(recordings, &source)?;
    let original = speech::samples(&source)?;
    let heard: Vec<Heard> =
        all_settings().into_iter().map(|settings| hear(&source, &original, settings)).collect::<Outcome<_>>()?;
    let scores = judge.map(|judge| scores(judge, &source, &heard)).transpose()?;
    println!(
        "| setting | kbit/s | MB per hour | × real time, one core | segmental SNR dB | log-spectral distance dB | PESQ (MOS-LQO) |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (index, heard) in heard.iter().enumerate() {
        let score = scores.as_ref().map_or("not installed".to_owned(), |scores| format!("{:.2}", scores[index]));
        println!(
            "| {} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} | {score} |",
            heard.name,
            heard.bytes as f64 * 8.0 / seconds / 1e3,
            heard.bytes as f64 / seconds * 3.6e-3,
            seconds / heard.cpu_seconds.max(TICK),
            heard.segmental_snr_db,
            heard.spectral_distance_db,
        );
    }
    Ok(())
}

fn all_settings() -> Vec<EncodeSettings> {
    let opus = [12_000, 16_000, 24_000, 32_000, 64_000].map(|bps| EncodeSettings::at(Format::Opus, bps));
    let mp3 = [16_000, 24_000, 32_000, 48_000].map(|bps| EncodeSettings::at(Format::Mp3, bps));
    let variable = [2, 5, 9].map(|quality| EncodeSettings {
        bitrate_mode: BitrateMode::Variable { quality },
        ..EncodeSettings::at(Format::Mp3, 0)
    });
    let exact = [EncodeSettings::at(Format::Flac, 0), EncodeSettings::at(Format::Wav, 0)];
    opus.into_iter().chain(mp3).chain(variable).chain(exact).collect()
}

fn name(settings: &EncodeSettings) -> String {
    match (settings.format, settings.bitrate_mode) {
        (Format::Mp3, BitrateMode::Variable { quality }) => format!("mp3 variable, quality {quality}"),
        (format @ (Format::Mp3 | Format::Opus), _) => format!("{format} {} kbit/s", settings.bitrate_bps / 1_000),
        (format, _) => format.to_string(),
    }
}

fn hear(source: &Path, original: &[i16], settings: EncodeSettings) -> Outcome<Heard> {
    let name = name(&settings);
    let stem = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let (kept, decoded) = (source.with_file_name(&stem), source.with_file_name(format!("{stem}.wav")));
    let before = own_seconds()?;
    audio::transcode(source, "source.wav", &mut ours::new_file(&kept)?, &settings, &ours::tags())?;
    let cpu_seconds = own_seconds()? - before;
    let exact = EncodeSettings::at(Format::Wav, 0);
    audio::transcode(&kept, "kept", &mut ours::new_file(&decoded)?, &exact, &audio::Tags::default())?;
    let again = speech::samples(&decoded)?;
    if again.len() != original.len() {
        return Err(format!("{name}: {} samples instead of {}", again.len(), original.len()).into());
    }
    Ok(Heard {
        bytes: kept.metadata()?.len(),
        cpu_seconds,
        decoded,
        segmental_snr_db: segmental_snr(original, &again),
        spectral_distance_db: spectral_distance(original, &again),
        name,
    })
}

/// The frames of the source that are no pauses, each with its double.
fn spoken<'a>(original: &'a [i16], again: &'a [i16], frame: usize) -> impl Iterator<Item = (&'a [i16], &'a [i16])> {
    let loud = |frame: &[i16]| 10.0 * (energy(frame) / frame.len() as f64 / 32_768f64.powi(2)).log10() > PAUSE_DBFS;
    original.chunks_exact(frame).zip(again.chunks_exact(frame)).filter(move |(original, _)| loud(original))
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|&sample| f64::from(sample).powi(2)).sum()
}

fn segmental_snr(original: &[i16], again: &[i16]) -> f64 {
    mean(spoken(original, again, FRAME).map(|(original, again)| {
        let noise: f64 = original.iter().zip(again).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        (10.0 * (energy(original) / noise.max(1e-3)).log10()).clamp(-10.0, 35.0)
    }))
}

/// The root mean square of the difference of the spectra in dB, from 200 to 3,600 Hz, in windows of 32 ms.
fn spectral_distance(original: &[i16], again: &[i16]) -> f64 {
    const WINDOW: usize = 256;
    let bins = (200.0 / RATE * WINDOW as f64) as usize..=(3_600.0 / RATE * WINDOW as f64) as usize;
    mean(spoken(original, again, WINDOW).map(|(original, again)| {
        let squares = bins.clone().map(|bin| (power_db(original, bin) - power_db(again, bin)).powi(2));
        mean(squares).sqrt()
    }))
}

/// The power of one line of the spectrum (Hann window), not below what 16 bits can tell.
fn power_db(frame: &[i16], bin: usize) -> f64 {
    let count = frame.len() as f64;
    let (mut re, mut im) = (0.0, 0.0);
    for (index, &sample) in frame.iter().enumerate() {
        let window = 0.5 - 0.5 * (2.0 * PI * index as f64 / count).cos();
        let angle = 2.0 * PI * (bin * index % frame.len()) as f64 / count;
        re += f64::from(sample) * window * angle.cos();
        im += f64::from(sample) * window * angle.sin();
    }
    10.0 * ((re * re + im * im) / count).max(1.0).log10()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / f64::max(count, 1.0)
}

fn scores(judge: &str, source: &Path, heard: &[Heard]) -> Outcome<Vec<f64>> {
    let mut words = judge.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).arg(source).args(heard.iter().map(|heard| &heard.decoded));
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let scores: Vec<f64> = String::from_utf8(output.stdout)?.lines().map(str::parse).collect::<Result<_, _>>()?;
    if scores.len() != heard.len() {
        return Err(format!("{} scores for {} recordings", scores.len(), heard.len()).into());
    }
    Ok(scores)
}
