//! What a file says of its own end: the sizes in a WAVE header, the last page of an Ogg stream. A handful of bytes is
//! read, whatever the file's length; nothing is decoded.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::settled::Sign;

/// The largest Ogg page (RFC 3533 §6): 27 bytes, 255 segment lengths, 255 segments of 255 bytes.
const LARGEST_OGG_PAGE: usize = 27 + 255 + 255 * 255;
/// How many chunks before a WAVE file's audio are looked at.
const MAX_CHUNKS: usize = 64;

/// Reads the sign of a file of `size` bytes.
pub(crate) fn read(file: &File, size: u64) -> io::Result<Sign> {
    if size == 0 {
        return Ok(Sign::Empty);
    }
    let mut head = [0; 12];
    let read = read_at(file, &mut head, 0)?;
    match &head[..read.min(4)] {
        b"RIFF" if read < 12 => Ok(Sign::Open),
        b"RIFF" if &head[8..] == b"WAVE" => wave(file, size, le32(&head[4..])),
        // RF64 (EBU Tech 3306): the sizes are in the chunk ds64, 64 bits each.
        b"RF64" => {
            let mut riff_size = [0; 8];
            let read = read_at(file, &mut riff_size, 20)?;
            let closed = read == 8 && u64::from_le_bytes(riff_size).checked_add(8) == Some(size);
            Ok(if closed { Sign::Closed } else { Sign::Open })
        }
        b"OggS" => ogg(file, size),
        _ => Ok(Sign::None),
    }
}

/// While it records, Asterisk leaves the sizes at 0, ffmpeg (and with it rtpengine) at ffffffff. Closed is only what
/// fits to the byte, give or take the pad byte of an odd chunk, or the 8 bytes of the RIFF header itself, which some
/// recorders count. A size that promises more than there is is of a copy on its way. One that promises less proves
/// nothing: some recorders bring their headers up to date now and then.
fn wave(file: &File, size: u64, riff_size: u32) -> io::Result<Sign> {
    let promised = u64::from(riff_size) + 8;
    // Beyond 4 GiB some recorders let the size run over.
    let fits = promised.abs_diff(size) <= 1
        || promised == size + 8
        || (size > u64::from(u32::MAX) && riff_size == (size - 8) as u32);
    if fits {
        return Ok(Sign::Closed);
    }
    if riff_size == 0 || promised > size {
        return Ok(Sign::Open);
    }
    let data_size = wave_data_size(file, size)?;
    Ok(if matches!(data_size, Some(0 | u32::MAX)) { Sign::Open } else { Sign::None })
}

fn wave_data_size(file: &File, size: u64) -> io::Result<Option<u32>> {
    let mut at = 12;
    for _ in 0..MAX_CHUNKS {
        let mut chunk = [0; 8];
        if at >= size || read_at(file, &mut chunk, at)? < 8 {
            break;
        }
        let chunk_size = le32(&chunk[4..]);
        if &chunk[..4] == b"data" {
            return Ok(Some(chunk_size));
        }
        at += 8 + u64::from(chunk_size) + u64::from(chunk_size % 2);
    }
    Ok(None)
}

