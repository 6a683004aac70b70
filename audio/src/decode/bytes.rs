//! Codecs without packets: every so many bytes are so many samples (PCM, G.711, GSM 06.10, G.722).

use std::io::Read;

use super::BlockSource;
use super::window::Window;
use crate::error::Error;
use crate::format::Codec;
use crate::{g711, g722, gsm};

/// About this many bytes are read at a time.
const READ_BYTES: usize = 32 * 1024;

enum Decoder {
    Samples(Codec),
    Gsm(gsm::Decoder),
    GsmMs(gsm::Decoder),
    G722(g722::Decoder),
}

/// Reads whole units (frames, blocks) and decodes them; a part of a unit at the end is left out and flagged.
pub(crate) struct ByteSource {
    window: Window,
    decoder: Decoder,
    buffer: Vec<u8>,
    unit: usize,
    units_read: u64,
    bad_units: u64,
    partial: bool,
}

impl ByteSource {
    /// `codec` is one without packets.
    pub(crate) fn new(window: Window, codec: Codec, channels: u16) -> Self {
        let (decoder, unit) = match codec {
            Codec::Gsm => (Decoder::Gsm(gsm::Decoder::new()), gsm::FRAME_BYTES),
            Codec::GsmMs => (Decoder::GsmMs(gsm::Decoder::new()), gsm::MS_BLOCK_BYTES),
            Codec::G722 => (Decoder::G722(g722::Decoder::new()), 1),
            codec => {
                let bytes = codec.bytes_per_sample().expect("the caller sends codecs of packets elsewhere");
                (Decoder::Samples(codec), bytes * usize::from(channels))
            }
        };
        let buffer = vec![0; (READ_BYTES / unit).max(1) * unit];
        Self { window, decoder, buffer, unit, units_read: 0, bad_units: 0, partial: false }
    }

    /// Fills the buffer as far as the file goes.
    fn fill(&mut self) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < self.buffer.len() {
            match self.window.read(&mut self.buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }
}

impl BlockSource for ByteSource {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        let filled = self.fill()?;
        let whole = filled / self.unit;
        self.partial |= filled % self.unit != 0;
        let bytes = &self.buffer[..whole * self.unit];
        match &mut self.decoder {
            Decoder::Samples(codec) => convert(*codec, bytes, block),
            Decoder::Gsm(decoder) => {
                for frame in bytes.as_chunks().0 {
                    self.bad_units += u64::from(!decoder.frame(frame, block));
                }
            }
            Decoder::GsmMs(decoder) => {
                for pair in bytes.as_chunks().0 {
                    decoder.ms_block(pair, block);
                }
            }
            Decoder::G722(decoder) => block.extend(bytes.iter().flat_map(|&byte| decoder.byte(byte))),
        }
        self.units_read += whole as u64;
        if whole == 0 && self.bad_units == self.units_read && self.window.len() > 0 {
            return Err(Error::damaged(match self.units_read {
                0 => "shorter than one frame",
                _ => "none of its frames is of the codec that it is said to be",
            }));
        }
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.partial || self.bad_units > 0
    }
}

/// Samples of any width to 16 bits: integers by their upper bits, floats rounded and clipped.
fn convert(codec: Codec, bytes: &[u8], out: &mut Vec<i16>) {
    match codec {
        Codec::PcmU8 => out.extend(bytes.iter().map(|&byte| (i16::from(byte) - 128) << 8)),
        Codec::PcmS8 => out.extend(bytes.iter().map(|&byte| i16::from(byte as i8) << 8)),
        Codec::PcmMuLaw => out.extend(bytes.iter().map(|&byte| g711::from_mulaw(byte))),
        Codec::PcmALaw => out.extend(bytes.iter().map(|&byte| g711::from_alaw(byte))),
        Codec::PcmS16Le => out.extend(bytes.as_chunks().0.iter().map(|&two| i16::from_le_bytes(two))),
        Codec::PcmS16Be => out.extend(bytes.as_chunks().0.iter().map(|&two| i16::from_be_bytes(two))),
        Codec::PcmS24Le => out.extend(bytes.as_chunks().0.iter().map(|&[_, a, b]| i16::from_le_bytes([a, b]))),
        Codec::PcmS24Be => out.extend(bytes.as_chunks().0.iter().map(|&[a, b, _]| i16::from_be_bytes([a, b]))),
        Codec::PcmS32Le => out.extend(bytes.as_chunks().0.iter().map(|&[_, _, a, b]| i16::from_le_bytes([a, b]))),
        Codec::PcmS32Be => out.extend(bytes.as_chunks().0.iter().map(|&[a, b, _, _]| i16::from_be_bytes([a, b]))),
        Codec::PcmF32Le => out.extend(bytes.as_chunks().0.iter().map(|&b| float(f64::from(f32::from_le_bytes(b))))),
        Codec::PcmF32Be => out.extend(bytes.as_chunks().0.iter().map(|&b| float(f64::from(f32::from_be_bytes(b))))),
        Codec::PcmF64Le => out.extend(bytes.as_chunks().0.iter().map(|&b| float(f64::from_le_bytes(b)))),
        Codec::PcmF64Be => out.extend(bytes.as_chunks().0.iter().map(|&b| float(f64::from_be_bytes(b)))),
        Codec::Gsm | Codec::GsmMs | Codec::G722 => unreachable!("these have decoders of their own"),
        Codec::Vorbis | Codec::Opus | Codec::Mp3 | Codec::Flac => unreachable!("these have packets"),
    }
}

/// Full scale is 1.0; the cast saturates, and makes silence of what is not a number.
fn float(value: f64) -> i16 {
    (value * 32_768.0).round() as i16
}
