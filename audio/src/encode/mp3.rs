//! MPEG layer III by LAME, of constant or variable bit rate, with a tag that tells decoders where the audio begins and
//! ends.

use std::io::Write;

use mp3lame_encoder::{
    Bitrate, Builder, DualPcm, Encoder as Lame, FlushGap, Mode, MonoPcm, Quality, VbrMode, max_required_buffer_size,
};

use super::frame_counter::{Counts, FrameCounter};
use super::info_tag::InfoTag;
use super::output::{Length, Output};
use super::{Encoder, library};
use crate::error::Error;
use crate::format::{BitrateMode, EncodeSettings};
use crate::tags::Tags;

/// LAME is given no more than this at a time.
const CHUNK_FRAMES: usize = 4_608;

/// The rates of layer III (MPEG-1, MPEG-2 and MPEG-2.5).
pub(super) const RATES: [u32; 9] = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// An MP3 file in the making.
pub(super) struct Mp3<'a> {
    output: Output<'a>,
    lame: Lame,
    channels: usize,
    /// None in a stream of unknown length: there is nothing that it could say.
    tag: Option<InfoTag>,
    tag_position: u64,
    frames: FrameCounter,
    frames_in: u64,
    /// 0 if it varies.
    bitrate_bps: u32,
    planes: [Vec<i16>; 2],
    bytes: Vec<u8>,
}

impl<'a> Mp3<'a> {
    pub(super) fn open(
        mut output: Output<'a>,
        settings: &EncodeSettings,
        tags: &Tags,
        sample_rate: u32,
        channels: u16,
    ) -> Result<Self, Error> {
        let bitrate = nearest(settings.bitrate_bps, sample_rate);
        let variable = match settings.bitrate_mode {
            BitrateMode::Constant => None,
            BitrateMode::Variable { quality } => Some(quality),
        };
        let lame = lame(bitrate, variable, sample_rate, channels).map_err(library)?;
        output.write_all(&tags.id3v2())?;
        let kbps = variable.is_none().then_some(bitrate as u32);
        let tag = InfoTag::new(sample_rate, channels, kbps)
            .ok_or_else(|| library("no frame is large enough for the info tag"))?;
        let first = match output.length() {
            Length::Later => Some(Counts::default()),
            Length::Frames(samples) => Some(Counts::of_stream(samples, sample_rate, kbps)),
            Length::Unknown => None,
        };
        let tag_position = output.position();
        if let Some(counts) = &first {
            output.write_all(&tag.frame(counts))?;
        }
        Ok(Self {
            output,
            lame,
            channels: usize::from(channels),
            tag: first.map(|_| tag),
            tag_position,
            frames: FrameCounter::default(),
            frames_in: 0,
            bitrate_bps: kbps.map_or(0, |kbps| kbps * 1_000),
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

fn lame(
    bitrate: Bitrate,
    variable: Option<u8>,
    sample_rate: u32,
    channels: u16,
) -> Result<Lame, mp3lame_encoder::BuildError> {
    let builder = Builder::new()
        .ok_or(mp3lame_encoder::BuildError::NoMem)?
        .with_num_channels(channels as u8)?
        .with_sample_rate(sample_rate)?
        // Without it LAME resamples low bit rates.
        .with_output_sample_rate(std::num::NonZeroU32::new(sample_rate))?
        .with_mode(if channels == 1 { Mode::Mono } else { Mode::JointStereo })?
        .with_quality(Quality::Good)?
        // LAME leaves its tag out where a frame is too small for it, as at 16 kHz and 32 kbit/s: ours never.
        .with_to_write_vbr_tag(false)?;
    match variable {
        None => builder.with_brate(bitrate)?.with_vbr_mode(VbrMode::Off)?,
        Some(level) => builder.with_vbr_mode(VbrMode::Mtrh)?.with_vbr_quality(vbr_quality(level))?,
    }
    .build()
}

/// LAME's `-V`, 0 (best) to 9.
fn vbr_quality(level: u8) -> Quality {
    use Quality::*;
    const ALL: [Quality; 10] = [Best, SecondBest, NearBest, VeryNice, Nice, Good, Decent, Ok, SecondWorst, Worst];
    ALL[usize::from(level).min(ALL.len() - 1)]
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
        if let Some(tag) = &self.tag {
            let counts = self.frames.counts(self.frames_in);
            self.output.patch(self.tag_position, &tag.frame(&counts))?;
        }
        Ok(self.output.flush()?)
    }
}
