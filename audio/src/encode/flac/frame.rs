//! Frames and their subframes (RFC 9639 §9): which predictor each channel of a block takes, and its bits.
//!
//! Recordings out of G.711 have nothing in their lowest bits, which makes a third of their size: they are left out
//! (§9.2.2, "wasted bits").

use super::bits::{Bits, crc8, crc16};
use super::predict::{self, Analysis, Linear, PRECISION};
use super::rice::{self, Plan};
use super::sync;

/// Bits of a sample of a channel that is not a difference.
const SAMPLE_BITS: u32 = 16;

/// Encodes block after block.
pub(super) struct FrameEncoder {
    sample_rate: u32,
    /// Samples of one channel in a block that is not the last one.
    block: usize,
    number: u32,
    bits: Bits,
    analysis: Analysis,
    channels: Vec<Vec<i32>>,
    residual: Vec<i32>,
    other_residual: Vec<i32>,
}

/// How the channels of a block are to be written.
#[derive(Clone, Copy)]
enum Way {
    /// In as few bits as may be.
    Shortest,
    Verbatim,
    /// By the fixed predictor of that order.
    Fixed(usize),
}

/// The ways of which the first is taken in which the samples are not misread as a header.
const WAYS: [Way; 6] = [Way::Shortest, Way::Verbatim, Way::Fixed(0), Way::Fixed(1), Way::Fixed(2), Way::Fixed(3)];

/// How a channel is written.
enum Subframe {
    Constant(i32),
    Verbatim,
    Fixed(usize, Plan),
    Linear(Linear, Plan),
}

impl FrameEncoder {
    pub(super) fn new(sample_rate: u32, block: usize) -> Self {
        Self {
            sample_rate,
            block,
            number: 0,
            bits: Bits::default(),
            analysis: Analysis::default(),
            channels: Vec::new(),
            residual: Vec::new(),
            other_residual: Vec::new(),
        }
    }

    /// Encodes a block of interleaved samples, of which each channel has at least one.
    pub(super) fn encode(&mut self, samples: &[i16], channels: usize) -> &[u8] {
        let alone = WAYS.into_iter().find(|&way| !sync::holds_another(self.write(samples, channels, way)));
        if alone.is_none() {
            self.write(samples, channels, Way::Shortest);
        }
        self.number += 1;
        self.bits.align()
    }

    /// Writes the frame of that block, in that way.
    fn write(&mut self, samples: &[i16], channels: usize, way: Way) -> &[u8] {
        self.channels.resize_with(channels, Vec::new);
        for (channel, plane) in self.channels.iter_mut().enumerate() {
            plane.clear();
            plane.extend(samples.iter().skip(channel).step_by(channels).map(|&sample| i32::from(sample)));
        }
        let (assignment, difference) = match channels {
            2 => self.decorrelate(),
            count => (count as u32 - 1, None),
        };
        self.bits.clear();
        self.header(samples.len() / channels, assignment);
        let mut planes = std::mem::take(&mut self.channels);
        for (channel, plane) in planes.iter_mut().enumerate() {
            self.subframe(plane, SAMPLE_BITS + u32::from(difference == Some(channel)), way);
        }
        self.channels = planes;
        let bytes = self.bits.align();
        let crc = crc16(bytes);
        bytes.extend(crc.to_be_bytes());
        bytes
    }

    /// §9.1.3: replaces the two channels by the pair that is smallest; tells it, and which of both is a difference.
    fn decorrelate(&mut self) -> (u32, Option<usize>) {
        let [left, right] = &mut self.channels[..] else { return (1, None) };
        let side: Vec<i32> = left.iter().zip(right.iter()).map(|(&left, &right)| left - right).collect();
        let middle: Vec<i32> = left.iter().zip(right.iter()).map(|(&left, &right)| (left + right) >> 1).collect();
        let size = |plane: &[i32]| predict::best_fixed(plane).1;
        let (l, r, s, m) = (size(left), size(right), size(&side), size(&middle));
        match [(1, l + r), (8, l + s), (9, s + r), (10, m + s)].into_iter().min_by_key(|pair| pair.1) {
            Some((8, _)) => {
                *right = side;
                (8, Some(1))
            }
            Some((9, _)) => {
                *left = side;
                (9, Some(0))
            }
            Some((10, _)) => {
                (*left, *right) = (middle, side);
                (10, Some(1))
            }
            _ => (1, None),
        }
    }

    /// §9.1.
    fn header(&mut self, len: usize, assignment: u32) {
        let bits = &mut self.bits;
        bits.put(0xfff8, 16);
        // The sizes that are a power of two have a code; any other follows.
        let coded = match len {
            _ if len != self.block => None,
            256.. if len.is_power_of_two() && len <= 32_768 => Some(len.ilog2()),
            _ => None,
        };
        bits.put(coded.unwrap_or(7), 4);
        bits.put(rate_code(self.sample_rate), 4);
        bits.put(assignment, 4);
        // 16 bits a sample, and a reserved bit.
        bits.put(0b1000, 4);
        coded_number(self.number, bits);
        if coded.is_none() {
            bits.put(len as u32 - 1, 16);
        }
        let crc = crc8(bits.align());
        bits.put(u32::from(crc), 8);
    }

