//! MPEG layer III by LAME: constant bit rate, with a tag that tells decoders where the audio begins and ends.

use std::io::{Seek, SeekFrom, Write};

use mp3lame_encoder::{
    Bitrate, Builder, DualPcm, Encoder as Lame, FlushGap, Mode, MonoPcm, Quality, VbrMode, max_required_buffer_size,
};

use super::info_tag::InfoTag;
use super::{Encoder, Output, library};
use crate::error::Error;
use crate::mpeg;
use crate::tags::Tags;

/// Samples that LAME puts before the first of ours (its `ENCDELAY`).
const ENCODER_DELAY: u64 = 576;
/// LAME is given no more than this at a time.
const CHUNK_FRAMES: usize = 4_608;

/// Whether layer III has the rate (MPEG-1, MPEG-2 and MPEG-2.5).
pub(super) fn carries(sample_rate: u32) -> bool {
    matches!(sample_rate, 8_000 | 11_025 | 12_000 | 16_000 | 22_050 | 24_000 | 32_000 | 44_100 | 48_000)
}

/// An MP3 file in the making.
pub(super) struct Mp3<'a> {
    output: Output<'a>,
    lame: Lame,
    channels: usize,
    tag: InfoTag,
    tag_position: u64,
    frames: FrameCounter,
    frames_in: u64,
    bitrate_bps: u32,
    planes: [Vec<i16>; 2],
    bytes: Vec<u8>,
}

impl<'a> Mp3<'a> {
    pub(super) fn open(
        mut output: Output<'a>,
        bitrate_bps: u32,
        tags: &Tags,
        sample_rate: u32,
        channels: u16,
    ) -> Result<Self, Error> {
        let bitrate = nearest(bitrate_bps, sample_rate);
        let lame = lame(bitrate, sample_rate, channels).map_err(library)?;
        output.write_all(&tags.id3v2())?;
        let tag_position = output.stream_position()?;
        let tag = InfoTag::new(sample_rate, channels, bitrate as u32)
            .ok_or_else(|| library("no frame is large enough for the info tag"))?;
        output.write_all(&tag.frame(0, 0, 0, 0))?;
        Ok(Self {
            output,
            lame,
            channels: usize::from(channels),
            tag,
            tag_position,
            frames: FrameCounter::default(),
            frames_in: 0,
            bitrate_bps: bitrate as u32 * 1_000,
            planes: [Vec::new(), Vec::new()],
            bytes: Vec::new(),
        })
    }

    fn encode(&mut self, chunk: &[i16]) -> Result<(), Error> {
        let frames = chunk.len() / self.channels;
        self.bytes.clear();
        self.bytes.reserve(max_required_buffer_size(frames));
        if self.channels == 1 {
            self.lame.encode_to_vec(MonoPcm(chunk), &mut self.bytes).map_err(library)?;
        } else {
            for (channel, plane) in self.planes.iter_mut().enumerate() {
                plane.clear();
                plane.extend(chunk.iter().skip(channel).step_by(2));
            }
            let [left, right] = &self.planes;
            self.lame.encode_to_vec(DualPcm { left, right }, &mut self.bytes).map_err(library)?;
        }
        self.frames_in += frames as u64;
        self.frames.read(&self.bytes);
        Ok(self.output.write_all(&self.bytes)?)
    }
}

fn lame(bitrate: Bitrate, sample_rate: u32, channels: u16) -> Result<Lame, mp3lame_encoder::BuildError> {
    Builder::new()
        .ok_or(mp3lame_encoder::BuildError::NoMem)?
        .with_num_channels(channels as u8)?
        .with_sample_rate(sample_rate)?
        // Without it LAME resamples low bit rates.
        .with_output_sample_rate(std::num::NonZeroU32::new(sample_rate))?
        .with_mode(if channels == 1 { Mode::Mono } else { Mode::JointStereo })?
        .with_brate(bitrate)?
        .with_vbr_mode(VbrMode::Off)?
        .with_quality(Quality::Good)?
        // LAME leaves its tag out where a frame is too small for it, as at 16 kHz and 32 kbit/s: ours never.
        .with_to_write_vbr_tag(false)?
        .build()
}

/// The rate next to the wanted one, of those that LAME's binding offers and that the sample rate allows.
fn nearest(bitrate_bps: u32, sample_rate: u32) -> Bitrate {
    use Bitrate::*;
    const ALL: [Bitrate; 16] = [
        Kbps8, Kbps16, Kbps24, Kbps32, Kbps40, Kbps48, Kbps64, Kbps80, Kbps96, Kbps112, Kbps128, Kbps160, Kbps192,
        Kbps224, Kbps256, Kbps320,
    ];
    let (least, most) = match sample_rate {
        // MPEG-2.5 ends at 64 kbit/s in LAME.
        ..16_000 => (8, 64),
        16_000..32_000 => (8, 160),
        _ => (32, 320),
    };
    ALL.into_iter()
        .filter(|&rate| (least..=most).contains(&(rate as u32)))
        .min_by_key(|&rate| (rate as u32 * 1_000).abs_diff(bitrate_bps))
        .unwrap_or(Kbps32)
}

/// Counts the frames in a stream that arrives in pieces.
#[derive(Default)]
struct FrameCounter {
    frames: u64,
    samples: u64,
    bytes: u64,
    /// Bytes until the next header.
    skip: usize,
    /// The beginning of a header whose end is in the next piece.
    head: Vec<u8>,
}

impl FrameCounter {
    fn read(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = bytes.len().min(4 - self.head.len());
            self.head.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.head.len() < 4 {
                continue;
            }
            if let Some(header) = mpeg::frame_header(&self.head) {
                self.frames += 1;
                self.samples += u64::from(header.samples);
                self.skip = header.len - 4;
                self.head.clear();
            } else {
                // Not LAME's doing; looked for at the next byte.
                self.head.remove(0);
            }
        }
    }
}

impl Encoder for Mp3<'_> {
    fn write(&mut self, samples: &[i16]) -> Result<(), Error> {
        samples.chunks(CHUNK_FRAMES * self.channels).try_for_each(|chunk| self.encode(chunk))
    }

    fn bitrate_bps(&self) -> u32 {
        self.bitrate_bps
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.bytes.clear();
        self.bytes.reserve(max_required_buffer_size(0));
        // Not FlushNoGap: it keeps the tail, about a quarter of a second, for a next file.
        self.lame.flush_to_vec::<FlushGap>(&mut self.bytes).map_err(library)?;
        self.frames.read(&self.bytes);
        self.output.write_all(&self.bytes)?;
        let end = self.output.stream_position()?;
        let padding = self.frames.samples.saturating_sub(ENCODER_DELAY + self.frames_in);
        let tag = self.tag.frame(self.frames.frames, self.frames.bytes, ENCODER_DELAY, padding);
        self.output.seek(SeekFrom::Start(self.tag_position))?;
        self.output.write_all(&tag)?;
        self.output.seek(SeekFrom::Start(end))?;
        Ok(self.output.flush()?)
    }
}
