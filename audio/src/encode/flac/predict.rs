//! Predictors of a channel: the fixed ones (RFC 9639 §9.2.5), and linear prediction (§9.2.6) by autocorrelation.

/// Bits of a coefficient and its sign: with eight of them no sum of 17-bit samples exceeds 32 bits.
pub(super) const PRECISION: u32 = 12;
/// The highest order of linear prediction; speech at 8 kHz has four formants.
pub(super) const MAX_ORDER: usize = 8;
const MAX_SHIFT: i32 = 15;

/// The order (0 to 4) whose residual is smallest, and about how large it is on the whole.
pub(super) fn best_fixed(samples: &[i32]) -> (usize, u64) {
    let mut sums = [0u64; 5];
    let mut last = [0i32; 4];
    for (index, &sample) in samples.iter().enumerate() {
        let mut difference = sample;
        for order in 0..5 {
            // The first four are warm-up for one order or the other.
            if index >= 4 {
                sums[order] += u64::from(difference.unsigned_abs());
            }
            if order < 4 {
                let before = std::mem::replace(&mut last[order], difference);
                difference -= before;
            }
        }
    }
    let most = samples.len().saturating_sub(1).min(4);
    let order = (0..=most).min_by_key(|&order| sums[order]).unwrap_or(0);
    (order, sums[order])
}

/// The residual of a fixed predictor.
pub(super) fn fixed_residual(samples: &[i32], order: usize, residual: &mut Vec<i32>) {
    residual.clear();
    let at = |window: &[i32], back: usize| window[order - back];
    residual.extend(samples.windows(order + 1).map(|window| match order {
        0 => window[0],
        1 => at(window, 0) - at(window, 1),
        2 => at(window, 0) - 2 * at(window, 1) + at(window, 2),
        3 => at(window, 0) - 3 * at(window, 1) + 3 * at(window, 2) - at(window, 3),
        _ => at(window, 0) - 4 * at(window, 1) + 6 * at(window, 2) - 4 * at(window, 3) + at(window, 4),
    }));
}

/// Coefficients, the one of the nearest sample first, in 1/2^shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Linear {
    pub(super) order: usize,
    pub(super) shift: u32,
    pub(super) coefficients: [i32; MAX_ORDER],
}

/// Finds linear predictors; keeps the window of the usual block.
#[derive(Default)]
pub(super) struct Analysis {
    window: Vec<f64>,
    windowed: Vec<f64>,
}

impl Analysis {
    /// The predictor that is expected to need the fewest bits; `None` where there is nothing to predict.
    pub(super) fn linear(&mut self, samples: &[i32], sample_bits: u32) -> Option<Linear> {
        if samples.len() <= 4 * MAX_ORDER {
            return None;
        }
        if self.window.len() != samples.len() {
            self.window = window(samples.len());
        }
        self.windowed.clear();
        // Zeros in front, so that every sample has as many before it.
        self.windowed.resize(MAX_ORDER, 0.0);
        self.windowed.extend(samples.iter().zip(&self.window).map(|(&sample, &weight)| f64::from(sample) * weight));
        let correlation = autocorrelation(&self.windowed);
        if correlation[0] <= 0.0 {
            return None;
        }
        let (order, coefficients) = levinson(&correlation, samples.len(), sample_bits)?;
        quantised(&coefficients[..order])
    }
}

/// Flat in its middle half and falling off as a cosine on both sides (Tukey's).
fn window(len: usize) -> Vec<f64> {
    let slope = len / 4;
    let rise = |distance: usize| 0.5 - 0.5 * (std::f64::consts::PI * (distance as f64 + 0.5) / slope as f64).cos();
    (0..len).map(|i| i.min(len - 1 - i)).map(|edge| if edge < slope { rise(edge) } else { 1.0 }).collect()
}

fn autocorrelation(samples: &[f64]) -> [f64; MAX_ORDER + 1] {
    let mut sums = [0.0; MAX_ORDER + 1];
    for window in samples.array_windows::<{ MAX_ORDER + 1 }>() {
        for (lag, sum) in sums.iter_mut().enumerate() {
            *sum += window[MAX_ORDER] * window[MAX_ORDER - lag];
        }
    }
    sums
}

/// Levinson and Durbin's recursion, as far as an order promises to save more than its coefficients cost.
fn levinson(correlation: &[f64; MAX_ORDER + 1], len: usize, sample_bits: u32) -> Option<(usize, [f64; MAX_ORDER])> {
    let mut coefficients = [0.0; MAX_ORDER];
    let mut error = correlation[0];
    let mut best = None;
    let mut fewest = f64::INFINITY;
    for order in 1..=MAX_ORDER {
        let predicted: f64 = (0..order - 1).map(|i| coefficients[i] * correlation[order - 1 - i]).sum();
        let reflection = (correlation[order] - predicted) / error;
        let before = coefficients;
        for i in 0..order - 1 {
            coefficients[i] = before[i] - reflection * before[order - 2 - i];
        }
        coefficients[order - 1] = reflection;
        error *= 1.0 - reflection * reflection;
        if !error.is_finite() || error <= 0.0 {
            break;
        }
        // A residual of this energy, if it is distributed as those of sound are (after libFLAC).
        let each = (0.5 * (0.5 * std::f64::consts::LN_2.powi(2) * error / len as f64).log2()).max(0.0);
        let bits = each * (len - order) as f64 + (order as u32 * (PRECISION + sample_bits)) as f64;
        if bits < fewest {
            fewest = bits;
            best = Some((order, coefficients));
        }
    }
    best
}

/// Rounds the coefficients, each with what the one before it lost.
fn quantised(coefficients: &[f64]) -> Option<Linear> {
    let largest = coefficients.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    if largest <= 0.0 {
        return None;
    }
    let shift = (PRECISION as i32 - 2 - largest.log2().floor() as i32).min(MAX_SHIFT);
    if shift < 0 {
        return None;
    }
    let limit = f64::from(1 << (PRECISION - 1));
    let mut linear = Linear { order: coefficients.len(), shift: shift as u32, coefficients: [0; MAX_ORDER] };
    let mut lost = 0.0;
    for (rounded, &coefficient) in linear.coefficients.iter_mut().zip(coefficients) {
        lost += coefficient * f64::from(1 << shift);
        let value = lost.round().clamp(-limit, limit - 1.0);
        lost -= value;
        *rounded = value as i32;
    }
    Some(linear)
}

/// The residual of a linear predictor.
pub(super) fn linear_residual(samples: &[i32], linear: &Linear, residual: &mut Vec<i32>) {
    fn of<const ORDER: usize>(samples: &[i32], linear: &Linear, residual: &mut Vec<i32>) {
        let mut backwards = [0; ORDER];
        backwards.copy_from_slice(&linear.coefficients[..ORDER]);
        backwards.reverse();
        residual.extend(samples.windows(ORDER + 1).map(|window| {
            let sum: i32 = backwards.iter().zip(window).map(|(&coefficient, &sample)| coefficient * sample).sum();
            window[ORDER] - (sum >> linear.shift)
        }));
    }
    residual.clear();
    match linear.order {
        1 => of::<1>(samples, linear, residual),
        2 => of::<2>(samples, linear, residual),
        3 => of::<3>(samples, linear, residual),
        4 => of::<4>(samples, linear, residual),
        5 => of::<5>(samples, linear, residual),
        6 => of::<6>(samples, linear, residual),
        7 => of::<7>(samples, linear, residual),
        _ => of::<8>(samples, linear, residual),
    }
}