    /// §9.2.
    fn subframe(&mut self, plane: &mut [i32], sample_bits: u32, way: Way) {
        let wasted = match plane.iter().fold(0, |all, &sample| all | sample) {
            0 => 0,
            all => all.trailing_zeros(),
        };
        if wasted > 0 {
            plane.iter_mut().for_each(|sample| *sample >>= wasted);
        }
        let sample_bits = sample_bits - wasted;
        let chosen = self.choose(plane, sample_bits, way);
        let kind = match &chosen {
            Subframe::Constant(_) => 0,
            Subframe::Verbatim => 1,
            Subframe::Fixed(order, _) => 8 | *order as u32,
            Subframe::Linear(linear, _) => 32 | (linear.order as u32 - 1),
        };
        let bits = &mut self.bits;
        bits.put(kind << 1 | u32::from(wasted > 0), 8);
        if wasted > 0 {
            bits.put(1, wasted);
        }
        let warm_up = |bits: &mut Bits, order: usize| {
            plane[..order].iter().for_each(|&sample| bits.put_signed(sample, sample_bits));
        };
        match chosen {
            Subframe::Constant(sample) => bits.put_signed(sample, sample_bits),
            Subframe::Verbatim => warm_up(bits, plane.len()),
            Subframe::Fixed(order, plan) => {
                warm_up(bits, order);
                rice::write(&self.residual, plane.len(), &plan, bits);
            }
            Subframe::Linear(linear, plan) => {
                warm_up(bits, linear.order);
                bits.put(PRECISION - 1, 4);
                bits.put(linear.shift, 5);
                let coefficients = &linear.coefficients[..linear.order];
                coefficients.iter().for_each(|&coefficient| bits.put_signed(coefficient, PRECISION));
                rice::write(&self.residual, plane.len(), &plan, bits);
            }
        }
    }

    /// What that way comes to, and where it is a choice the one that takes the fewest bits; leaves its residual.
    fn choose(&mut self, plane: &[i32], sample_bits: u32, way: Way) -> Subframe {
        if plane.iter().all(|&sample| sample == plane[0]) {
            return Subframe::Constant(plane[0]);
        }
        let order = match way {
            Way::Verbatim => return Subframe::Verbatim,
            Way::Fixed(order) if order < plane.len() => {
                predict::fixed_residual(plane, order, &mut self.residual);
                return Subframe::Fixed(order, rice::plan(&self.residual, plane.len()));
            }
            Way::Fixed(_) | Way::Shortest => predict::best_fixed(plane).0,
        };
        predict::fixed_residual(plane, order, &mut self.residual);
        let plan = rice::plan(&self.residual, plane.len());
        let mut fewest = plan.bits + order as u64 * u64::from(sample_bits);
        let mut chosen = Subframe::Fixed(order, plan);
        if let Some(linear) = self.analysis.linear(plane, sample_bits) {
            predict::linear_residual(plane, &linear, &mut self.other_residual);
            let plan = rice::plan(&self.other_residual, plane.len());
            let bits = plan.bits + 9 + linear.order as u64 * u64::from(sample_bits + PRECISION);
            if bits < fewest {
                fewest = bits;
                chosen = Subframe::Linear(linear, plan);
                std::mem::swap(&mut self.residual, &mut self.other_residual);
            }
        }
        if fewest < plane.len() as u64 * u64::from(sample_bits) { chosen } else { Subframe::Verbatim }
    }
}

/// §9.1.2; 0 is "as STREAMINFO says".
fn rate_code(sample_rate: u32) -> u32 {
    match sample_rate {
        88_200 => 1,
        8_000 => 4,
        16_000 => 5,
        22_050 => 6,
        24_000 => 7,
        32_000 => 8,
        44_100 => 9,
        48_000 => 10,
        96_000 => 11,
        _ => 0,
    }
}

/// §9.1.5: the frame's number as UTF-8 codes a character, up to 31 bits.
fn coded_number(number: u32, bits: &mut Bits) {
    if number < 0x80 {
        return bits.put(number, 8);
    }
    // A byte more carries five bits more.
    let more = (1..6).find(|more| number < 1 << (5 * more + 6)).unwrap_or(5);
    let lead = 0xffu32 << (7 - more) & 0xff;
    bits.put(lead | number >> (6 * more), 8);
    (0..more).rev().for_each(|byte| bits.put(0x80 | (number >> (6 * byte) & 0x3f), 8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frames_number_is_coded_as_a_character_is() {
        for number in [0, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x1_0000, 0x10_ffff] {
            let Some(character) = char::from_u32(number) else { continue };
            let mut bits = Bits::default();
            coded_number(number, &mut bits);
            assert_eq!(bits.align()[..], *character.encode_utf8(&mut [0; 4]).as_bytes(), "{number:#x}");
        }
    }
}
