//! Sony Wave64: WAVE whose chunks have GUIDs for names and sizes of 64 bits.
//!
//! The size of a chunk counts its own head of 24 bytes, and the next one begins at a multiple of 8.

use std::io::{Read, Seek, SeekFrom};

use crate::error::Error;
use crate::riff::{Sizes, Wav, locate, read_array, read_fmt};

/// The file's first 16 bytes: `riff` and the rest of its GUID.
pub(crate) const RIFF: [u8; 16] = *b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";
/// What the GUIDs of the other chunks end with.
const CHUNK: [u8; 12] = *b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a";
/// The file's GUID and size, and the GUID of its kind.
const HEAD_BYTES: u64 = 40;
/// More chunks than this before the audio: the file is not a recording.
const MAX_CHUNKS: usize = 256;

/// Walks the chunks to the audio. `file_len` is the length of the whole file in bytes.
pub(crate) fn walk<R: Read + Seek>(reader: &mut R, file_len: u64) -> Result<Wav, Error> {
    reader.seek(SeekFrom::Start(16))?;
    let whole = u64::from_le_bytes(read_array(reader)?.ok_or(Error::Empty)?);
    let kind: [u8; 16] = read_array(reader)?.ok_or(Error::Empty)?;
    if !kind.starts_with(b"wave") || kind[4..] != CHUNK {
        return Err(Error::NotAudio);
    }
    let (mut position, mut fmt) = (HEAD_BYTES, None);
    for _ in 0..MAX_CHUNKS {
        reader.seek(SeekFrom::Start(position))?;
        let Some(name) = read_array::<16, _>(reader)? else { break };
        let Some(size) = read_array(reader)?.map(u64::from_le_bytes) else { break };
        let body = position + 24;
        match &name[..4] {
            b"fmt " => fmt = Some(read_fmt(reader, u32::try_from(size.saturating_sub(24)).unwrap_or(0))?),
            b"data" => {
                let fmt = fmt.ok_or_else(|| Error::damaged("no fmt chunk before the audio"))?;
                // Sizes that were never written are 0, or no more than the head.
                let data = size.saturating_sub(24);
                let sizes = Sizes { whole, data, open: size < 24 || size == u64::MAX };
                return locate(&fmt, sizes, body, file_len);
            }
            _ => {}
        }
        let next = size.max(24).checked_next_multiple_of(8).and_then(|size| position.checked_add(size));
        position = next.filter(|&next| next < file_len).ok_or_else(|| Error::damaged("a chunk beyond the end"))?;
    }
    Err(if fmt.is_some() { Error::Empty } else { Error::damaged("no audio chunk") })
}
