//! The first page of an Ogg stream (RFC 3533 §6) and the codec headers in it.

use crate::error::Error;
use crate::format::Codec;

/// What the first packet of an Ogg stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OggHead {
    pub(crate) codec: Codec,
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
}

/// OpusHead (RFC 7845 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpusHead {
    pub(crate) channels: u16,
    /// Samples at 48 kHz to drop from the start.
    pub(crate) pre_skip: u16,
    /// The rate at which it is decoded: that of the input if Opus has it, else 48 kHz.
    pub(crate) sample_rate: u32,
    /// Q7.8 dB.
    pub(crate) gain: i16,
}

/// Rates at which Opus encodes and decodes without resampling (RFC 6716 §2).
pub(crate) const OPUS_RATES: [u32; 5] = [8_000, 12_000, 16_000, 24_000, 48_000];

impl OpusHead {
    /// Reads the packet; `None` if it is none, or of a mapping family other than 0 (mono and stereo).
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let head = packet.first_chunk::<19>()?;
        let channels = u16::from(head[9]);
        if &head[..8] != b"OpusHead" || head[8] >> 4 != 0 || head[18] != 0 || !(1..=2).contains(&channels) {
            return None;
        }
        let input_rate = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
        Some(Self {
            channels,
            pre_skip: u16::from_le_bytes([head[10], head[11]]),
            sample_rate: if OPUS_RATES.contains(&input_rate) { input_rate } else { 48_000 },
            gain: i16::from_le_bytes([head[16], head[17]]),
        })
    }
}

/// Reads the codec header in the first page, with which `bytes` begin.
pub(crate) fn read(bytes: &[u8]) -> Result<OggHead, Error> {
    let segments = usize::from(*bytes.get(26).ok_or(Error::Empty)?);
    let packet = bytes.get(27 + segments..).filter(|packet| !packet.is_empty()).ok_or(Error::Empty)?;
    if packet.starts_with(b"OpusHead") {
        let head = OpusHead::parse(packet).ok_or_else(|| Error::unsupported("Opus of more than two channels"))?;
        return Ok(OggHead { codec: Codec::Opus, sample_rate: head.sample_rate, channels: head.channels });
    }
    // Vorbis I, §4.2.2.
    if packet.starts_with(b"\x01vorbis") {
        let head = packet.first_chunk::<16>().ok_or_else(|| Error::damaged("short Vorbis header"))?;
        let sample_rate = u32::from_le_bytes([head[12], head[13], head[14], head[15]]);
        return Ok(OggHead { codec: Codec::Vorbis, sample_rate, channels: u16::from(head[11]) });
    }
    // FLAC in Ogg: 13 bytes, then STREAMINFO.
    if packet.starts_with(b"\x7fFLAC") {
        let info = packet.get(17..).ok_or_else(|| Error::damaged("short FLAC header"))?;
        let (sample_rate, channels) = flac_stream_info(info)?;
        return Ok(OggHead { codec: Codec::Flac, sample_rate, channels });
    }
    Err(Error::unsupported(if packet.starts_with(b"Speex   ") { "Speex in Ogg" } else { "this codec in Ogg" }))
}

/// Rate and channels of a STREAMINFO block without its header (RFC 9639 §8.2).
pub(crate) fn flac_stream_info(info: &[u8]) -> Result<(u32, u16), Error> {
    let info = info.first_chunk::<14>().ok_or_else(|| Error::damaged("short FLAC header"))?;
    let sample_rate = u32::from(info[10]) << 12 | u32::from(info[11]) << 4 | u32::from(info[12]) >> 4;
    Ok((sample_rate, u16::from((info[12] >> 1) & 7) + 1))
}
