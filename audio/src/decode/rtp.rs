//! The two legs of a call out of a packet capture, left and right, each packet where its timestamp says (RFC 3550 §5.1).
//!
//! A leg is what arrives at one port of the recorder; the one that is heard first is on the left. Where nothing was
//! sent there is silence, so that both legs keep their place and the call its length.

use std::collections::VecDeque;
use std::io::BufReader;
use std::net::SocketAddr;

use super::BlockSource;
use super::window::Window;
use crate::error::Error;
use crate::format::Codec;
use crate::pcap::{Capture, Rtp};
use crate::{g711, g722};

/// RTP's clock of G.711, and by an old mistake of G.722 too (RFC 3551 §4.5.2).
const CLOCK: i64 = 8_000;
/// A timestamp that is farther from the time of arrival belongs to another clock: it begins anew.
const MAX_DRIFT: i64 = 2 * CLOCK;
/// What is older than this is handed out: packets that arrive even later are lost.
const WAIT: i64 = 3 * CLOCK;
/// No call lasts longer: a forged time must not become years of silence.
const MAX_LENGTH: i64 = 48 * 3_600 * CLOCK;
/// Frames of one block.
const BLOCK_FRAMES: i64 = 8_000;

/// Decodes a capture.
pub(crate) struct RtpSource {
    capture: Capture<BufReader<Window>>,
    legs: [Leg; 2],
    /// Samples per tick of the clock: 2 at 16 kHz.
    scale: i64,
    /// The arrival of the first packet, in microseconds.
    start: Option<u64>,
    /// Ticks that have been handed out, and up to which that may go on.
    done: i64,
    due: i64,
    /// A packet that is read, but not yet due.
    held: Option<Held>,
    samples: Vec<i16>,
    truncated: bool,
    ended: bool,
}

struct Held {
    leg: usize,
    codec: Codec,
    /// Ticks since the first packet.
    arrival: i64,
    mark: Mark,
    payload: Vec<u8>,
}

/// What tells packets of a stream apart.
#[derive(Clone, Copy, PartialEq)]
struct Mark {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Mark {
    fn of(rtp: &Rtp<'_>) -> Self {
        Self { ssrc: rtp.ssrc, sequence: rtp.sequence, timestamp: rtp.timestamp }
    }
}

/// Where a packet belongs.
enum Place {
    /// The tick at which it begins.
    At(i64),
    /// It came a second time.
    Twice,
    /// More audio has come than time has passed.
    Nowhere,
}

impl RtpSource {
    /// `sample_rate` is what the survey of the capture found.
    pub(crate) fn open(window: Window, sample_rate: u32) -> Result<Self, Error> {
        Ok(Self {
            capture: Capture::open(BufReader::with_capacity(64 * 1024, window))?,
            legs: [Leg::new(), Leg::new()],
            scale: i64::from(sample_rate) / CLOCK,
            start: None,
            done: 0,
            due: 0,
            held: None,
            samples: Vec::new(),
            truncated: false,
            ended: false,
        })
    }

    /// Reads until something is due.
    fn advance(&mut self) -> Result<(), Error> {
        while self.due <= self.done {
            if let Some(held) = self.held.take() {
                self.place(&held);
                continue;
            }
            let Some(rtp) = self.capture.next_rtp()? else {
                self.ended = true;
                break;
            };
            let Some(codec) = rtp.codec() else { continue };
            let start = *self.start.get_or_insert(rtp.at);
            let arrival = (i128::from(rtp.at.saturating_sub(start)) * i128::from(CLOCK) / 1_000_000) as i64;
            if arrival > MAX_LENGTH {
                self.truncated = true;
                continue;
            }
            self.due = self.due.max(arrival - WAIT);
            let leg = leg_of(&self.legs, &rtp);
            // Not before all that precedes it by so much has been handed out: a gap of hours is not held in memory.
            self.held = Some(Held { leg, codec, arrival, mark: Mark::of(&rtp), payload: rtp.payload.to_vec() });
            (self.legs[leg].from, self.legs[leg].to) = (Some(rtp.from), Some(rtp.to));
        }
        if self.ended {
            self.due = self.legs.iter().map(|leg| leg.end).max().unwrap_or(0);
        }
        Ok(())
    }

