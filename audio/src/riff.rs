//! A RIFF/WAVE walker that believes no size it has not checked.
//!
//! Recorders that were killed, or are still writing, leave sizes of 0 (Asterisk) or ffffffff (ffmpeg, rtpengine);
//! some write odd chunks without the pad byte; others append chunks after the audio. All of these are read, and RF64
//! (EBU Tech 3306), whose sizes of 64 bits stand in a chunk of their own.

use std::io::{Read, Seek, SeekFrom};

use crate::adpcm;
use crate::error::Error;
use crate::format::Codec;

/// Where the audio of a WAVE file lies and how it is coded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wav {
    pub(crate) codec: Codec,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    pub(crate) data_start: u64,
    pub(crate) data_len: u64,
    /// Bytes of one block of the codecs that have blocks.
    pub(crate) block_align: u16,
    /// Samples per channel, where a `fact` chunk tells them: a last block may be filled up.
    pub(crate) frames: Option<u64>,
    /// The sizes in the header are not those of the file.
    pub(crate) stale_header: bool,
    /// The header promises more than the file has.
    pub(crate) truncated: bool,
}

/// What a header says of its own file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Of everything.
    pub(crate) whole: u64,
    /// Of the audio.
    pub(crate) data: u64,
    /// The size of the audio was never written.
    pub(crate) open: bool,
}

pub(crate) struct Fmt {
    tag: u16,
    channels: u16,
    sample_rate: u32,
    block_align: u16,
    bits: u16,
}

/// More chunks than this before the audio: the file is not a recording.
const MAX_CHUNKS: usize = 256;

/// Walks the chunks to the audio. `file_len` is the length of the whole file in bytes.
pub(crate) fn walk<R: Read + Seek>(reader: &mut R, file_len: u64) -> Result<Wav, Error> {
    let data = find_data(reader, file_len)?;
    Ok(Wav { frames: data.frames, ..locate(&data.fmt, data.sizes, data.start, file_len)? })
}

/// Whether the header is stale, and whether it promises more than there is, whatever the codec may be.
pub(crate) fn is_stale<R: Read + Seek>(reader: &mut R, file_len: u64) -> Result<(bool, bool), Error> {
    let data = find_data(reader, file_len)?;
    let truncated = !data.sizes.open && data.sizes.data > file_len.saturating_sub(data.start);
    Ok((data.sizes.open || truncated, truncated))
}

/// The audio chunk, and what precedes it.
struct Data {
    fmt: Fmt,
    sizes: Sizes,
    frames: Option<u64>,
    start: u64,
}

fn find_data<R: Read + Seek>(reader: &mut R, file_len: u64) -> Result<Data, Error> {
    reader.seek(SeekFrom::Start(0))?;
    let riff: [u8; 12] = read_array(reader)?.ok_or(Error::NotAudio)?;
    let riff_size = u32::from_le_bytes([riff[4], riff[5], riff[6], riff[7]]);
    let mut position = 12u64;
    let (mut fmt, mut frames, mut large) = (None, None, None);
    for _ in 0..MAX_CHUNKS {
        reader.seek(SeekFrom::Start(position))?;
        let Some(head) = read_array::<8, _>(reader)? else { break };
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        let body = position + 8;
        match &head[..4] {
            b"fmt " => fmt = Some(read_fmt(reader, size)?),
            // RF64: the sizes of everything and of the audio, and the count of samples.
            b"ds64" if size >= 24 => large = read_array::<24, _>(reader)?.map(|bytes| large_sizes(&bytes)),
            b"fact" if size >= 4 => frames = read_array::<4, _>(reader)?.map(|bytes| u32::from_le_bytes(bytes).into()),
            b"data" => {
                let fmt = fmt.ok_or_else(|| Error::damaged("no fmt chunk before the audio"))?;
                let sizes = match large {
                    Some(large) if size == u32::MAX => large,
                    _ => small_sizes(riff_size, size, file_len.saturating_sub(body)),
                };
                // Where it does not fit, the count is in the other chunk, and not needed.
                let frames = frames.filter(|&frames| frames != u64::from(u32::MAX));
                return Ok(Data { fmt, sizes, frames, start: body });
            }
            _ => {}
        }
        position = next_chunk(reader, body + u64::from(size), size)?;
    }
    // A header that ends before its audio begins holds none.
    Err(if fmt.is_some() || file_len < 44 { Error::Empty } else { Error::damaged("no audio chunk") })
}

fn large_sizes(bytes: &[u8; 24]) -> Sizes {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    Sizes { whole: word(0).saturating_add(8), data: word(8), open: word(8) == 0 || word(8) == u64::MAX }
}

/// `rest` is how much there is behind the header.
fn small_sizes(riff: u32, data: u32, rest: u64) -> Sizes {
    let whole = u64::from(riff) + 8;
    match data {
        // Beyond 4 GiB no size fits: to the end of the file, then.
        u32::MAX if rest >= u64::from(u32::MAX) => Sizes { whole, data: rest, open: false },
        _ => Sizes { whole, data: data.into(), open: data == 0 || data == u32::MAX },
    }
}

/// Chunks begin at even offsets (a pad byte follows an odd one), but some writers leave the pad out. A pad byte is 0,
/// and no chunk's name begins with 0.
fn next_chunk<R: Read + Seek>(reader: &mut R, end: u64, size: u32) -> Result<u64, Error> {
    if size.is_multiple_of(2) {
        return Ok(end);
    }
    reader.seek(SeekFrom::Start(end))?;
    let padded = read_array::<1, _>(reader)?.is_none_or(|byte| byte[0] == 0);
    Ok(if padded { end + 1 } else { end })
}

