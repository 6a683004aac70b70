//! Residuals in Rice's code (RFC 9639 §9.2.7): partitions of equal length, each with a parameter of its own.

use super::bits::Bits;

/// Partitions are halved no more often than this.
const MAX_PARTITION_ORDER: u32 = 6;
/// The largest parameter of four bits; 15 is an escape.
const MAX_PARAMETER: u32 = 14;

/// How a residual is best written.
#[derive(Clone)]
pub(super) struct Plan {
    order: u32,
    parameters: [u8; 1 << MAX_PARTITION_ORDER],
    /// About so many bits, headers included.
    pub(super) bits: u64,
}

/// Signed to unsigned: 0, −1, 1, −2, …
fn fold(value: i32) -> u32 {
    (value << 1 ^ value >> 31) as u32
}

/// The parameter for `count` values that add up to `sum`, and the bits that it takes.
fn parameter(sum: u64, count: u64) -> (u8, u64) {
    // At the best one about half of the values are below 2^k.
    let guess = (sum / count.max(1)).max(1).ilog2().min(MAX_PARAMETER);
    let bits = |k: u32| count * u64::from(k + 1) + (sum >> k).saturating_sub(if k > 0 { count / 2 } else { 0 });
    let lower = guess.saturating_sub(1);
    if bits(lower) < bits(guess) { (lower as u8, bits(lower)) } else { (guess as u8, bits(guess)) }
}

/// Finds the partitions for the residual of a block of `block` samples, which begins with `block - residual.len()`
/// samples that were not predicted.
pub(super) fn plan(residual: &[i32], block: usize) -> Plan {
    let lead = block - residual.len();
    let fits = |order: u32| block.is_multiple_of(1 << order) && block >> order > lead;
    let finest = (0..=MAX_PARTITION_ORDER).rev().find(|&order| fits(order)).unwrap_or(0);
    let mut sums = [0u64; 1 << MAX_PARTITION_ORDER];
    let length = block >> finest;
    let mut rest = residual;
    for (index, sum) in sums[..1 << finest].iter_mut().enumerate() {
        let (now, later) = rest.split_at(if index == 0 { length - lead } else { length });
        *sum = now.iter().map(|&value| u64::from(fold(value))).sum();
        rest = later;
    }
    let mut best = Plan { order: 0, parameters: [0; 1 << MAX_PARTITION_ORDER], bits: u64::MAX };
    for order in (0..=finest).rev() {
        let partitions = 1usize << order;
        let mut plan = Plan { order, parameters: [0; 1 << MAX_PARTITION_ORDER], bits: 6 };
        for (index, &sum) in sums[..partitions].iter().enumerate() {
            let count = (block >> order) - if index == 0 { lead } else { 0 };
            let (parameter, bits) = parameter(sum, count as u64);
            plan.parameters[index] = parameter;
            plan.bits += bits + 4;
        }
        if plan.bits < best.bits {
            best = plan;
        }
        for pair in 0..partitions / 2 {
            sums[pair] = sums[2 * pair] + sums[2 * pair + 1];
        }
    }
    best
}

/// Writes the residual as planned.
pub(super) fn write(residual: &[i32], block: usize, plan: &Plan, bits: &mut Bits) {
    let lead = block - residual.len();
    // Method 0: parameters of four bits.
    bits.put(0, 2);
    bits.put(plan.order, 4);
    let length = block >> plan.order;
    let mut rest = residual;
    for (index, &parameter) in plan.parameters[..1 << plan.order].iter().enumerate() {
        let (now, later) = rest.split_at(if index == 0 { length - lead } else { length });
        rest = later;
        let parameter = u32::from(parameter);
        bits.put(parameter, 4);
        for &value in now {
            let folded = fold(value);
            let (high, low) = (folded >> parameter, folded & ((1 << parameter) - 1));
            if high + 1 + parameter <= 32 {
                bits.put(1 << parameter | low, high + 1 + parameter);
            } else {
                bits.zeros(high);
                bits.put(1 << parameter | low, 1 + parameter);
            }
        }
    }
}