/// The last page must end with the file, and have the flag that says it is the last of its stream (RFC 3533 §6).
fn ogg(file: &File, size: u64) -> io::Result<Sign> {
    let from = size.saturating_sub(LARGEST_OGG_PAGE as u64);
    let mut tail = vec![0; LARGEST_OGG_PAGE];
    let read = read_at(file, &mut tail, from)?;
    let tail = &tail[..read];
    let ends_stream = |at: usize| -> Option<bool> {
        let page = &tail[at..];
        let (header, segments) = (page.get(..27)?, usize::from(*page.get(26)?));
        let body: usize = page.get(27..27 + segments)?.iter().map(|&length| usize::from(length)).sum();
        let whole = header.starts_with(b"OggS") && page.len() == 27 + segments + body;
        Some(whole && header[5] & 4 != 0)
    };
    let closed = (0..tail.len().saturating_sub(26)).rev().any(|at| ends_stream(at) == Some(true));
    Ok(if closed { Sign::Closed } else { Sign::Open })
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Fills as much of `buffer` as the file has from `at` on.
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::Path;

    use super::*;

    fn sign_of(bytes: &[u8]) -> Sign {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read(&file, bytes.len() as u64).unwrap()
    }

    fn wav(riff_size: u32, data_size: u32, audio: usize) -> Vec<u8> {
        let mut bytes = b"RIFF".to_vec();
        bytes.extend(riff_size.to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
        bytes.extend(data_size.to_le_bytes());
        bytes.resize(44 + audio, 1);
        bytes
    }

    #[test]
    fn wave_headers_are_judged() {
        let table = [
            ("finished", wav(36 + 320, 320, 320), Sign::Closed),
            ("finished without a byte of audio", wav(36, 0, 0), Sign::Closed),
            ("odd, and not padded", wav(36 + 65, 65, 65), Sign::Closed),
            ("odd, its pad byte counted but not there", wav(36 + 66, 65, 65), Sign::Closed),
            ("its own header counted", wav(44 + 320, 320, 320), Sign::Closed),
            ("Asterisk's, in progress", wav(0, 0, 32_768), Sign::Open),
            ("Asterisk's, just begun", wav(0, 0, 0), Sign::Open),
            ("rtpengine's, in progress", wav(u32::MAX, u32::MAX, 4096), Sign::Open),
            ("libsndfile's, in progress", wav(36, 0, 4096), Sign::Open),
            ("copied half-way", wav(36 + 64_000, 64_000, 32_000), Sign::Open),
            ("brought up to date now and then", wav(36 + 320, 320, 4096), Sign::None),
            ("cut off within its header", wav(36, 0, 0)[..9].to_vec(), Sign::Open),
            ("no WAVE", b"RIFF\0\0\0\0AVI ".to_vec(), Sign::None),
            ("nothing", Vec::new(), Sign::Empty),
            ("something else", b"ID3\x04".to_vec(), Sign::None),
            ("one byte", b"R".to_vec(), Sign::None),
        ];
        for (what, bytes, sign) in table {
            assert_eq!(sign_of(&bytes), sign, "{what}");
        }
    }

    #[test]
    fn ogg_pages_are_judged() {
        let page = |flags: u8, body: &[u8]| {
            let mut bytes = b"OggS\0".to_vec();
            bytes.push(flags);
            bytes.extend([0; 20]);
            bytes.push(1);
            bytes.push(body.len() as u8);
            bytes.extend(body);
            bytes
        };
        let (first, last) = (page(2, b"begin"), page(4, b"OggS end"));
        assert_eq!(sign_of(&[first.clone(), last.clone()].concat()), Sign::Closed);
        assert_eq!(sign_of(&[first.clone(), page(0, b"more")].concat()), Sign::Open);
        assert_eq!(sign_of(&[first, last.clone(), b"x".to_vec()].concat()), Sign::Open);
        assert_eq!(sign_of(&last[..last.len() - 1]), Sign::Open);
        assert_eq!(sign_of(b"OggS"), Sign::Open);
    }

    /// What a real core server left, and what it had written while the call was up.
    #[test]
    fn real_files_are_judged() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        let mut judged = 0;
        for entry in walkdir::WalkDir::new(&fixtures).into_iter().filter_map(Result::ok) {
            let path = entry.path().to_string_lossy().into_owned();
            let finished = match () {
                () if path.contains("in-progress") => false,
                () if path.contains("/monitor/") || path.contains("/recordings/") => !path.contains(".46.wav"),
                () => continue,
            };
            let is_wave_or_ogg = [".wav", ".WAV", ".wav16", ".ogg", ".opus"].iter().any(|end| path.ends_with(end));
            if entry.file_type().is_file() && is_wave_or_ogg {
                let file = File::open(entry.path()).unwrap();
                let sign = read(&file, file.metadata().unwrap().len()).unwrap();
                assert_eq!(sign, if finished { Sign::Closed } else { Sign::Open }, "{path}");
                judged += 1;
            }
        }
        assert!(judged > 20, "{judged} files");
    }
}
