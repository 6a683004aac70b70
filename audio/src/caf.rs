//! Core Audio's container, of uncompressed audio: big-endian chunks with sizes of 64 bits.

use std::io::{Read, Seek, SeekFrom};

use crate::error::Error;
use crate::format::Codec;
use crate::riff::read_array;

/// Where the audio of a `.caf` file lies and how it is coded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Caf {
    pub(crate) codec: Codec,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    pub(crate) data_start: u64,
    pub(crate) data_len: u64,
    pub(crate) stale_header: bool,
    pub(crate) truncated: bool,
}

/// More chunks than this before the audio: the file is not a recording.
const MAX_CHUNKS: usize = 256;

/// Walks the chunks to the audio. `file_len` is the length of the whole file in bytes. `None`: the codec has packets.
///
/// The size of the audio chunk may be -1 while it is being written: then it goes on to the end of the file.
pub(crate) fn walk<R: Read + Seek>(reader: &mut R, file_len: u64) -> Result<Option<Caf>, Error> {
    let (mut position, mut layout) = (8u64, None);
    for _ in 0..MAX_CHUNKS {
        reader.seek(SeekFrom::Start(position))?;
        let Some(head) = read_array::<12, _>(reader)? else { break };
        let size = i64::from_be_bytes(std::array::from_fn(|i| head[4 + i]));
        let body = position + 12;
        match &head[..4] {
            b"desc" => {
                let description: [u8; 32] = read_array(reader)?.ok_or(Error::Empty)?;
                let Some(codec) = codec(&description) else { return Ok(None) };
                layout = Some((codec, rate(&description), u32_at(&description, 24)));
            }
            b"data" => {
                let (codec, sample_rate, channels) = layout.ok_or_else(|| Error::damaged("audio before its layout"))?;
                if !(1..=64).contains(&channels) || !(1..=384_000).contains(&sample_rate) {
                    return Err(Error::damaged(format!("{channels} channels at {sample_rate} Hz")));
                }
                // The samples begin behind a count of edits.
                let data_start = body + 4;
                let rest = file_len.saturating_sub(data_start);
                let promised = u64::try_from(size).ok().map(|size| size.saturating_sub(4));
                let truncated = promised.is_some_and(|promised| promised > rest);
                return Ok(Some(Caf {
                    codec,
                    sample_rate,
                    channels: channels as u16,
                    data_start,
                    data_len: promised.unwrap_or(rest).min(rest),
                    stale_header: truncated || promised.is_none(),
                    truncated,
                }));
            }
            _ => {}
        }
        let next = u64::try_from(size).ok().and_then(|size| body.checked_add(size)).filter(|&next| next < file_len);
        position = next.ok_or_else(|| Error::damaged("a chunk beyond the end"))?;
    }
    Err(Error::Empty)
}

fn u32_at(bytes: &[u8; 32], at: usize) -> u32 {
    u32::from_be_bytes(std::array::from_fn(|i| bytes[at + i]))
}

/// The rate is a float of 64 bits; what is no rate becomes 0, or too large to be one.
fn rate(description: &[u8; 32]) -> u32 {
    f64::from_be_bytes(std::array::from_fn(|i| description[i])).round() as u32
}

fn codec(description: &[u8; 32]) -> Option<Codec> {
    let (flags, bits) = (u32_at(description, 12), u32_at(description, 28));
    let (float, little) = (flags & 1 != 0, flags & 2 != 0);
    Some(match (&description[8..12], float, bits, little) {
        (b"ulaw", ..) => Codec::PcmMuLaw,
        (b"alaw", ..) => Codec::PcmALaw,
        (b"lpcm", false, 8, _) => Codec::PcmS8,
        (b"lpcm", false, 16, true) => Codec::PcmS16Le,
        (b"lpcm", false, 16, false) => Codec::PcmS16Be,
        (b"lpcm", false, 24, true) => Codec::PcmS24Le,
        (b"lpcm", false, 24, false) => Codec::PcmS24Be,
        (b"lpcm", false, 32, true) => Codec::PcmS32Le,
        (b"lpcm", false, 32, false) => Codec::PcmS32Be,
        (b"lpcm", true, 32, true) => Codec::PcmF32Le,
        (b"lpcm", true, 32, false) => Codec::PcmF32Be,
        (b"lpcm", true, 64, true) => Codec::PcmF64Le,
        (b"lpcm", true, 64, false) => Codec::PcmF64Be,
        _ => return None,
    })
}
