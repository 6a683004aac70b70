//! The waveform in a fixed number of buckets, without knowing beforehand how long the recording is.

/// How many peaks a recording has, whatever its length.
pub const BUCKETS: usize = 256;

/// Finer bins than buckets: what is left after folding is never coarser than a quarter of a bucket.
const BINS: usize = BUCKETS * 8;

/// Collects the loudest sample of each stretch of time. When the bins are full, neighbours are folded and each
/// bin covers twice the time; so the memory is constant.
pub(crate) struct Peaks {
    bins: Vec<u16>,
    frames_per_bin: u64,
    current: u16,
    frames_in_current: u64,
}

impl Peaks {
    pub(crate) fn new() -> Self {
        Self { bins: Vec::with_capacity(BINS), frames_per_bin: 1, current: 0, frames_in_current: 0 }
    }

    /// Adds whole frames, interleaved.
    pub(crate) fn block(&mut self, mut block: &[i16], channels: usize) {
        while !block.is_empty() {
            let wanted = (self.frames_per_bin - self.frames_in_current) as usize * channels;
            let (now, later) = block.split_at(wanted.min(block.len()));
            block = later;
            self.current = self.current.max(loudest(now));
            self.frames_in_current += (now.len() / channels) as u64;
            if self.frames_in_current == self.frames_per_bin {
                self.bins.push(self.current);
                self.current = 0;
                self.frames_in_current = 0;
                if self.bins.len() == BINS {
                    self.fold();
                }
            }
        }
    }

    fn fold(&mut self) {
        for i in 0..BINS / 2 {
            self.bins[i] = self.bins[2 * i].max(self.bins[2 * i + 1]);
        }
        self.bins.truncate(BINS / 2);
        self.frames_per_bin *= 2;
    }

    /// The peaks: [`BUCKETS`] amplitudes, 0 for digital silence to 255 for full scale, linear.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.frames_in_current > 0 {
            self.bins.push(self.current);
        }
        let bins = self.bins.len();
        if bins == 0 {
            return vec![0; BUCKETS];
        }
        (0..BUCKETS)
            .map(|bucket| {
                let start = bucket * bins / BUCKETS;
                let end = ((bucket + 1) * bins).div_ceil(BUCKETS).max(start + 1);
                let loudest = self.bins[start..end.min(bins)].iter().copied().max().unwrap_or(0);
                ((u32::from(loudest) * 255 + 16_384) / 32_768) as u8
            })
            .collect()
    }
}

/// The largest distance from zero.
pub(crate) fn loudest(samples: &[i16]) -> u16 {
    samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peaks_of(samples: impl Iterator<Item = i16>) -> Vec<u8> {
        let mut peaks = Peaks::new();
        samples.for_each(|sample| peaks.block(&[sample], 1));
        peaks.finish()
    }

    #[test]
    fn a_recording_of_any_length_has_as_many_peaks() {
        for length in [0, 1, 255, 256, 257, 2_047, 2_048, 2_049, 100_000] {
            assert_eq!(peaks_of((0..length).map(|_| 1_000)).len(), BUCKETS, "{length}");
        }
    }

    #[test]
    fn it_does_not_matter_how_the_blocks_are_cut() {
        let signal: Vec<i16> =
            (0..90_000).map(|i| (i * 7_919 % 65_536 - 32_768) as i16 / (1 + (i / 9_000) as i16)).collect();
        let peaks_by = |size: usize| {
            let mut peaks = Peaks::new();
            signal.chunks(size * 2).for_each(|block| peaks.block(block, 2));
            peaks.finish()
        };
        assert!(peaks_by(1) == peaks_by(1_000) && peaks_by(1) == peaks_by(45_000));
    }

    #[test]
    fn a_loud_half_fills_half_of_the_peaks() {
        let peaks = peaks_of((0..80_000).map(|i| if i < 40_000 { 0 } else { i16::MIN }));
        assert!(peaks[..127].iter().all(|&peak| peak == 0));
        assert!(peaks[129..].iter().all(|&peak| peak == 255));
    }
}
