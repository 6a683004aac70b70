//! G.726 at 16, 24, 32 and 40 kbit/s: ADPCM with a predictor of two poles and six zeros (ITU-T G.726 §4; the block names
//! in the comments are those of its figures). After the public-domain G.721 and G.723 code of Sun Microsystems.

use crate::format::Codec;

/// What differs from rate to rate, by the code without its sign: the quantiser's output as a logarithm (tables 7 to
/// 10), the scale factor multipliers W times 32, and the speed control's F.
struct Tables {
    levels: &'static [i32],
    weights: &'static [i32],
    speeds: &'static [i32],
}

const TABLES: [Tables; 4] = [
    Tables { levels: &[116, 365], weights: &[-704, 14_048], speeds: &[0, 7] },
    Tables { levels: &[-2_048, 135, 273, 373], weights: &[-128, 960, 4_384, 18_624], speeds: &[0, 1, 2, 7] },
    Tables {
        levels: &[-2_048, 4, 135, 213, 273, 323, 373, 425],
        weights: &[-384, 576, 1_312, 2_048, 3_584, 6_336, 11_360, 35_904],
        speeds: &[0, 0, 0, 1, 1, 1, 3, 7],
    },
    Tables {
        levels: &[-2_048, -66, 28, 104, 169, 224, 274, 318, 358, 395, 429, 459, 488, 514, 539, 566],
        weights: &[
            448, 448, 768, 1_248, 1_280, 1_312, 1_856, 3_200, 4_512, 5_728, 7_008, 8_960, 11_456, 14_080, 16_928,
            22_272,
        ],
        speeds: &[0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 3, 4, 5, 6, 6],
    },
];

/// Four bits of exponent above six of mantissa, and the sign by itself (FLOAT A and FLOAT B).
#[derive(Clone, Copy)]
struct Float {
    negative: bool,
    exponent: i32,
    mantissa: i32,
}

impl Float {
    const ZERO: Self = Self { negative: false, exponent: 0, mantissa: 32 };

    fn new(negative: bool, magnitude: i32) -> Self {
        let exponent = bit_length(magnitude);
        let mantissa = if magnitude == 0 { 32 } else { (magnitude << 6) >> exponent };
        Self { negative, exponent, mantissa }
    }
}

/// A decoder: one for each stream, bytes in order.
pub(crate) struct Decoder {
    bits: u32,
    /// The first code of a byte is in its upper bits.
    upper_first: bool,
    /// Bits of a code whose others are in the next byte.
    held: u32,
    held_bits: u32,
    tables: &'static Tables,
    /// YL and YU, the scale factors.
    slow_scale: i32,
    fast_scale: i32,
    /// DMS, DML and AP, the adaptation speed.
    short_average: i32,
    long_average: i32,
    speed: i32,
    /// A1, A2 and B1 to B6.
    pole_coefficients: [i32; 2],
    zero_coefficients: [i32; 6],
    /// SR1, SR2 and DQ1 to DQ6.
    signals: [Float; 2],
    differences: [Float; 6],
    /// PK1 and PK2, the signs of the partial signal.
    signs: [bool; 2],
    /// TD.
    tone: bool,
}

impl Decoder {
    /// For a codec that is G.726.
    pub(crate) fn new(codec: Codec) -> Self {
        let (bits, upper_first) = match codec {
            Codec::G726Le { bits } => (bits, false),
            Codec::G726 { bits } => (bits, true),
            _ => unreachable!("the caller asks for G.726 only"),
        };
        Self {
            bits: u32::from(bits.clamp(2, 5)),
            upper_first,
            held: 0,
            held_bits: 0,
            tables: &TABLES[usize::from(bits.clamp(2, 5)) - 2],
            slow_scale: 34_816,
            fast_scale: 544,
            short_average: 0,
            long_average: 0,
            speed: 0,
            pole_coefficients: [0; 2],
            zero_coefficients: [0; 6],
            signals: [Float::ZERO; 2],
            differences: [Float::ZERO; 6],
            signs: [false; 2],
            tone: false,
        }
    }

