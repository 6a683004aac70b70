//! Opus in Ogg (RFC 7845), at the rate of the source, in frames of 20 ms.

use std::io::Write;

use ogg::{PacketWriteEndInfo, PacketWriter};
use opus::{Application, Bitrate, Channels, Encoder as OpusEncoder};

use super::output::Output;
use super::{Encoder, library};
use crate::error::Error;
use crate::tags::Tags;

/// Granules (samples at 48 kHz) of one frame of 20 ms.
const FRAME_GRANULES: u64 = 960;
/// Packets on a page: one second of audio, so that a player seeks to the second and a cut file loses no more.
const PACKETS_PER_PAGE: u64 = 50;
/// The largest packet of one frame (RFC 6716 §3.4).
const MAX_PACKET_BYTES: usize = 1_275;
/// Speech gains little above this, and pays twice the time for it.
const COMPLEXITY: i32 = 5;
/// Below it speech is hard to follow.
const LEAST_BPS: u32 = 12_000;
/// For each channel: above it nobody hears a difference in speech.
const MOST_BPS: u32 = 64_000;
/// There is one stream in the file, so any number will do; the same recording gives the same bytes.
const SERIAL: u32 = 1;

/// An Ogg Opus file in the making.
pub(super) struct Opus<'a> {
    writer: PacketWriter<'a, Output<'a>>,
    encoder: OpusEncoder,
    channels: usize,
    /// Samples of a frame, all channels.
    frame_samples: usize,
    granules_per_frame: u64,
    pre_skip: u64,
    pending: Vec<i16>,
    /// The last packet is written when it is known to be the last.
    held: Option<Vec<u8>>,
    packets: u64,
    frames_in: u64,
    bitrate_bps: u32,
}

impl<'a> Opus<'a> {
    pub(super) fn open(
        output: Output<'a>,
        bitrate_bps: u32,
        tags: &Tags,
        sample_rate: u32,
        channels: u16,
    ) -> Result<Self, Error> {
        let layout = if channels == 1 { Channels::Mono } else { Channels::Stereo };
        let mut encoder = OpusEncoder::new(sample_rate, layout, Application::Voip).map_err(library)?;
        let bitrate_bps = bitrate_bps.clamp(LEAST_BPS, MOST_BPS * u32::from(channels));
        encoder.set_bitrate(Bitrate::Bits(bitrate_bps as i32)).map_err(library)?;
        encoder.set_complexity(COMPLEXITY).map_err(library)?;
        // A mean over the recording: pauses cost little and give their bits to speech.
        encoder.set_vbr(true).map_err(library)?;
        // Nothing is left out: what a listener takes for silence may be evidence.
        encoder.set_dtx(false).map_err(library)?;
        let granules_per_frame = u64::from(48_000 / sample_rate);
        let pre_skip = encoder.get_lookahead().map_err(library)?.max(0) as u64 * granules_per_frame;

        // §5.1.
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels as u8);
        head.extend((pre_skip as u16).to_le_bytes());
        head.extend(sample_rate.to_le_bytes());
        head.extend([0, 0, 0]);
        // §5.2.
        let mut comment = b"OpusTags".to_vec();
        comment.extend(tags.vorbis_comment());
        let mut writer = PacketWriter::new(output);
        writer.write_packet(head, SERIAL, PacketWriteEndInfo::EndPage, 0)?;
        writer.write_packet(comment, SERIAL, PacketWriteEndInfo::EndPage, 0)?;

        let frame_samples = sample_rate as usize / 50 * usize::from(channels);
        Ok(Self {
            writer,
            encoder,
            channels: usize::from(channels),
            frame_samples,
            granules_per_frame,
            pre_skip,
            pending: Vec::with_capacity(frame_samples),
            held: None,
            packets: 0,
            frames_in: 0,
            bitrate_bps,
        })
    }

    fn encode_pending(&mut self) -> Result<(), Error> {
        let packet = self.encoder.encode_vec(&self.pending, MAX_PACKET_BYTES).map_err(library)?;
        self.pending.clear();
        if let Some(before) = self.held.replace(packet) {
            let end = match self.packets % PACKETS_PER_PAGE {
                0 => PacketWriteEndInfo::EndPage,
                _ => PacketWriteEndInfo::NormalPacket,
            };
            self.writer.write_packet(before, SERIAL, end, self.packets * FRAME_GRANULES)?;
        }
        self.packets += 1;
        Ok(())
    }
}

impl Encoder for Opus<'_> {
    fn write(&mut self, mut samples: &[i16]) -> Result<(), Error> {
        self.frames_in += (samples.len() / self.channels) as u64;
        while !samples.is_empty() {
            let room = self.frame_samples - self.pending.len();
            let (now, later) = samples.split_at(samples.len().min(room));
            self.pending.extend_from_slice(now);
            samples = later;
            if self.pending.len() == self.frame_samples {
                self.encode_pending()?;
            }
        }
        Ok(())
    }

    fn bitrate_bps(&self) -> u32 {
        self.bitrate_bps
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        // Silence until the encoder has let go of the last sample (§4.4: the end granule cuts it off again).
        let end = self.pre_skip + self.frames_in * self.granules_per_frame;
        while !self.pending.is_empty() || self.packets * FRAME_GRANULES < end {
            self.pending.resize(self.frame_samples, 0);
            self.encode_pending()?;
        }
        if let Some(last) = self.held.take() {
            self.writer.write_packet(last, SERIAL, PacketWriteEndInfo::EndStream, end)?;
        }
        Ok(self.writer.inner_mut().flush()?)
    }
}
