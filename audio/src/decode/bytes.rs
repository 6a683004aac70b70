//! Codecs without packets: every so many bytes are so many samples (PCM, G.711, GSM 06.10, G.722, G.726, ADPCM).

use std::io::Read;

use super::BlockSource;
use super::window::Window;
use crate::error::Error;
use crate::format::Codec;
use crate::probe::Located;
use crate::{adpcm, g711, g722, g726, gsm};

/// About this many bytes are read at a time.
const READ_BYTES: usize = 32 * 1024;

enum Decoder {
    Samples(Codec),
    Gsm(gsm::Decoder),
    GsmMs(gsm::Decoder),
    G722(g722::Decoder),
    G726(g726::Decoder),
    Oki(adpcm::Oki),
    /// Blocks, each of which begins afresh.
    Blocks(fn(&[u8], usize, &mut Vec<i16>)),
}

/// Reads whole units (frames, blocks) and decodes them; a part of a unit at the end is left out and flagged.
pub(crate) struct ByteSource {
    window: Window,
    decoder: Decoder,
    channels: usize,
    buffer: Vec<u8>,
    unit: usize,
    units_read: u64,
    bad_units: u64,
    partial: bool,
    /// Samples still to come, of all channels: what a last block holds beyond them is filling.
    left: u64,
    /// Frames in all, where the bytes tell.
    promised: Option<u64>,
}

impl ByteSource {
    /// The codec is one without packets.
    pub(crate) fn new(window: Window, located: &Located) -> Self {
        let (codec, channels) = (located.probe.codec, usize::from(located.probe.channels));
        let block = usize::from(located.block_align);
        // Samples per channel of one unit, where the last one may be filled up.
        let mut unit_frames = 0;
        let (decoder, unit) = match codec {
            Codec::Gsm => (Decoder::Gsm(gsm::Decoder::new()), gsm::FRAME_BYTES),
            Codec::GsmMs => {
                unit_frames = 2 * gsm::FRAME_SAMPLES;
                (Decoder::GsmMs(gsm::Decoder::new()), gsm::MS_BLOCK_BYTES)
            }
            Codec::G722 => (Decoder::G722(g722::Decoder::new()), 1),
            Codec::G726 { .. } | Codec::G726Le { .. } => (Decoder::G726(g726::Decoder::new(codec)), 1),
            Codec::AdpcmOki => (Decoder::Oki(adpcm::Oki::new()), 1),
            Codec::AdpcmIma => {
                unit_frames = adpcm::ima_frames(block, channels);
                (Decoder::Blocks(adpcm::ima_block), block)
            }
            Codec::AdpcmMs => {
                unit_frames = adpcm::ms_frames(block, channels);
                (Decoder::Blocks(adpcm::ms_block), block)
            }
            codec => {
                let bytes = codec.bytes_per_sample().expect("the caller sends codecs of packets elsewhere");
                (Decoder::Samples(codec), bytes * channels)
            }
        };
        let unit = unit.max(1);
        // A count that is off by a block or more is not of this file.
        let units = match decoder {
            Decoder::Blocks(_) => window.len().div_ceil(unit as u64),
            _ => window.len() / unit as u64,
        };
        let whole = units * unit_frames as u64;
        let frames = located.frames.filter(|&frames| frames <= whole && whole - frames < unit_frames as u64);
        let promised = match decoder {
            Decoder::Samples(_) => Some(units),
            _ => frames,
        };
        let left = frames.map_or(u64::MAX, |frames| frames * channels as u64);
        let buffer = vec![0; (READ_BYTES / unit).max(1) * unit];
        Self { window, decoder, channels, buffer, unit, units_read: 0, bad_units: 0, partial: false, left, promised }
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
        let whole = match self.decoder {
            // Some writers leave a last block as short as its samples are few.
            Decoder::Blocks(_) => filled.div_ceil(self.unit),
            _ => filled / self.unit,
        };
        let bytes = &self.buffer[..filled.min(whole * self.unit)];
        self.partial |= bytes.len() < filled;
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
            Decoder::G726(decoder) => decoder.bytes(bytes, block),
            Decoder::Oki(decoder) => block.extend(bytes.iter().flat_map(|&byte| decoder.byte(byte))),
            Decoder::Blocks(decode) => {
                bytes.chunks(self.unit).for_each(|bytes| decode(bytes, self.channels, block));
            }
        }
        block.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= block.len() as u64;
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
        // Bytes behind the last sample that was promised are filling.
        (self.partial && self.left > 0) || self.bad_units > 0
    }

    fn frames(&self) -> Option<u64> {
        self.promised
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
        _ => unreachable!("the others have decoders of their own"),
    }
}

/// Full scale is 1.0; the cast saturates, and makes silence of what is not a number.
fn float(value: f64) -> i16 {
    (value * 32_768.0).round() as i16
}
