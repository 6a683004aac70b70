//! Ogg Opus (RFC 7845), decoded at the rate it was recorded with.

use std::io::{Read, Seek, SeekFrom};

use ogg::{Packet, PacketReader};
use opus::{Channels, Decoder};

use super::BlockSource;
use super::window::Window;
use crate::error::Error;
use crate::ogg_head::OpusHead;

/// 120 ms at 48 kHz, the longest packet (RFC 6716 §2.1.4), of two channels.
const MAX_PACKET_SAMPLES: usize = 5_760 * 2;

/// Decodes page by page, because only the last packet of a page knows where the page ends.
pub(crate) struct OpusSource {
    reader: PacketReader<Window>,
    decoder: Decoder,
    channels: usize,
    serial: u32,
    /// Samples of 48 kHz in one of ours: granules count at 48 kHz whatever the rate (§4).
    granules_per_frame: u64,
    /// Frames still to drop from the start.
    skip: u64,
    pre_skip: u64,
    /// Granules decoded so far.
    decoded: u64,
    /// The granule position at which the stream begins; known after the first page.
    origin: Option<u64>,
    /// The granule position at which it ends, as the last page says.
    end: Option<u64>,
    last_packet_frames: usize,
    scratch: Vec<i16>,
    any_good: bool,
    truncated: bool,
    ended: bool,
}

impl OpusSource {
    pub(crate) fn open(mut window: Window) -> Result<Self, Error> {
        let last = last_page(&mut window)?;
        let mut reader = PacketReader::new(window);
        let packet = next_packet(&mut reader)?.ok_or(Error::Empty)?;
        let head = OpusHead::parse(&packet.data).ok_or_else(|| Error::damaged("no OpusHead"))?;
        let serial = packet.stream_serial();
        // OpusTags (§5.2): of no interest here, but it has to be there.
        if next_packet(&mut reader)?.is_none() {
            return Err(Error::Empty);
        }
        let channels = if head.channels == 1 { Channels::Mono } else { Channels::Stereo };
        let mut decoder =
            Decoder::new(head.sample_rate, channels).map_err(|error| Error::damaged(error.to_string()))?;
        decoder.set_gain(i32::from(head.gain)).map_err(|error| Error::damaged(error.to_string()))?;
        let granules_per_frame = u64::from(48_000 / head.sample_rate);
        Ok(Self {
            reader,
            decoder,
            channels: usize::from(head.channels),
            serial,
            granules_per_frame,
            skip: u64::from(head.pre_skip) / granules_per_frame,
            pre_skip: u64::from(head.pre_skip),
            decoded: 0,
            origin: None,
            end: last.filter(|(last_serial, _)| *last_serial == serial).map(|(_, granule)| granule),
            last_packet_frames: (head.sample_rate / 50) as usize,
            scratch: vec![0; MAX_PACKET_SAMPLES],
            any_good: false,
            truncated: false,
            ended: false,
        })
    }

    /// Decodes a packet onto the block; a bad one is concealed as a lost one would be.
    fn decode(&mut self, packet: &Packet, block: &mut Vec<i16>) {
        let frames = match self.decoder.decode(&packet.data, &mut self.scratch, false) {
            Ok(frames) if !packet.data.is_empty() => {
                self.any_good = true;
                frames
            }
            _ => {
                self.truncated = true;
                let wanted = self.last_packet_frames * self.channels;
                self.decoder.decode(&[], &mut self.scratch[..wanted], false).unwrap_or_else(|_| {
                    self.scratch[..wanted].fill(0);
                    self.last_packet_frames
                })
            }
        };
        self.last_packet_frames = frames;
        self.decoded += frames as u64 * self.granules_per_frame;
        block.extend_from_slice(&self.scratch[..frames * self.channels]);
    }

