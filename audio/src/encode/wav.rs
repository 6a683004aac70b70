//! RIFF/WAVE, 16-bit PCM. The sizes are written at the end, unless they are known before.

use std::io::Write;

use super::Encoder;
use super::output::{Length, Output};
use crate::error::Error;
use crate::tags::Tags;

/// A WAVE file in the making.
pub(super) struct Wav<'a> {
    output: Output<'a>,
    /// Bytes before the audio.
    header_len: u64,
    data_len: u64,
    bytes: Vec<u8>,
}

impl<'a> Wav<'a> {
    pub(super) fn open(mut output: Output<'a>, tags: &Tags, sample_rate: u32, channels: u16) -> Result<Self, Error> {
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
        let data_len = match output.length() {
            Length::Later => 0,
            Length::Frames(frames) => frames * u64::from(block_align),
            Length::Unknown => u64::MAX,
        };
        let [riff_size, data_size] = sizes(header.len() as u64, data_len);
        header[4..8].copy_from_slice(&riff_size);
        let end = header.len();
        header[end - 4..].copy_from_slice(&data_size);
        output.write_all(&header)?;
        Ok(Self { output, header_len: header.len() as u64, data_len: 0, bytes: Vec::new() })
    }
}

/// The sizes of the `RIFF` and `data` chunks. Where one does not fit (beyond 4 GiB) or is not known it is ffffffff, which
/// readers take as "to the end of the file".
fn sizes(header_len: u64, data_len: u64) -> [[u8; 4]; 2] {
    [data_len.saturating_add(header_len - 8), data_len]
        .map(|size| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes())
}

impl Encoder for Wav<'_> {
    fn write(&mut self, samples: &[i16]) -> Result<(), Error> {
        self.bytes.clear();
        self.bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        self.data_len += self.bytes.len() as u64;
        Ok(self.output.write_all(&self.bytes)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        let [riff_size, data_size] = sizes(self.header_len, self.data_len);
        self.output.patch(4, &riff_size)?;
        self.output.patch(self.header_len - 4, &data_size)?;
        Ok(self.output.flush()?)
    }
}
