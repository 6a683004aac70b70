//! Sun/NeXT audio: a 24-byte big-endian header, then samples.

use std::io::Read;

use crate::error::Error;
use crate::format::Codec;
use crate::riff::read_array;

/// Where the audio of an `.au` file lies and how it is coded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Au {
    pub(crate) codec: Codec,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    pub(crate) data_start: u64,
    pub(crate) data_len: u64,
    pub(crate) truncated: bool,
}

/// Reads the header; `reader` stands at the start of the file, `file_len` is its length in bytes.
///
/// A size of ffffffff means "unknown", and Asterisk never writes any other than 0: both read to the end of the file
/// and say nothing about whether it was closed.
pub(crate) fn read<R: Read>(reader: &mut R, file_len: u64) -> Result<Au, Error> {
    let head: [u8; 24] = read_array(reader)?.ok_or(Error::Empty)?;
    let word = |index: usize| {
        let at = index * 4;
        u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
    };
    let (start, size, encoding, sample_rate, channels) = (word(1), word(2), word(3), word(4), word(5));
    let codec = match encoding {
        1 => Codec::PcmMuLaw,
        2 => Codec::PcmS8,
        3 => Codec::PcmS16Be,
        4 => Codec::PcmS24Be,
        5 => Codec::PcmS32Be,
        6 => Codec::PcmF32Be,
        7 => Codec::PcmF64Be,
        27 => Codec::PcmALaw,
        other => return Err(Error::unsupported(format!("encoding {other} in .au"))),
    };
    if start < 24 || !(1..=64).contains(&channels) || !(1..=384_000).contains(&sample_rate) {
        return Err(Error::damaged(format!("{channels} channels at {sample_rate} Hz from byte {start}")));
    }
    let rest = file_len.saturating_sub(u64::from(start));
    let known = size != 0 && size != u32::MAX;
    Ok(Au {
        codec,
        sample_rate,
        channels: channels as u16,
        data_start: u64::from(start),
        data_len: if known { rest.min(u64::from(size)) } else { rest },
        truncated: known && u64::from(size) > rest,
    })
}