    /// §4.4 and §4.5: drop what the stream's end says is padding, and the pre-skip from its start.
    fn trim(&mut self, last: &Packet, block: &mut Vec<i16>) {
        let granule = last.absgp_page();
        let origin = *self.origin.get_or_insert_with(|| match last.last_in_stream() {
            // A single page: it begins at 0 and what is too much is padding.
            true => 0,
            false => granule.saturating_sub(self.decoded),
        });
        if last.last_in_stream() {
            let end = granule.saturating_sub(origin).max(self.pre_skip);
            let excess = self.decoded.saturating_sub(end) / self.granules_per_frame;
            let keep = (block.len() / self.channels).saturating_sub(excess as usize);
            block.truncate(keep * self.channels);
        }
        let skipped = self.skip.min((block.len() / self.channels) as u64);
        block.drain(..skipped as usize * self.channels);
        self.skip -= skipped;
    }
}

impl BlockSource for OpusSource {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        let mut last = None;
        while !self.ended {
            let packet = match next_packet(&mut self.reader) {
                Ok(Some(packet)) if packet.stream_serial() == self.serial => packet,
                // Of another stream beside this one or behind it: the recording is not whole without it.
                Ok(Some(_)) => {
                    self.truncated = true;
                    continue;
                }
                Ok(None) => {
                    // The end of the file without the end of the stream.
                    self.truncated = true;
                    self.ended = true;
                    break;
                }
                Err(Error::Io(error)) => return Err(error.into()),
                Err(_) => {
                    self.truncated = true;
                    self.ended = true;
                    break;
                }
            };
            // An end-of-stream page may hold nothing but its mark.
            if !packet.data.is_empty() || !packet.last_in_stream() {
                self.decode(&packet, block);
            }
            self.ended = packet.last_in_stream();
            let page_ends = packet.last_in_page();
            last = Some(packet);
            if page_ends {
                if let Some(last) = last.take() {
                    self.trim(&last, block);
                }
                if !block.is_empty() {
                    return Ok(());
                }
            }
        }
        if let Some(last) = last {
            self.trim(&last, block);
        }
        if block.is_empty() && !self.any_good && self.truncated && self.decoded > 0 {
            return Err(Error::damaged("no Opus packet can be decoded"));
        }
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.truncated
    }

    fn frames(&self) -> Option<u64> {
        let granules = self.end?.checked_sub(self.origin? + self.pre_skip)?;
        Some(granules / self.granules_per_frame)
    }
}

/// Serial number and granule position of the page that ends the stream (RFC 3533 §6), if the file ends with one.
fn last_page(window: &mut Window) -> Result<Option<(u32, u64)>, Error> {
    /// A page has at most 65,307 bytes.
    const TAIL: u64 = 65_536;
    window.seek(SeekFrom::Start(window.len().saturating_sub(TAIL)))?;
    let mut tail = Vec::with_capacity(TAIL as usize);
    window.take(TAIL).read_to_end(&mut tail)?;
    window.seek(SeekFrom::Start(0))?;
    let at = tail.windows(4).rposition(|four| four == b"OggS");
    let Some(&[_, _, _, _, _, flags, g0, g1, g2, g3, g4, g5, g6, g7, s0, s1, s2, s3]) =
        at.and_then(|at| tail[at..].first_chunk::<18>())
    else {
        return Ok(None);
    };
    const END_OF_STREAM: u8 = 0x04;
    let granule = u64::from_le_bytes([g0, g1, g2, g3, g4, g5, g6, g7]);
    Ok((flags & END_OF_STREAM != 0).then_some((u32::from_le_bytes([s0, s1, s2, s3]), granule)))
}

/// The next packet; what is wrong with the pages is damage, what is wrong with the disk is not.
fn next_packet(reader: &mut PacketReader<Window>) -> Result<Option<Packet>, Error> {
    use std::io::ErrorKind;
    match reader.read_packet() {
        Ok(packet) => Ok(packet),
        Err(ogg::OggReadError::ReadError(error))
            if !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) =>
        {
            Err(error.into())
        }
        Err(error) => Err(Error::damaged(error.to_string())),
    }
}
