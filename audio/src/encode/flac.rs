//! Native FLAC (RFC 9639), 16 bits, block by block. STREAMINFO is written at the end; in a
//! stream it says what is known at the start, and 0 for the rest (§8.2).

use std::io::Write;

use md5::{Digest, Md5};

use super::Encoder;
use super::output::{Length, Output};
use crate::error::Error;
use crate::tags::Tags;

mod bits;
mod frame;
mod predict;
mod rice;
mod sync;

use frame::FrameEncoder;

/// Samples per channel in each block but the last.
const BLOCK: usize = 4096;
/// No recording of speech has a higher rate; it is the highest that a frame header has a code for (§9.1.2).
pub(super) const MAX_RATE: u32 = 96_000;
/// Bytes of STREAMINFO without its block header (§8.2).
const STREAM_INFO_LEN: usize = 34;

/// A FLAC file in the making.
pub(super) struct Flac<'a> {
    output: Output<'a>,
    encoder: FrameEncoder,
    /// Of all samples, interleaved and little-endian (§8.2).
    md5: Md5,
    pending: Vec<i16>,
    bytes: Vec<u8>,
    samples: u64,
    smallest_frame: u32,
    largest_frame: u32,
    sample_rate: u32,
    channels: u16,
}

impl<'a> Flac<'a> {
    pub(super) fn open(mut output: Output<'a>, tags: &Tags, sample_rate: u32, channels: u16) -> Result<Self, Error> {
        let count = usize::from(channels);
        // 0x00: STREAMINFO, not the last block. 0x84: VORBIS_COMMENT, the last one.
        output.write_all(b"fLaC\0\0\0")?;
        output.write_all(&[STREAM_INFO_LEN as u8; 1])?;
        let samples = match output.length() {
            Length::Frames(frames) => frames,
            Length::Later | Length::Unknown => 0,
        };
        output.write_all(&stream_info(sample_rate, channels, samples, [0; 2], &[0; 16]))?;
        let comment = tags.vorbis_comment();
        let [_, length @ ..] = (comment.len() as u32).to_be_bytes();
        output.write_all(&[0x84])?;
        output.write_all(&length)?;
        output.write_all(&comment)?;
        Ok(Self {
            output,
            encoder: FrameEncoder::new(sample_rate, BLOCK),
            md5: Md5::new(),
            pending: Vec::with_capacity(BLOCK * count),
            bytes: Vec::with_capacity(BLOCK * count * 2),
            samples: 0,
            smallest_frame: 0,
            largest_frame: 0,
            sample_rate,
            channels,
        })
    }

    fn encode_pending(&mut self) -> Result<(), Error> {
        self.bytes.clear();
        self.bytes.extend(self.pending.iter().flat_map(|sample| sample.to_le_bytes()));
        self.md5.update(&self.bytes);
        let channels = usize::from(self.channels);
        let frame = self.encoder.encode(&self.pending, channels);
        let len = frame.len() as u32;
        self.output.write_all(frame)?;
        self.smallest_frame = if self.samples == 0 { len } else { self.smallest_frame.min(len) };
        self.largest_frame = self.largest_frame.max(len);
        self.samples += (self.pending.len() / channels) as u64;
        self.pending.clear();
        Ok(())
    }
}

/// §8.2. Both block sizes are the nominal one: the last block does not count, and a decoder that is told of it takes the
/// stream for one of variable blocks.
fn stream_info(
    sample_rate: u32,
    channels: u16,
    samples: u64,
    frame_bytes: [u32; 2],
    md5: &[u8],
) -> [u8; STREAM_INFO_LEN] {
    let mut info = [0; STREAM_INFO_LEN];
    info[0..2].copy_from_slice(&(BLOCK as u16).to_be_bytes());
    info[2..4].copy_from_slice(&(BLOCK as u16).to_be_bytes());
    info[4..7].copy_from_slice(&frame_bytes[0].to_be_bytes()[1..]);
    info[7..10].copy_from_slice(&frame_bytes[1].to_be_bytes()[1..]);
    let total = if samples > 0xf_ffff_ffff { 0 } else { samples };
    let packed = u64::from(sample_rate) << 44 | u64::from(channels - 1) << 41 | 15 << 36 | total;
    info[10..18].copy_from_slice(&packed.to_be_bytes());
    info[18..34].copy_from_slice(md5);
    info
}

impl Encoder for Flac<'_> {
    fn write(&mut self, mut samples: &[i16]) -> Result<(), Error> {
        let full = BLOCK * usize::from(self.channels);
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(full - self.pending.len()));
            self.pending.extend_from_slice(now);
            samples = later;
            if self.pending.len() == full {
                self.encode_pending()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        if !self.pending.is_empty() {
            self.encode_pending()?;
        }
        let frame_bytes = [self.smallest_frame, self.largest_frame];
        let md5 = self.md5.finalize();
        let info = stream_info(self.sample_rate, self.channels, self.samples, frame_bytes, &md5);
        self.output.patch(8, &info)?;
        Ok(self.output.flush()?)
    }
}
