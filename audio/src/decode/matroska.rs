//! Opus in Matroska and WebM (as MikoPBX keeps its recordings): demuxed by Symphonia, decoded by libopus.
//!
//! The last packet is heard whole: how much of it is padding the demuxer does not tell.

use opus::{Channels, Decoder};
use symphonia::core::errors::Error as PacketError;
use symphonia::core::formats::{FormatReader, TrackType};

use super::BlockSource;
use super::packets::{Steps, contain, demuxer, guarded_step, has_other_audio, is_disk_error};
use super::window::Window;
use crate::error::Error;
use crate::format::{Codec, Container};
use crate::ogg_head::OpusHead;

/// 120 ms at 48 kHz, the longest packet (RFC 6716 §2.1.4), of two channels.
const MAX_PACKET_SAMPLES: usize = 5_760 * 2;

/// Decodes packet by packet.
pub(crate) struct OpusSource {
    reader: Box<dyn FormatReader>,
    decoder: Decoder,
    track: u32,
    channels: usize,
    /// Samples still to drop from the start, of all channels.
    skip: usize,
    scratch: Vec<i16>,
    any_good: bool,
    truncated: bool,
    ended: bool,
}

impl OpusSource {
    pub(crate) fn open(window: Window) -> Result<Self, Error> {
        contain(move || Self::open_unguarded(window))
            .unwrap_or_else(|| Err(Error::damaged("the headers cannot be read")))
    }

    fn open_unguarded(window: Window) -> Result<Self, Error> {
        let reader = demuxer(Box::new(window), Container::Matroska, Codec::Opus)?;
        let track = reader.default_track(TrackType::Audio).ok_or(Error::Empty)?;
        let truncated = has_other_audio(&*reader, track.id);
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio());
        let head = parameters.and_then(|parameters| OpusHead::parse(parameters.extra_data.as_deref()?));
        let head = head.ok_or_else(|| Error::damaged("no OpusHead"))?;
        let layout = if head.channels == 1 { Channels::Mono } else { Channels::Stereo };
        let mut decoder = Decoder::new(head.sample_rate, layout).map_err(|error| Error::damaged(error.to_string()))?;
        decoder.set_gain(i32::from(head.gain)).map_err(|error| Error::damaged(error.to_string()))?;
        let channels = usize::from(head.channels);
        // Pre-skip counts at 48 kHz (RFC 7845 §4.2).
        let skip = usize::from(head.pre_skip) / (48_000 / head.sample_rate) as usize * channels;
        Ok(Self {
            track: track.id,
            reader,
            decoder,
            channels,
            skip,
            scratch: vec![0; MAX_PACKET_SAMPLES],
            any_good: false,
            truncated,
            ended: false,
        })
    }
}

impl Steps for OpusSource {
    fn step(&mut self, block: &mut Vec<i16>) -> Result<bool, Error> {
        let packet = match self.reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(false),
            Err(PacketError::IoError(error)) if is_disk_error(&error) => return Err(error.into()),
            Err(_) => {
                self.truncated = true;
                return Ok(false);
            }
        };
        if packet.track_id != self.track {
            return Ok(true);
        }
        match self.decoder.decode(&packet.data, &mut self.scratch, false) {
            Ok(frames) if !packet.data.is_empty() => {
                self.any_good = true;
                let decoded = &self.scratch[..frames * self.channels];
                let skipped = self.skip.min(decoded.len());
                self.skip -= skipped;
                block.extend_from_slice(&decoded[skipped..]);
            }
            _ => self.truncated = true,
        }
        Ok(true)
    }

    fn note_truncated(&mut self) {
        self.truncated = true;
    }
}

impl BlockSource for OpusSource {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        while !self.ended && block.is_empty() {
            self.ended = !guarded_step(self, block)?;
        }
        if block.is_empty() && self.truncated && !self.any_good {
            return Err(Error::damaged("no Opus packet can be decoded"));
        }
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.truncated
    }
}