pub(crate) fn read_fmt<R: Read>(reader: &mut R, size: u32) -> Result<Fmt, Error> {
    let body: [u8; 16] = read_array(reader)?.ok_or(Error::Empty)?;
    if size < 16 {
        return Err(Error::damaged("fmt chunk too short"));
    }
    let mut fmt = Fmt {
        tag: u16::from_le_bytes([body[0], body[1]]),
        channels: u16::from_le_bytes([body[2], body[3]]),
        sample_rate: u32::from_le_bytes([body[4], body[5], body[6], body[7]]),
        block_align: u16::from_le_bytes([body[12], body[13]]),
        bits: u16::from_le_bytes([body[14], body[15]]),
    };
    if fmt.tag == 0x45 && !(2..=5).contains(&fmt.bits) && fmt.sample_rate > 0 {
        // Some writers put the bits of the decoded samples there: the byte rate tells.
        let bytes_per_second = u32::from_le_bytes([body[8], body[9], body[10], body[11]]);
        fmt.bits = u16::try_from(u64::from(bytes_per_second) * 8 / u64::from(fmt.sample_rate)).unwrap_or(0);
    }
    // WAVE_FORMAT_EXTENSIBLE: the first two bytes of the sub-format's GUID are the tag.
    if fmt.tag == 0xfffe && size >= 26 {
        let extension: [u8; 10] = read_array(reader)?.ok_or(Error::Empty)?;
        fmt.tag = u16::from_le_bytes([extension[8], extension[9]]);
    }
    Ok(fmt)
}

fn codec(fmt: &Fmt) -> Result<Codec, Error> {
    let container_bits = match fmt.channels {
        0 => 0,
        channels => u32::from(fmt.block_align) * 8 / u32::from(channels),
    };
    let (block, channels) = (usize::from(fmt.block_align), usize::from(fmt.channels));
    Ok(match (fmt.tag, fmt.bits, container_bits) {
        (1, 1..=8, _) => Codec::PcmU8,
        (1, 9..=16, _) => Codec::PcmS16Le,
        // 24 bits in 32: what is not used is below, so it is read as 32.
        (1, 17..=24, 32) => Codec::PcmS32Le,
        (1, 17..=24, _) => Codec::PcmS24Le,
        (1, 25..=32, _) => Codec::PcmS32Le,
        (3, 32, _) => Codec::PcmF32Le,
        (3, 64, _) => Codec::PcmF64Le,
        (6, ..) => Codec::PcmALaw,
        (7, ..) => Codec::PcmMuLaw,
        (0x31, ..) if fmt.channels == 1 => Codec::GsmMs,
        (0x02, 4, _) if adpcm::ms_frames(block, channels) > 0 => Codec::AdpcmMs,
        (0x11, 4, _) if adpcm::ima_frames(block, channels) > 0 => Codec::AdpcmIma,
        // Antex, Archtel and APICOM had tags of their own before there was a common one.
        (0x14 | 0x40 | 0x45 | 0x64, bits @ 2..=5, _) if fmt.channels == 1 => Codec::G726 { bits: bits as u8 },
        (0x65 | 0x028f, ..) if fmt.channels == 1 => Codec::G722,
        (0x55, ..) => Codec::Mp3,
        (tag, bits, _) => {
            let name = match tag {
                0x02 => "Microsoft ADPCM",
                0x11 => "IMA ADPCM",
                0x14 | 0x40 | 0x45 | 0x64 => "G.726",
                0x65 | 0x028f => "G.722",
                0x50 => "MPEG audio",
                0x22 => "TrueSpeech",
                0x42 | 0x0111 => "G.723.1",
                0x57 => "AMR",
                0x58 => "AMR-WB",
                0x83 => "G.729",
                0x0160..=0x0163 => "Windows Media Audio",
                0x028e => "MSN Siren",
                0xa109 => "Speex",
                _ => "codec",
            };
            return Err(Error::unsupported(format!("{name} in WAV (tag {tag:#06x}, {bits} bits)")));
        }
    })
}

/// Where the audio lies that begins at `start`, if `sizes` can be believed and if not.
pub(crate) fn locate(fmt: &Fmt, sizes: Sizes, start: u64, file_len: u64) -> Result<Wav, Error> {
    let codec = codec(fmt)?;
    if fmt.channels == 0 || fmt.channels > 64 || !(1..=384_000).contains(&fmt.sample_rate) {
        return Err(Error::damaged(format!("{} channels at {} Hz", fmt.channels, fmt.sample_rate)));
    }
    let rest = file_len.saturating_sub(start);
    let (data_len, stale_header, truncated) = match sizes {
        // Closed properly and empty, or left open with its audio behind it: the size of everything tells them apart.
        Sizes { whole, data: 0, .. } if whole == file_len => (0, false, false),
        Sizes { open: true, data: 0, .. } => (rest, rest > 0, false),
        Sizes { open: true, .. } => (rest, true, false),
        Sizes { data, .. } if data > rest => (rest, true, true),
        Sizes { data, .. } => (data, false, false),
    };
    Ok(Wav {
        codec,
        sample_rate: fmt.sample_rate,
        channels: fmt.channels,
        data_start: start,
        data_len,
        block_align: fmt.block_align,
        frames: None,
        stale_header,
        truncated,
    })
}

/// The next `N` bytes, or `None` at the end of the file.
pub(crate) fn read_array<const N: usize, R: Read>(reader: &mut R) -> Result<Option<[u8; N]>, Error> {
    let mut bytes = [0; N];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error.into()),
    }
}
