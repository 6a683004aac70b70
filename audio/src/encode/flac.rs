//! Native FLAC (RFC 9639), 16 bits, block by block. STREAMINFO is written at the end.

use std::io::{Seek, SeekFrom, Write};

use md5::{Digest, Md5};

use super::{Encoder, Output};
use crate::error::Error;
use crate::tags::Tags;

mod bits;
mod frame;
mod predict;
mod rice;

use frame::FrameEncoder;

/// Samples per channel in each block but the last.
const BLOCK: usize = 4096;
/// Bytes of STREAMINFO without its block header (§8.2).
const STREAM_INFO_LEN: usize = 34;

/// A FLAC file in the making.
pub(super) struct Flac<'a> {
    output: Output<'a>,
    start: u64,
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
        let start = output.stream_position()?;
        // 0x00: STREAMINFO, not the last block. 0x84: VORBIS_COMMENT, the last one.
        output.write_all(b"fLaC\0\0\0")?;
        output.write_all(&[STREAM_INFO_LEN as u8; 1])?;
        output.write_all(&[0; STREAM_INFO_LEN])?;
        let comment = tags.vorbis_comment();
        let [_, length @ ..] = (comment.len() as u32).to_be_bytes();
        output.write_all(&[0x84])?;
        output.write_all(&length)?;
        output.write_all(&comment)?;
        Ok(Self {
            output,
            start,
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

    /// §8.2. Both block sizes are the nominal one: the last block does not count, and a decoder that is told of it
    /// takes the stream for one of variable blocks.
    fn stream_info(&self) -> [u8; STREAM_INFO_LEN] {
        let mut info = [0; STREAM_INFO_LEN];
        info[0..2].copy_from_slice(&(BLOCK as u16).to_be_bytes());
        info[2..4].copy_from_slice(&(BLOCK as u16).to_be_bytes());
        info[4..7].copy_from_slice(&self.smallest_frame.to_be_bytes()[1..]);
        info[7..10].copy_from_slice(&self.largest_frame.to_be_bytes()[1..]);
        let total = self.samples & 0xf_ffff_ffff;
        let packed = u64::from(self.sample_rate) << 44 | u64::from(self.channels - 1) << 41 | 15 << 36 | total;
        info[10..18].copy_from_slice(&packed.to_be_bytes());
        info[18..34].copy_from_slice(&self.md5.clone().finalize());
        info
    }
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
        let end = self.output.stream_position()?;
        self.output.seek(SeekFrom::Start(self.start + 8))?;
        let info = self.stream_info();
        self.output.write_all(&info)?;
        self.output.seek(SeekFrom::Start(end))?;
        Ok(self.output.flush()?)
    }
}
