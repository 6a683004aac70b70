//! G.722 at 64 kbit/s: two sub-bands of ADPCM, one byte for two samples at 16 kHz (ITU-T G.722 §4; the block names in
//! the comments are those of its figures). After the public-domain decoder of Carnegie Mellon and SpanDSP.

/// A decoder: one for each stream, bytes in order.
pub(crate) struct Decoder {
    low: Band,
    high: Band,
    history: [i32; 24],
}

/// The adaptive predictor and quantiser of one sub-band.
#[derive(Default)]
struct Band {
    signal: i32,
    zeros: i32,
    poles: [i32; 3],
    pole_coefficients: [i32; 3],
    partial: [i32; 3],
    differences: [i32; 7],
    zero_coefficients: [i32; 7],
    log_scale: i32,
    scale: i32,
}

const LOG_LOW: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const LOG_LOW_INDEX: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const LOG_HIGH: [i32; 3] = [0, -214, 798];
const LOG_HIGH_INDEX: [usize; 4] = [2, 1, 2, 1];
const INVERSE_LOG: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];
const QUANTISER_2: [i32; 4] = [-7408, -1616, 7408, 1616];
const QUANTISER_4: [i32; 16] =
    [0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0];
const QUANTISER_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576,
    -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040,
    -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
    4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];
const MIRROR_FILTER: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];

impl Decoder {
    pub(crate) fn new() -> Self {
        let band = |scale| Band { scale, ..Band::default() };
        Self { low: band(32), high: band(8), history: [0; 24] }
    }

    /// Decodes one byte to the next two samples.
    pub(crate) fn byte(&mut self, byte: u8) -> [i16; 2] {
        let low_code = usize::from(byte & 0x3f);
        let high_code = usize::from(byte >> 6);

        // INVQBL, RECONS, LIMIT: the six bits give the output, their upper four (INVQAL) drive the predictor.
        let low = self.low.signal + ((self.low.scale * QUANTISER_6[low_code]) >> 15);
        let low = low.clamp(-16384, 16383);
        let difference = (self.low.scale * QUANTISER_4[low_code >> 2]) >> 15;
        self.low.rescale(LOG_LOW[LOG_LOW_INDEX[low_code >> 2]], 18432, 8);
        self.low.predict(difference);

        let difference = (self.high.scale * QUANTISER_2[high_code]) >> 15;
        let high = (difference + self.high.signal).clamp(-16384, 16383);
        self.high.rescale(LOG_HIGH[LOG_HIGH_INDEX[high_code]], 22528, 10);
        self.high.predict(difference);

        // The receive quadrature mirror filter.
        self.history.copy_within(2.., 0);
        self.history[22] = low + high;
        self.history[23] = low - high;
        let (mut first, mut second) = (0, 0);
        for (i, pair) in self.history.chunks_exact(2).enumerate() {
            second += pair[0] * MIRROR_FILTER[i];
            first += pair[1] * MIRROR_FILTER[11 - i];
        }
        [saturate(first >> 11) as i16, saturate(second >> 11) as i16]
    }
}

impl Band {
    /// LOGSCL and SCALEL (SCALEH): the quantiser's step follows the codes.
    fn rescale(&mut self, step: i32, limit: i32, base: i32) {
        self.log_scale = (((self.log_scale * 127) >> 7) + step).clamp(0, limit);
        let mantissa = INVERSE_LOG[((self.log_scale >> 6) & 31) as usize];
        let shift = base - (self.log_scale >> 11);
        let scale = if shift < 0 { mantissa << -shift } else { mantissa >> shift };
        self.scale = scale << 2;
    }

    fn predict(&mut self, difference: i32) {
        // RECONS and PARREC.
        self.differences[0] = difference;
        self.poles[0] = saturate(self.signal + difference);
        self.partial[0] = saturate(self.zeros + difference);

        // UPPOL2 and UPPOL1.
        let same = |a: i32, b: i32| a >> 15 == b >> 15;
        let [_, a1, a2] = self.pole_coefficients;
        let four_a1 = saturate(a1 << 2);
        let slope = if same(self.partial[0], self.partial[1]) { -four_a1 } else { four_a1 };
        let lean = if same(self.partial[0], self.partial[2]) { 128 } else { -128 };
        let next_a2 = ((slope.min(32767) >> 7) + lean + ((a2 * 32512) >> 15)).clamp(-12288, 12288);
        let lean = if same(self.partial[0], self.partial[1]) { 192 } else { -192 };
        let limit = saturate(15360 - next_a2);
        let next_a1 = saturate(lean + ((a1 * 32640) >> 15)).clamp(-limit, limit);

        // UPZERO and DELAYA.
        let step = if difference == 0 { 0 } else { 128 };
        for i in (1..7).rev() {
            let lean = if same(self.differences[i], difference) { step } else { -step };
            self.zero_coefficients[i] = saturate(lean + ((self.zero_coefficients[i] * 32640) >> 15));
        }
        self.differences.copy_within(..6, 1);
        self.poles.copy_within(..2, 1);
        self.partial.copy_within(..2, 1);
        self.pole_coefficients = [0, next_a1, next_a2];

        // FILTEP, FILTEZ and PREDIC.
        let pole = |i: usize| (self.pole_coefficients[i] * saturate(2 * self.poles[i])) >> 15;
        let poles = saturate(pole(1) + pole(2));
        let zero = |i: usize| (self.zero_coefficients[i] * saturate(2 * self.differences[i])) >> 15;
        self.zeros = saturate((1..7).map(zero).sum());
        self.signal = saturate(poles + self.zeros);
    }
}

fn saturate(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}
