//! Packet captures (pcap as rtpengine writes it to record a call, and pcapng) down to RTP.
//!
//! Of the packets only those that are RTP (RFC 3550 §5.1) over UDP over IP are of interest; everything else is passed
//! over, as are fragments, of which rtpengine writes none.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::Error;
use crate::format::Codec;
use crate::riff::read_array;

mod ng;

/// A packet is never longer: the largest snapshot length that libpcap allows.
const MAX_PACKET_BYTES: u32 = 262_144;
/// A payload as short as this, of a type that is not decoded, is a key press or comfort noise and no lost speech.
const SHORT_PAYLOAD_BYTES: usize = 19;

/// The four bytes that a capture begins with: of pcapng, or of pcap in both byte orders, of microseconds and of
/// nanoseconds.
pub(crate) fn is_capture(head: &[u8]) -> bool {
    ng::is_section(head)
        || head.first_chunk::<4>().is_some_and(|magic| {
            [*magic, [magic[3], magic[2], magic[1], magic[0]]]
                .iter()
                .any(|magic| matches!(u32::from_be_bytes(*magic), 0xa1b2_c3d4 | 0xa1b2_3c4d))
        })
}

/// A capture that is read packet by packet.
pub(crate) struct Capture<R> {
    reader: R,
    layout: Layout,
    packet: Vec<u8>,
    truncated: bool,
}

/// How the packets are packed.
enum Layout {
    Classic { little_endian: bool, nanoseconds: bool, link: u32 },
    Blocks(ng::Section),
}

/// An RTP packet with audio, or with something else in its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rtp<'a> {
    /// When it was captured, in microseconds of the capture's clock.
    pub(crate) at: u64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: &'a [u8],
}

impl Rtp<'_> {
    /// The codec of a static payload type (RFC 3551 §6), if it is decoded here.
    pub(crate) fn codec(&self) -> Option<Codec> {
        match self.payload_type {
            0 => Some(Codec::PcmMuLaw),
            8 => Some(Codec::PcmALaw),
            9 => Some(Codec::G722),
            _ => None,
        }
    }

    /// Whether it carried speech that is not decoded here.
    pub(crate) fn is_foreign_speech(&self) -> bool {
        // 72 to 76 are RTCP on the same port (RFC 5761 §4).
        self.codec().is_none() && !(72..=76).contains(&self.payload_type) && self.payload.len() > SHORT_PAYLOAD_BYTES
    }
}

/// What a capture as a whole holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Survey {
    /// Of the first packet that is decoded.
    pub(crate) codec: Codec,
    /// 16 kHz if anybody spoke G.722.
    pub(crate) sample_rate: u32,
    pub(crate) truncated: bool,
}

/// Reads the whole capture, from where `reader` stands, to find out what it holds.
///
/// # Errors
/// [`Error::Empty`] if nobody spoke, [`Error::Unsupported`] if all of it is of codecs or links that are not decoded.
pub(crate) fn survey<R: Read>(reader: R) -> Result<Survey, Error> {
    let mut capture = Capture::open(reader)?;
    let (mut codec, mut wide, mut foreign) = (None, false, None);
    while let Some(rtp) = capture.next_rtp()? {
        if let Some(found) = rtp.codec() {
            codec.get_or_insert(found);
            wide |= found == Codec::G722;
        } else if rtp.is_foreign_speech() {
            foreign.get_or_insert(rtp.payload_type);
        }
    }
    let codec = codec.ok_or_else(|| match foreign {
        Some(kind) => Error::unsupported(format!("RTP of payload type {kind} in a packet capture")),
        None => Error::Empty,
    })?;
    let truncated = capture.truncated || foreign.is_some();
    Ok(Survey { codec, sample_rate: if wide { 16_000 } else { 8_000 }, truncated })
}

impl<R: Read> Capture<R> {
    /// Reads the file header.
    pub(crate) fn open(mut reader: R) -> Result<Self, Error> {
        let magic: [u8; 4] = read_array(&mut reader)?.ok_or(Error::Empty)?;
        let (mut packet, truncated) = (Vec::new(), false);
        if ng::is_section(&magic) {
            let mut section = ng::Section::new();
            let mut whole = magic.chain(&mut reader);
            let first = section.next_block(&mut whole, &mut packet)?;
            let ng::Block::Other = first else { return Err(Error::damaged("no section in the packet capture")) };
            return Ok(Self { reader, layout: Layout::Blocks(section), packet, truncated });
        }
        let head: [u8; 20] = read_array(&mut reader)?.ok_or(Error::Empty)?;
        let little_endian = matches!(magic[0], 0xd4 | 0x4d);
        let nanoseconds = matches!((magic[0], magic[3]), (0x4d, _) | (_, 0x4d));
        // The upper bits tell of frame check sequences.
        let link = check_link(word(little_endian, &head, 16) & 0x0fff_ffff)?;
        Ok(Self { reader, layout: Layout::Classic { little_endian, nanoseconds, link }, packet, truncated })
    }

