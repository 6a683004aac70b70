//! Another sample rate, where one is asked for: by FFT (rubato), block by block. What comes out lasts as long as what went
//! in, to the nearest sample, and every sound keeps its place: the filter's delay is taken off.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

use crate::decode::{BlockSource, Decoding};
use crate::error::Error;
use crate::format::Format;

/// Frames of the lower rate that are transformed at a time, or some more: the longer, the steeper the filter.
const CHUNK_FRAMES: u32 = 1_024;
/// The largest terms of a ratio of rates: those of every rate that recorders know are smaller, and what memory the
/// transform takes grows with them.
const MAX_TERM: u32 = 4_096;

/// The same recording at `rate`, for `format`.
pub(crate) fn resampled((mut probe, source): Decoding, rate: u32, format: Format) -> Result<Decoding, Error> {
    let from = probe.sample_rate;
    if rate == from {
        return Ok((probe, source));
    }
    let divisor = greatest_common_divisor(from, rate);
    if rate == 0 || from.max(rate) / divisor > MAX_TERM {
        return Err(Error::UnsupportedByEncoder { format, what: format!("{from} Hz at {rate} Hz") });
    }
    let channels = usize::from(probe.channels);
    let window = WindowFunction::BlackmanHarris2;
    // An even number of units on both sides: the filter's delay is half of them, and then a whole number.
    let units = CHUNK_FRAMES.div_ceil(from.min(rate) / divisor).next_multiple_of(2);
    let chunk = units * (from / divisor);
    let fft = Fft::new_custom(from as usize, rate as usize, chunk as usize, 1, channels, window, FixedSync::Both);
    let fft = fft.map_err(refused)?;
    probe.sample_rate = rate;
    let skip = fft.output_delay();
    let source = Box::new(Resample {
        source,
        chunk: Vec::with_capacity(fft.input_frames_next() * channels),
        out: vec![0.0; fft.output_frames_max() * channels],
        fft,
        channels,
        block: Vec::new(),
        taken: 0,
        rates: [from, rate],
        frames_in: 0,
        frames_out: 0,
        skip,
        ended: false,
    });
    Ok((probe, source))
}

struct Resample {
    source: Box<dyn BlockSource>,
    fft: Fft<f32>,
    channels: usize,
    /// What was decoded last, and how much of it is used up.
    block: Vec<i16>,
    taken: usize,
    /// What is transformed next.
    chunk: Vec<f32>,
    out: Vec<f32>,
    /// From, to.
    rates: [u32; 2],
    frames_in: u64,
    frames_out: u64,
    /// Frames of the filter's delay that are still to come.
    skip: usize,
    ended: bool,
}

impl Resample {
    /// Fills the chunk, at the end with silence.
    fn fill(&mut self) -> Result<(), Error> {
        let wanted = self.fft.input_frames_next() * self.channels;
        self.chunk.clear();
        while self.chunk.len() < wanted && !self.ended {
            if self.taken == self.block.len() {
                self.source.next_block(&mut self.block)?;
                self.taken = 0;
                self.ended = self.block.is_empty();
            }
            let now = (self.block.len() - self.taken).min(wanted - self.chunk.len());
            let samples = &self.block[self.taken..self.taken + now];
            self.chunk.extend(samples.iter().map(|&sample| f32::from(sample)));
            self.taken += now;
        }
        self.frames_in += (self.chunk.len() / self.channels) as u64;
        self.chunk.resize(wanted, 0.0);
        Ok(())
    }
}

impl BlockSource for Resample {
    fn next_block(&mut self, block: &mut Vec<i16>) -> Result<(), Error> {
        block.clear();
        while block.is_empty() {
            if self.ended && self.frames_out == scaled(self.frames_in, self.rates) {
                return Ok(());
            }
            self.fill()?;
            let frames = self.out.len() / self.channels;
            let input = InterleavedSlice::new(&self.chunk, self.channels, self.chunk.len() / self.channels);
            let output = InterleavedSlice::new_mut(&mut self.out, self.channels, frames);
            let (input, mut output) = (input.map_err(refused)?, output.map_err(refused)?);
            let (_, made) = self.fft.process_into_buffer(&input, &mut output, None).map_err(refused)?;
            let skipped = self.skip.min(made);
            self.skip -= skipped;
            let most = if self.ended { scaled(self.frames_in, self.rates) - self.frames_out } else { u64::MAX };
            let kept = usize::try_from(most).unwrap_or(usize::MAX).min(made - skipped);
            self.frames_out += kept as u64;
            let samples = &self.out[skipped * self.channels..(skipped + kept) * self.channels];
            // The cast saturates: what the filter lets overshoot is clipped.
            block.extend(samples.iter().map(|sample| sample.round() as i16));
        }
        Ok(())
    }

    fn truncated(&self) -> bool {
        self.source.truncated()
    }

    fn frames(&self) -> Option<u64> {
        self.source.frames().map(|frames| scaled(frames, self.rates))
    }
}

/// So many frames at the new rate, rounded to the nearest; not none where there was one.
fn scaled(frames: u64, [from, to]: [u32; 2]) -> u64 {
    let (wide, from, to) = (u128::from(frames), u128::from(from), u128::from(to));
    u64::try_from((wide * to + from / 2) / from).unwrap_or(u64::MAX).max(frames.min(1))
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { greatest_common_divisor(b, a % b) }
}

/// The library refused what was checked before: a defect, not the recording's fault.
fn refused(error: impl std::fmt::Display) -> Error {
    Error::Io(std::io::Error::other(error.to_string()))
}
