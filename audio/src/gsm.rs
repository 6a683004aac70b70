//! GSM 06.10 full rate: 20 ms of speech in 260 bits, decoded in the standard's fixed-point arithmetic (ETS 300 961
//! §5.3, §6), so that the result is identical bit by bit to any other conforming decoder.
//!
//! The bits come in two packings: 33 bytes a frame, most significant bit first, behind a nibble 0xd (RFC 3551
//! §4.5.8.1); or 65 bytes for two frames, least significant bit first (Microsoft's tag 0x31, "WAV49").

/// Samples of one frame.
pub(crate) const FRAME_SAMPLES: usize = 160;
/// Bytes of one frame in the plain packing.
pub(crate) const FRAME_BYTES: usize = 33;
/// Bytes of two frames in Microsoft's packing.
pub(crate) const MS_BLOCK_BYTES: usize = 65;

/// The parameters of one frame, as coded.
#[derive(Default)]
struct Frame {
    lar: [i16; 8],
    sub: [SubFrame; 4],
}

#[derive(Default, Clone, Copy)]
struct SubFrame {
    lag: i16,
    gain: u8,
    grid: u8,
    block_max: i16,
    pulses: [i16; 13],
}

const LAR_BITS: [u32; 8] = [6, 6, 5, 5, 4, 4, 3, 3];

impl Frame {
    /// Table 1.1 of the standard: the order of the parameters is the same in both packings.
    fn read(mut bits: impl FnMut(u32) -> u16) -> Self {
        let mut frame = Self::default();
        for (value, width) in frame.lar.iter_mut().zip(LAR_BITS) {
            *value = bits(width) as i16;
        }
        for sub in &mut frame.sub {
            sub.lag = bits(7) as i16;
            sub.gain = bits(2) as u8;
            sub.grid = bits(2) as u8;
            sub.block_max = bits(6) as i16;
            for pulse in &mut sub.pulses {
                *pulse = bits(3) as i16;
            }
        }
        frame
    }
}

/// A decoder: one for each channel and stream, frames in order.
pub(crate) struct Decoder {
    /// Reconstructed residual: the last 120 samples, then the 40 of the sub-frame.
    residual: [i16; 160],
    last_lag: i16,
    last_lar: [i16; 8],
    synthesis: [i16; 9],
    deemphasis: i16,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { residual: [0; 160], last_lag: 40, last_lar: [0; 8], synthesis: [0; 9], deemphasis: 0 }
    }

    /// Decodes one frame of the plain packing. `false`, and silence, if it lacks the mark 0xd.
    pub(crate) fn frame(&mut self, bytes: &[u8; FRAME_BYTES], out: &mut Vec<i16>) -> bool {
        if bytes[0] >> 4 != 0xd {
            out.extend([0; FRAME_SAMPLES]);
            return false;
        }
        let mut at = 4;
        let frame = Frame::read(|width| {
            let value = (at..at + width)
                .fold(0, |value, bit| value << 1 | u16::from(bytes[bit as usize / 8] >> (7 - bit % 8) & 1));
            at += width;
            value
        });
        self.decode(&frame, out);
        true
    }

    /// Decodes the two frames of a block of Microsoft's packing.
    pub(crate) fn ms_block(&mut self, bytes: &[u8; MS_BLOCK_BYTES], out: &mut Vec<i16>) {
        let mut at = 0;
        for _ in 0..2 {
            let frame = Frame::read(|width| {
                let value = (0..width).fold(0, |value, offset| {
                    let bit = at + offset;
                    value | u16::from(bytes[bit as usize / 8] >> (bit % 8) & 1) << offset
                });
                at += width;
                value
            });
            self.decode(&frame, out);
        }
    }

    fn decode(&mut self, frame: &Frame, out: &mut Vec<i16>) {
        let mut samples = [0; FRAME_SAMPLES];
        for (sub, samples) in frame.sub.iter().zip(samples.chunks_exact_mut(40)) {
            self.long_term(sub, &excitation(sub));
            samples.copy_from_slice(&self.residual[120..]);
            self.residual.copy_within(40.., 0);
        }
        self.short_term(&frame.lar, &mut samples);
        for sample in &mut samples {
            let value = sample.saturating_add(mult_r(self.deemphasis, 28180));
            self.deemphasis = value;
            *sample = value.saturating_add(value) & !7;
        }
        out.extend(samples);
    }

    /// §5.3.2: the pitch that the sub-frame repeats from the last 120 samples.
    fn long_term(&mut self, sub: &SubFrame, excitation: &[i16; 40]) {
        const GAIN: [i16; 4] = [3277, 11469, 21299, 32767];
        if (40..=120).contains(&sub.lag) {
            self.last_lag = sub.lag;
        }
        let lag = self.last_lag as usize;
        let gain = GAIN[usize::from(sub.gain & 3)];
        for (k, &pulse) in excitation.iter().enumerate() {
            let repeated = mult_r(gain, self.residual[120 + k - lag]);
            self.residual[120 + k] = pulse.saturating_add(repeated);
        }
    }

    /// §5.3.3: the vocal tract, with its coefficients interpolated over the first 40 samples.
    fn short_term(&mut self, coded: &[i16; 8], samples: &mut [i16; FRAME_SAMPLES]) {
        let lar = log_area_ratios(coded);
        let last = std::mem::replace(&mut self.last_lar, lar);
        let mut start = 0;
        for (end, mix) in [
            (13, (|a, b| (a >> 2) + (b >> 2) + (a >> 1)) as fn(i32, i32) -> i32),
            (27, |a, b| (a >> 1) + (b >> 1)),
            (40, |a, b| (a >> 2) + (b >> 2) + (b >> 1)),
            (160, |_, b| b),
        ] {
            let mut reflection = [0; 8];
            for (value, (&a, &b)) in reflection.iter_mut().zip(last.iter().zip(&lar)) {
                *value = reflection_coefficient(saturate(mix(i32::from(a), i32::from(b))));
            }
            for sample in &mut samples[start..end] {
                let mut value = *sample;
                for i in (0..8).rev() {
                    value = value.saturating_sub(mult_r(reflection[i], self.synthesis[i]));
                    self.synthesis[i + 1] = self.synthesis[i].saturating_add(mult_r(reflection[i], value));
                }
                self.synthesis[0] = value;
                *sample = value;
            }
            start = end;
        }
    }
}