    /// The next packet that is RTP; `None` at the end of the file or where it is damaged.
    pub(crate) fn next_rtp(&mut self) -> Result<Option<Rtp<'_>>, Error> {
        loop {
            let Some((link, at)) = self.next_packet()? else { return Ok(None) };
            if rtp(link, &self.packet, at).is_some() {
                break Ok(rtp(link, &self.packet, at));
            }
        }
    }

    /// Reads the next packet and returns its link and when it was captured.
    fn next_packet(&mut self) -> Result<Option<(u32, u64)>, Error> {
        let (little_endian, nanoseconds, link) = match &mut self.layout {
            Layout::Blocks(section) => loop {
                match section.next_block(&mut self.reader, &mut self.packet)? {
                    ng::Block::Packet(packet) => return Ok(Some((packet.link, packet.at))),
                    ng::Block::Other => {}
                    ng::Block::End => return Ok(None),
                    ng::Block::Cut => {
                        self.truncated = true;
                        return Ok(None);
                    }
                }
            },
            Layout::Classic { little_endian, nanoseconds, link } => (*little_endian, *nanoseconds, *link),
        };
        let mut head = [0; 16];
        let read = read_up_to(&mut self.reader, &mut head)?;
        let len = word(little_endian, &head, 8);
        if read < head.len() || len > MAX_PACKET_BYTES {
            self.truncated |= read > 0;
            return Ok(None);
        }
        self.packet.resize(len as usize, 0);
        if read_up_to(&mut self.reader, &mut self.packet)? < self.packet.len() {
            self.truncated = true;
            return Ok(None);
        }
        let (seconds, fraction) = (word(little_endian, &head, 0), word(little_endian, &head, 4));
        let micros = if nanoseconds { fraction / 1_000 } else { fraction };
        Ok(Some((link, u64::from(seconds) * 1_000_000 + u64::from(micros))))
    }

    /// Whether it ended in the middle of a packet.
    pub(crate) fn truncated(&self) -> bool {
        self.truncated
    }
}

fn word(little_endian: bool, bytes: &[u8], at: usize) -> u32 {
    let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    if little_endian { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }
}

/// A link type (those of tcpdump.org) of which [`network`] finds the packet.
fn check_link(link: u32) -> Result<u32, Error> {
    match link {
        1 | 12 | 14 | 101 | 113 | 228 | 229 | 276 => Ok(link),
        link => Err(Error::unsupported(format!("link type {link} in a packet capture"))),
    }
}

fn read_up_to(reader: &mut impl Read, bytes: &mut [u8]) -> Result<usize, Error> {
    let mut filled = 0;
    while filled < bytes.len() {
        match reader.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

fn rtp(link: u32, packet: &[u8], at: u64) -> Option<Rtp<'_>> {
    let (from, to, datagram) = udp(network(link, packet)?)?;
    let head = datagram.first_chunk::<12>()?;
    if head[0] >> 6 != 2 {
        return None;
    }
    let contributors = usize::from(head[0] & 15) * 4;
    let mut payload = datagram.get(12 + contributors..)?;
    if head[0] & 0x10 != 0 {
        let extension = payload.first_chunk::<4>()?;
        payload = payload.get(4 + usize::from(u16::from_be_bytes([extension[2], extension[3]])) * 4..)?;
    }
    if head[0] & 0x20 != 0 {
        let padding = usize::from(*payload.last()?);
        payload = payload.get(..payload.len().checked_sub(padding)?)?;
    }
    Some(Rtp {
        at,
        from,
        to,
        payload_type: head[1] & 0x7f,
        sequence: u16::from_be_bytes([head[2], head[3]]),
        timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        payload,
    })
}

/// What follows the link's own header (the link types of tcpdump.org).
fn network(link: u32, packet: &[u8]) -> Option<&[u8]> {
    match link {
        1 => {
            let tags = packet.get(12..)?.chunks(4).take_while(|four| matches!(four, [0x81 | 0x88, 0x00 | 0xa8, ..]));
            packet.get(14 + tags.count() * 4..)
        }
        113 => packet.get(16..),
        276 => packet.get(20..),
        _ => Some(packet),
    }
}

/// The two ends and the contents of a UDP datagram (RFC 768) in IPv4 (RFC 791) or IPv6 (RFC 8200).
fn udp(packet: &[u8]) -> Option<(SocketAddr, SocketAddr, &[u8])> {
    const UDP: u8 = 17;
    let (from, to, body): (IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let head = packet.first_chunk::<20>()?;
            let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x3fff;
            if head[9] != UDP || fragment != 0 {
                return None;
            }
            let address = |at: usize| IpAddr::V4(Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]));
            (address(12), address(16), packet.get(usize::from(head[0] & 15) * 4..)?)
        }
        6 => {
            let head = packet.first_chunk::<40>()?;
            if head[6] != UDP {
                return None;
            }
            let address = |at: usize| head[at..].first_chunk::<16>().map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes)));
            (address(8)?, address(24)?, &packet[40..])
        }
        _ => return None,
    };
    let head = body.first_chunk::<8>()?;
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let len = usize::from(word(4));
    Some((SocketAddr::new(from, word(0)), SocketAddr::new(to, word(2)), body.get(8..len.min(body.len()))?))
}
