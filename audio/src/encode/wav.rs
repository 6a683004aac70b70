//! RIFF/WAVE, 16-bit PCM. The sizes are written at the end.

use std::io::{Seek, SeekFrom, Write};

use super::{Encoder, Output};
use crate::error::Error;
use crate::tags::Tags;

/// A WAVE file in the making.
pub(super) struct Wav<'a> {
    output: Output<'a>,
    start: u64,
    /// Bytes before the audio.
    header_len: u64,
    data_len: u64,
    bytes: Vec<u8>,
}

impl<'a> Wav<'a> {
    pub(super) fn open(mut output: Output<'a>, tags: &Tags, sample_rate: u32, channels: u16) -> Result<Self, Error> {
        let start = output.stream_position()?;
        let block_align = channels * 2;
        let mut header = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
        header.extend(channels.to_le_bytes());
        header.extend(sample_rate.to_le_bytes());
        header.extend(sample_rate.saturating_mul(u32::from(block_align)).to_le_bytes());
        header.extend(block_align.to_le_bytes());
        header.extend(16u16.to_le_bytes());
        // Before the audio, where the length of the latter does not move it.
        header.extend(tags.riff_info());
        header.extend(b"data\0\0\0\0");
        output.write_all(&header)?;
        Ok(Self { output, start, header_len: header.len() as u64, data_len: 0, bytes: Vec::new() })
    }
}

impl Encoder for Wav<'_> {
    fn write(&mut self, samples: &[i16]) -> Result<(), Error> {
        self.bytes.clear();
        self.bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.data_len += self.bytes.len() as u64;
        Ok(self.output.write_all(&self.bytes)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        // Beyond 4 GiB no size fits; ffffffff is what readers take as "to the end of the file".
        let size = |len: u64| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        self.output.seek(SeekFrom::Start(self.start + 4))?;
        self.output.write_all(&size(self.header_len - 8 + self.data_len))?;
        self.output.seek(SeekFrom::Start(self.start + self.header_len - 4))?;
        self.output.write_all(&size(self.data_len))?;
        self.output.seek(SeekFrom::Start(self.start + self.header_len + self.data_len))?;
        Ok(self.output.flush()?)
    }
}
