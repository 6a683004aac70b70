//! AIFF and AIFF-C: big-endian chunks, of which one tells the layout and another holds the samples, in either order.

use std::io::{Read, Seek, SeekFrom};

use crate::error::Error;
use crate::format::Codec;
use crate::riff::read_array;

/// Where the audio of an AIFF file lies and how it is coded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aiff {
    pub(crate) codec: Codec,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    pub(crate) data_start: u64,
    pub(crate) data_len: u64,
    pub(crate) stale_header: bool,
    pub(crate) truncated: bool,
}

/// The COMM chunk.
struct Common {
    codec: Codec,
    sample_rate: u32,
    channels: u16,
    frames: u32,
}

/// More chunks than this: the file is not a recording.
const MAX_CHUNKS: usize = 256;

/// Walks the chunks. `file_len` is the length of the whole file in bytes.
///
/// A killed recorder leaves sizes and the count of samples at 0: then the samples go on to the end of the file.
pub(crate) fn walk<R: Read + Seek>(reader: &mut R, file_len: u64) -> Result<Aiff, Error> {
    let (mut position, mut common, mut sound) = (12, None, None);
    for _ in 0..MAX_CHUNKS {
        reader.seek(SeekFrom::Start(position))?;
        let Some(head) = read_array::<8, _>(reader)? else { break };
        let size = u64::from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
        let body = position + 8;
        match &head[..4] {
            b"COMM" => common = Some(read_common(reader, size)?),
            b"SSND" => {
                let offset: [u8; 4] = read_array(reader)?.ok_or(Error::Empty)?;
                // After the offset there is the size of a block, which nobody uses.
                sound = Some((body + 8 + u64::from(u32::from_be_bytes(offset)), size));
            }
            _ => {}
        }
        let written = size > 0 || &head[..4] != b"SSND";
        if !written || (common.is_some() && sound.is_some()) {
            break;
        }
        position = body + size + size % 2;
    }
    let (Some(common), Some((data_start, size))) = (common, sound) else {
        return Err(Error::Empty);
    };
    let frame = common.codec.bytes_per_sample().unwrap_or(1) as u64 * u64::from(common.channels);
    let rest = file_len.saturating_sub(data_start);
    let promised = u64::from(common.frames) * frame;
    // What is left of the chunk behind its own 8 bytes and the offset.
    let chunk = size.saturating_sub(8);
    let open = size == 0 || (common.frames == 0 && rest > 0);
    let data_len = if open { rest } else { rest.min(chunk).min(promised) };
    let truncated = !open && promised.min(chunk) > rest;
    Ok(Aiff {
        codec: common.codec,
        sample_rate: common.sample_rate,
        channels: common.channels,
        data_start,
        data_len,
        stale_header: open && rest > 0 || truncated,
        truncated,
    })
}

fn read_common<R: Read>(reader: &mut R, size: u64) -> Result<Common, Error> {
    let body: [u8; 18] = read_array(reader)?.ok_or(Error::Empty)?;
    // AIFF-C goes on with the coding.
    let coding = if size >= 22 { read_array::<4, _>(reader)?.ok_or(Error::Empty)? } else { *b"NONE" };
    let channels = u16::from_be_bytes([body[0], body[1]]);
    let frames = u32::from_be_bytes([body[2], body[3], body[4], body[5]]);
    let bits = u16::from_be_bytes([body[6], body[7]]);
    let codec = match (&coding, bits) {
        (b"NONE" | b"twos", 1..=8) => Codec::PcmS8,
        (b"NONE" | b"twos", 9..=16) => Codec::PcmS16Be,
        (b"NONE" | b"twos" | b"in24", 17..=24) => Codec::PcmS24Be,
        (b"NONE" | b"twos" | b"in32", 25..=32) => Codec::PcmS32Be,
        (b"sowt", 9..=16) => Codec::PcmS16Le,
        (b"raw ", 1..=8) => Codec::PcmU8,
        (b"fl32" | b"FL32", _) => Codec::PcmF32Be,
        (b"fl64" | b"FL64", _) => Codec::PcmF64Be,
        (b"ulaw" | b"ULAW", _) => Codec::PcmMuLaw,
        (b"alaw" | b"ALAW", _) => Codec::PcmALaw,
        _ => {
            let coding = String::from_utf8_lossy(&coding).into_owned();
            return Err(Error::unsupported(format!("coding {coding:?} of {bits} bits in AIFF")));
        }
    };
    let sample_rate = extended(&body[8..]);
    if !(1..=64).contains(&channels) || !(1..=384_000).contains(&sample_rate) {
        return Err(Error::damaged(format!("{channels} channels at {sample_rate} Hz")));
    }
    Ok(Common { codec, sample_rate, channels, frames })
}

/// A whole number out of the 80-bit floating point of IEEE 754; 0 if it is none of a sample rate.
fn extended(bytes: &[u8]) -> u32 {
    let exponent = i32::from(u16::from_be_bytes([bytes[0], bytes[1]])) - 16_383;
    let mantissa = u32::from_be_bytes([bytes[2], bytes[3], bytes[4], bytes[5]]);
    if (0..=31).contains(&exponent) { mantissa >> (31 - exponent) } else { 0 }
}