/// §5.3.1: thirteen pulses, scaled by the block's maximum and put on their grid.
fn excitation(sub: &SubFrame) -> [i16; 40] {
    const MANTISSA: [i16; 8] = [18431, 20479, 22527, 24575, 26623, 28671, 30719, 32767];
    let mut exponent = if sub.block_max > 15 { (sub.block_max >> 3) - 1 } else { 0 };
    let mut mantissa = sub.block_max - (exponent << 3);
    if mantissa == 0 {
        exponent = -4;
        mantissa = 7;
    } else {
        while mantissa <= 7 {
            mantissa = mantissa << 1 | 1;
            exponent -= 1;
        }
        mantissa -= 8;
    }
    let factor = MANTISSA[(mantissa & 7) as usize];
    let shift = 6 - exponent;
    let rounding = if shift > 0 { 1i16 << (shift - 1) } else { 0 };
    let mut out = [0; 40];
    for (i, &pulse) in sub.pulses.iter().enumerate() {
        let value = mult_r(factor, ((pulse << 1) - 7) << 12).saturating_add(rounding);
        out[usize::from(sub.grid & 3) + 3 * i] = value >> shift;
    }
    out
}

/// §5.3.3 (1), table 4.1: the log-area ratios out of their codes.
fn log_area_ratios(coded: &[i16; 8]) -> [i16; 8] {
    const TWICE_B: [i16; 8] = [0, 0, 4096, -5120, 188, -3584, -682, -2288];
    const MINIMUM: [i16; 8] = [-32, -32, -16, -16, -8, -8, -4, -4];
    const INVERSE_A: [i16; 8] = [13107, 13107, 13107, 13107, 19223, 17476, 31454, 29708];
    std::array::from_fn(|i| {
        let value = ((coded[i] + MINIMUM[i]) << 10).saturating_sub(TWICE_B[i]);
        let value = mult_r(INVERSE_A[i], value);
        value.saturating_add(value)
    })
}

fn reflection_coefficient(lar: i16) -> i16 {
    let magnitude = lar.saturating_abs();
    let value = if magnitude < 11059 {
        magnitude << 1
    } else if magnitude < 20070 {
        magnitude + 11059
    } else {
        (magnitude >> 2).saturating_add(26112)
    };
    if lar < 0 { -value } else { value }
}

/// A product of fractions, rounded: the standard's `mult_r`.
fn mult_r(a: i16, b: i16) -> i16 {
    saturate((i32::from(a) * i32::from(b) + 16384) >> 15)
}

fn saturate(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}