    /// Decodes bytes onto `out`; a code may end in the next bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8], out: &mut Vec<i16>) {
        let mask = (1 << self.bits) - 1;
        for &byte in bytes {
            if self.upper_first {
                self.held = self.held << 8 | u32::from(byte);
            } else {
                self.held |= u32::from(byte) << self.held_bits;
            }
            self.held_bits += 8;
            while self.held_bits >= self.bits {
                self.held_bits -= self.bits;
                let code = if self.upper_first { self.held >> self.held_bits } else { self.held } & mask;
                self.held =
                    if self.upper_first { self.held & ((1 << self.held_bits) - 1) } else { self.held >> self.bits };
                out.push(self.code(code));
            }
        }
    }

    fn code(&mut self, code: u32) -> i16 {
        let negative = code >> (self.bits - 1) != 0;
        let magnitude = (if negative { !code } else { code } & ((1 << (self.bits - 1)) - 1)) as usize;

        // FMULT and ACCUM.
        let zeros: i32 = self.zero_coefficients.iter().zip(&self.differences).map(|(&b, &d)| product(b >> 2, d)).sum();
        let poles: i32 = self.pole_coefficients.iter().zip(&self.signals).map(|(&a, &s)| product(a >> 2, s)).sum();
        let (from_zeros, estimate) = (zeros >> 1, (zeros + poles) >> 1);

        // MIX, RECONST, ADDA and ANTILOG.
        let scale = self.scale();
        let difference = antilog(self.tables.levels[magnitude] + (scale >> 2));
        let signed = if negative { -difference } else { difference };
        let signal = estimate + signed;

        self.adapt(scale, magnitude, signed, negative, signal, signed + from_zeros);
        (signal << 2).clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }

    /// LIMA and MIX: between the slow and the fast scale factor as the speed control says.
    fn scale(&self) -> i32 {
        if self.speed >= 256 {
            return self.fast_scale;
        }
        let slow = self.slow_scale >> 6;
        // Rounds toward zero, as a product of sign and magnitude does.
        slow + (self.fast_scale - slow) * (self.speed >> 2) / 64
    }

    fn adapt(&mut self, scale: i32, code: usize, difference: i32, negative: bool, signal: i32, partial: i32) {
        // TRANS: a tone that changes suddenly starts the predictor afresh.
        let threshold = match self.slow_scale >> 15 {
            10.. => 31 << 10,
            exponent => (32 + (self.slow_scale >> 10 & 31)) << exponent,
        };
        let transition = self.tone && difference.abs() > (threshold + (threshold >> 1)) >> 1;

        // FUNCTW, FILTD, LIMB and FILTE.
        self.fast_scale = (scale + ((self.tables.weights[code] - scale) >> 5)).clamp(544, 5_120);
        self.slow_scale += self.fast_scale + (-self.slow_scale >> 6);

        if transition {
            self.pole_coefficients = [0; 2];
            self.zero_coefficients = [0; 6];
        } else {
            self.adapt_poles(partial);
            self.adapt_zeros(difference, negative);
        }
        self.differences.copy_within(..5, 1);
        self.differences[0] = Float::new(negative, difference.abs());
        self.signals[1] = self.signals[0];
        self.signals[0] = Float::new(signal < 0, signal.abs());
        self.signs = [partial < 0, self.signs[0]];
        // TONE.
        self.tone = !transition && self.pole_coefficients[1] < -11_776;

        // FUNCTF, FILTA, FILTB, SUBTC and FILTC.
        let speed = self.tables.speeds[code] << 9;
        self.short_average += (speed - self.short_average) >> 5;
        self.long_average += ((speed << 2) - self.long_average) >> 7;
        let changing = ((self.short_average << 2) - self.long_average).abs() >= self.long_average >> 3;
        self.speed = match transition {
            true => 256,
            false if scale < 1_536 || self.tone || changing => self.speed + ((512 - self.speed) >> 4),
            false => self.speed + (-self.speed >> 4),
        };
    }

    /// UPA2, LIMC, UPA1 and LIMD.
    fn adapt_poles(&mut self, partial: i32) {
        let [first, second] = &mut self.pole_coefficients;
        let negative = partial < 0;
        let mut next = *second - (*second >> 7);
        if partial != 0 {
            let slope = if negative != self.signs[0] { *first } else { -*first };
            next += match slope {
                ..-8_191 => -256,
                8_192.. => 255,
                slope => slope >> 5,
            };
            next += if negative != self.signs[1] { -128 } else { 128 };
        }
        *second = next.clamp(-12_288, 12_288);
        *first -= *first >> 8;
        if partial != 0 {
            *first += if negative != self.signs[0] { -192 } else { 192 };
        }
        let limit = 15_360 - *second;
        *first = (*first).clamp(-limit, limit);
    }

    /// UPB and XOR; at 40 kbit/s the zeros leak half as fast.
    fn adapt_zeros(&mut self, difference: i32, negative: bool) {
        let leak = if self.bits == 5 { 9 } else { 8 };
        for (coefficient, past) in self.zero_coefficients.iter_mut().zip(&self.differences) {
            *coefficient -= *coefficient >> leak;
            if difference != 0 {
                *coefficient += if past.negative == negative { 128 } else { -128 };
            }
        }
    }
}

/// FMULT: a coefficient times a past value, in the floating point of the standard.
fn product(coefficient: i32, value: Float) -> i32 {
    let magnitude = if coefficient > 0 { coefficient } else { -coefficient & 0x1fff };
    let exponent = bit_length(magnitude) - 6;
    let mantissa = match (magnitude, exponent) {
        (0, _) => 32,
        (_, 0..) => magnitude >> exponent,
        _ => magnitude << -exponent,
    };
    let exponent = exponent + value.exponent - 13;
    let mantissa = (mantissa * value.mantissa + 48) >> 4;
    let result = if exponent >= 0 { (mantissa << exponent) & 0x7fff } else { mantissa >> -exponent };
    if (coefficient < 0) != value.negative { -result } else { result }
}

/// ANTILOG: seven bits of fraction below four of exponent.
fn antilog(logarithm: i32) -> i32 {
    if logarithm < 0 {
        return 0;
    }
    ((128 + (logarithm & 127)) << 7) >> (14 - (logarithm >> 7 & 15))
}

/// How many bits a magnitude of at most 15 bits takes.
fn bit_length(magnitude: i32) -> i32 {
    (32 - magnitude.leading_zeros() as i32).min(15)
}
