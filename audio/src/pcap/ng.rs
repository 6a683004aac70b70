//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng §3 and §4), of which only those that hold packets matter.

use std::io::Read;

use super::{MAX_PACKET_BYTES, check_link, read_up_to};
use crate::error::Error;
use crate::riff::read_array;

/// The type of a section's first block, the same in both byte orders.
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
/// The packet blocks that tell a time: the one in use, and the one before it.
const ENHANCED: u32 = 6;
const OBSOLETE: u32 = 2;
/// Interface, time, and both lengths.
const PACKET_HEAD_BYTES: u32 = 20;
/// Type, length, and the length again.
const FRAME_BYTES: u32 = 12;
/// A block of any other kind is passed over; one of an interface is never longer.
const MAX_INTERFACE_BYTES: u32 = 65_536;
/// More interfaces than this: nobody recorded a call with them.
const MAX_INTERFACES: usize = 256;

pub(super) fn is_section(head: &[u8]) -> bool {
    head.first_chunk::<4>() == Some(&SECTION.to_be_bytes())
}

/// What the current section has said so far.
pub(super) struct Section {
    little_endian: bool,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy)]
struct Interface {
    link: u32,
    ticks_per_second: u64,
}

/// A packet that is in the buffer.
pub(super) struct Packet {
    pub(super) link: u32,
    /// When it was captured, in microseconds.
    pub(super) at: u64,
}

/// What was read.
pub(super) enum Block {
    Packet(Packet),
    Other,
    End,
    /// The file ends, or stops making sense, within a block.
    Cut,
}

impl Section {
    pub(super) fn new() -> Self {
        Self { little_endian: true, interfaces: Vec::new() }
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let word = std::array::from_fn(|i| bytes[at + i]);
        if self.little_endian { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) }
    }

    fn half(&self, bytes: &[u8], at: usize) -> u16 {
        let half = [bytes[at], bytes[at + 1]];
        if self.little_endian { u16::from_le_bytes(half) } else { u16::from_be_bytes(half) }
    }

    /// Reads a block; of a packet the bytes are left in `packet`.
    pub(super) fn next_block(&mut self, reader: &mut impl Read, packet: &mut Vec<u8>) -> Result<Block, Error> {
        let mut head = [0; 8];
        match read_up_to(reader, &mut head)? {
            0 => return Ok(Block::End),
            8 => {}
            _ => return Ok(Block::Cut),
        }
        let (kind, mut read) = (self.word(&head, 0), 0);
        if kind == SECTION {
            let Some(order) = read_array::<4, _>(reader)? else { return Ok(Block::Cut) };
            *self = Self { little_endian: order == 0x1a2b_3c4d_u32.to_le_bytes(), interfaces: Vec::new() };
            if self.word(&order, 0) != 0x1a2b_3c4d {
                return Ok(Block::Cut);
            }
            read = 4;
        }
        let len = self.word(&head, 4);
        let Some(body) = len.checked_sub(FRAME_BYTES + read).filter(|_| len.is_multiple_of(4)) else {
            return Ok(Block::Cut);
        };
        match kind {
            INTERFACE if body <= MAX_INTERFACE_BYTES => self.interface(reader, body, packet),
            ENHANCED | OBSOLETE if body >= PACKET_HEAD_BYTES => self.packet(reader, kind, body, packet),
            _ => Ok(if skip(reader, body + 4)? { Block::Other } else { Block::Cut }),
        }
    }

    /// §4.2: the link, and in the options how fine the times are.
    fn interface(&mut self, reader: &mut impl Read, body: u32, bytes: &mut Vec<u8>) -> Result<Block, Error> {
        bytes.resize(body as usize + 4, 0);
        if read_up_to(reader, bytes)? < bytes.len() || body < 8 || self.interfaces.len() == MAX_INTERFACES {
            return Ok(Block::Cut);
        }
        let link = check_link(self.half(bytes, 0).into())?;
        let mut interface = Interface { link, ticks_per_second: 1_000_000 };
        let (mut at, end) = (8, body as usize);
        while at + 4 <= end {
            let (code, len) = (self.half(bytes, at), usize::from(self.half(bytes, at + 2)));
            if code == 0 || at + 4 + len > end {
                break;
            }
            if code == 9 && len == 1 {
                interface.ticks_per_second = resolution(bytes[at + 4]);
            }
            at += 4 + len.next_multiple_of(4);
        }
        self.interfaces.push(interface);
        Ok(Block::Other)
    }

    /// §4.3.
    fn packet(&self, reader: &mut impl Read, kind: u32, body: u32, packet: &mut Vec<u8>) -> Result<Block, Error> {
        let Some(head) = read_array::<20, _>(reader)? else { return Ok(Block::Cut) };
        let index = if kind == ENHANCED { self.word(&head, 0) as usize } else { self.half(&head, 0).into() };
        let captured = self.word(&head, 12);
        let rest = body - PACKET_HEAD_BYTES;
        let Some(interface) = self.interfaces.get(index).filter(|_| captured <= rest.min(MAX_PACKET_BYTES)) else {
            return Ok(Block::Cut);
        };
        packet.resize(captured as usize, 0);
        if read_up_to(reader, packet)? < packet.len() || !skip(reader, rest - captured + 4)? {
            return Ok(Block::Cut);
        }
        let ticks = u64::from(self.word(&head, 4)) << 32 | u64::from(self.word(&head, 8));
        let micros = u128::from(ticks) * 1_000_000 / u128::from(interface.ticks_per_second);
        Ok(Block::Packet(Packet { link: interface.link, at: u64::try_from(micros).unwrap_or(u64::MAX) }))
    }
}

/// Ticks of a second: a power of ten, or with the upper bit of two.
fn resolution(value: u8) -> u64 {
    let base: u64 = if value & 0x80 == 0 { 10 } else { 2 };
    base.checked_pow(u32::from(value & 0x7f)).unwrap_or(u64::MAX)
}

/// Whether there were so many bytes to pass over.
fn skip(reader: &mut impl Read, count: u32) -> Result<bool, Error> {
    let skipped = std::io::copy(&mut reader.take(count.into()), &mut std::io::sink())?;
    Ok(skipped == u64::from(count))
}
