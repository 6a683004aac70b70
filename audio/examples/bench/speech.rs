//! Minutes of telephone speech, out of the recordings that the tests read.

use std::fs;
use std::path::{Path, PathBuf};

use audio::{EncodeSettings, Format};

use crate::Outcome;

/// Legs and mixes of real calls, 8 kHz; voices and pauses.
const LEGS: [&str; 4] = [
    "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav",
    "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0-in.wav",
    "asterisk-22/monitor/acme/2026/11/21/out-112-111-20261121-074043-1795246843.38.wav",
    "rtpengine-10.5/recordings/2026/11/21/1795247559-16596%40acme.example-0b32494fb3fc4d1e-551b1318.wav",
];
const RATE: usize = 8_000;
/// Different files, so that none is encoded from a warm cache of branches.
const FILES: usize = 10;

fn spoken() -> Outcome<Vec<u8>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut all = Vec::new();
    for leg in LEGS {
        let file = fs::read(fixtures.join(leg))?;
        let data = file.windows(4).position(|four| four == b"data").ok_or("no audio in a fixture")?;
        all.extend_from_slice(&file[data + 8..]);
    }
    Ok(all)
}

fn header(channels: u16, bytes: u32) -> Vec<u8> {
    let mut header = b"RIFF".to_vec();
    header.extend((36 + bytes).to_le_bytes());
    header.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    header.extend(channels.to_le_bytes());
    header.extend((RATE as u32).to_le_bytes());
    header.extend((RATE as u32 * u32::from(channels) * 2).to_le_bytes());
    header.extend((channels * 2).to_le_bytes());
    header.extend(16u16.to_le_bytes());
    header.extend(b"data");
    header.extend(bytes.to_le_bytes());
    header
}

/// Writes WAVE files of a minute each.
pub(crate) fn minutes(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let spoken = spoken()?;
    let bytes = 60 * RATE * 2;
    (0..FILES)
        .map(|index| {
            let path = folder.join(format!("minute-{index}.wav"));
            let mut file = header(1, bytes as u32);
            file.extend(spoken.iter().cycle().skip(index * 40_000).take(bytes));
            fs::write(&path, file)?;
            Ok(path)
        })
        .collect()
}

/// Writes what is spoken in these recordings of 8 kHz mono, or in the fixtures if there are none, as one WAVE file;
/// answers how many seconds it is.
pub(crate) fn joined(recordings: &[&str], path: &Path) -> Outcome<f64> {
    let exact = EncodeSettings::at(Format::Wav, 0);
    let mut data = if recordings.is_empty() { spoken()? } else { Vec::new() };
    for recording in recordings {
        let mut wav = std::io::Cursor::new(Vec::new());
        let done = audio::transcode(Path::new(recording), recording, &mut wav, &exact, &audio::Tags::default())?;
        if (done.sample_rate as usize, done.channels) != (RATE, 1) {
            return Err(format!("{recording} is not of 8 kHz, mono").into());
        }
        data.extend_from_slice(&wav.into_inner()[44..]);
    }
    let mut file = header(1, data.len() as u32);
    file.extend(&data);
    fs::write(path, file)?;
    Ok(data.len() as f64 / 2.0 / RATE as f64)
}

/// Writes a stereo WAVE file of so many hours, the legs half a second apart.
pub(crate) fn hours(path: &Path, hours: usize) -> Outcome<()> {
    use std::io::Write;
    let spoken = spoken()?;
    let samples: Vec<[u8; 2]> = spoken.as_chunks().0.to_vec();
    let delayed = samples.iter().cycle().skip(samples.len() - RATE / 2);
    let turn: Vec<u8> =
        samples.iter().zip(delayed).flat_map(|(left, right)| [left[0], left[1], right[0], right[1]]).collect();
    let bytes = hours * 3_600 * RATE * 4;
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    file.write_all(&header(2, bytes as u32))?;
    let mut left = bytes;
    while left > 0 {
        let now = turn.len().min(left);
        file.write_all(&turn[..now])?;
        left -= now;
    }
    Ok(file.flush()?)
}

/// The samples of a file that [`minutes`] wrote.
pub(crate) fn samples(path: &Path) -> Outcome<Vec<i16>> {
    let file = fs::read(path)?;
    Ok(file[44..].as_chunks().0.iter().map(|&two| i16::from_le_bytes(two)).collect())
}