    fn place(&mut self, packet: &Held) {
        let leg = &mut self.legs[packet.leg];
        match leg.place(packet) {
            Place::At(at) => {
                leg.decode(packet, self.scale, &mut self.samples);
                self.truncated |= !leg.write(at, self.done, self.scale, &self.samples);
            }
            Place::Twice => {}
            Place::Nowhere => self.truncated = true,
        }
    }
}

impl BlockSource for RtpSource {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        self.advance()?;
        let ticks = (self.due - self.done).clamp(0, BLOCK_FRAMES);
        let [left, right] = &mut self.legs;
        for _ in 0..ticks * self.scale {
            block.push(left.waiting.pop_front().unwrap_or(0));
            block.push(right.waiting.pop_front().unwrap_or(0));
        }
        self.done += ticks;
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.truncated || self.capture.truncated()
    }
}

/// Which leg a packet is of: that of its port, that of its sender, or after a change of both the one that fell silent.
fn leg_of(legs: &[Leg; 2], rtp: &Rtp<'_>) -> usize {
    let found = |same: &dyn Fn(&Leg) -> bool| legs.iter().position(same);
    found(&|leg| leg.to == Some(rtp.to))
        .or_else(|| found(&|leg| leg.from == Some(rtp.from)))
        .or_else(|| found(&|leg| leg.from.is_none()))
        .unwrap_or(usize::from(legs[1].end < legs[0].end))
}

struct Leg {
    from: Option<SocketAddr>,
    to: Option<SocketAddr>,
    /// The last packet, and where it was put.
    last: Option<(Mark, i64)>,
    /// The tick after the last one that was heard.
    end: i64,
    /// Samples from the first tick that has not been handed out.
    waiting: VecDeque<i16>,
    wideband: g722::Decoder,
    before: i16,
}

impl Leg {
    fn new() -> Self {
        Self {
            from: None,
            to: None,
            last: None,
            end: 0,
            waiting: VecDeque::new(),
            wideband: g722::Decoder::new(),
            before: 0,
        }
    }

    fn place(&mut self, packet: &Held) -> Place {
        let mark = packet.mark;
        if self.last.is_some_and(|last| last.0 == mark) {
            return Place::Twice;
        }
        let same_source = self.last.filter(|(last, _)| last.ssrc == mark.ssrc);
        let expected = same_source.map(|(last, at)| at + i64::from(mark.timestamp.wrapping_sub(last.timestamp) as i32));
        let at = match expected.filter(|at| (at - packet.arrival).abs() <= MAX_DRIFT) {
            Some(at) => at,
            // The first packet, a new source, or a timestamp that jumped: it begins when it arrived.
            None => packet.arrival.max(self.end),
        };
        if at < 0 || at > packet.arrival + MAX_DRIFT {
            return Place::Nowhere;
        }
        self.last = Some((mark, at));
        self.end = self.end.max(at + packet.payload.len() as i64);
        Place::At(at)
    }

    /// Decodes a payload; a byte is one tick in all three codecs.
    fn decode(&mut self, packet: &Held, scale: i64, samples: &mut Vec<i16>) {
        samples.clear();
        let expand = match packet.codec {
            Codec::G722 => {
                samples.extend(packet.payload.iter().flat_map(|&byte| self.wideband.byte(byte)));
                return;
            }
            Codec::PcmALaw => g711::from_alaw,
            _ => g711::from_mulaw,
        };
        for sample in packet.payload.iter().map(|&byte| expand(byte)) {
            if scale == 2 {
                // The other side is wideband: between two samples lies their mean.
                samples.push(((i32::from(self.before) + i32::from(sample)) / 2) as i16);
            }
            samples.push(sample);
            self.before = sample;
        }
    }

    /// Puts samples at a tick; `false` if that has been handed out already.
    fn write(&mut self, at: i64, done: i64, scale: i64, samples: &[i16]) -> bool {
        let Ok(start) = usize::try_from((at - done) * scale) else { return false };
        if self.waiting.len() < start + samples.len() {
            self.waiting.resize(start + samples.len(), 0);
        }
        self.waiting.range_mut(start..start + samples.len()).zip(samples).for_each(|(slot, &sample)| *slot = sample);
        true
    }
}
