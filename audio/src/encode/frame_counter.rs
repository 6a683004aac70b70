//! What an info tag tells of a stream: how many frames it has, how long they are, and where they lie.

use crate::mpeg;

/// Samples that LAME puts before the first of ours (its `ENCDELAY`).
pub(super) const ENCODER_DELAY: u64 = 576;
/// At most so many places are remembered, however long the stream is.
const MAX_PLACES: usize = 512;

/// The numbers of an info tag.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) frames: u64,
    /// Bytes of those frames; none where they are not known before they are there.
    pub(super) bytes: Option<u64>,
    /// Samples to drop at the start.
    pub(super) delay: u64,
    /// Samples to drop at the end.
    pub(super) padding: u64,
    /// Where in those bytes each hundredth of the frames begins, of a variable bit rate.
    pub(super) places: Option<Vec<u64>>,
}

impl Counts {
    /// What will be counted of a stream of so many samples, at a constant bit rate or (`None`) a variable one. LAME ends
    /// with silence until the last sample is out, at least 576 samples of it (`lame_encode_flush`).
    pub(super) fn of_stream(samples: u64, sample_rate: u32, kbps: Option<u32>) -> Self {
        let frame_samples = if sample_rate < 32_000 { 576 } else { 1_152 };
        let coded = ENCODER_DELAY + samples;
        let frames = (coded + 576).div_ceil(frame_samples).max(1);
        let bytes = kbps.map(|kbps| {
            // A frame is padded by a byte whenever the fractions of the frames before it make a whole one.
            let bits = frame_samples * u64::from(kbps) * 1_000;
            let (whole, fraction) = (bits / 8 / u64::from(sample_rate), bits / 8 % u64::from(sample_rate));
            frames * whole + ((frames - 1) * fraction).div_ceil(u64::from(sample_rate))
        });
        Self { frames, bytes, delay: ENCODER_DELAY, padding: frames * frame_samples - coded, places: None }
    }
}

/// Counts the frames of a stream that arrives in pieces.
#[derive(Default)]
pub(super) struct FrameCounter {
    frames: u64,
    samples: u64,
    bytes: u64,
    /// Bytes until the next header.
    skip: usize,
    /// The beginning of a header whose end is in the next piece.
    head: Vec<u8>,
    /// Where every 2^`stride`th frame began.
    places: Vec<u64>,
    stride: u32,
}

impl FrameCounter {
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let taken = (bytes.len() - skipped).min(4 - self.head.len());
            self.head.extend_from_slice(&bytes[skipped..skipped + taken]);
            self.bytes += (skipped + taken) as u64;
            bytes = &bytes[skipped + taken..];
            if self.head.len() < 4 {
                continue;
            }
            if let Some(header) = mpeg::frame_header(&self.head) {
                self.remember(self.bytes - 4);
                self.frames += 1;
                self.samples += u64::from(header.samples);
                self.skip = header.len - 4;
                self.head.clear();
            } else {
                // Not LAME's doing; looked for at the next byte.
                self.head.remove(0);
            }
        }
    }

    fn remember(&mut self, place: u64) {
        if !self.frames.is_multiple_of(1 << self.stride) {
            return;
        }
        if self.places.len() == MAX_PLACES {
            let mut index = 0;
            self.places.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride += 1;
        }
        if self.frames.is_multiple_of(1 << self.stride) {
            self.places.push(place);
        }
    }

    /// What was counted; `samples` are those that the stream is of.
    pub(super) fn counts(&self, samples: u64) -> Counts {
        let place = |percent: u64| {
            let frame = percent * self.frames / 100;
            self.places.get((frame >> self.stride) as usize).copied().unwrap_or(self.bytes)
        };
        Counts {
            frames: self.frames,
            bytes: Some(self.bytes),
            delay: ENCODER_DELAY,
            padding: self.samples.saturating_sub(ENCODER_DELAY + samples),
            places: Some((0..100).map(place).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_remembered_in_constant_memory_and_stay_true() {
        // 8 kHz at 32 kbit/s: 288 bytes.
        let mut frame = vec![0; 288];
        frame[..4].copy_from_slice(&[0xff, 0xe3, 0x48, 0xc4]);
        let mut counter = FrameCounter::default();
        for _ in 0..10_000 {
            frame.chunks(100).for_each(|piece| counter.read(piece));
        }
        let counts = counter.counts(10_000 * 576 - 576);
        assert_eq!((counts.frames, counts.bytes, counts.padding), (10_000, Some(2_880_000), 0));
        assert!(counter.places.len() <= MAX_PLACES);
        for (percent, place) in counts.places.unwrap().into_iter().enumerate() {
            let exact = percent as u64 * 100 * 288;
            assert!(place <= exact && exact - place < 288 << counter.stride, "{percent}: {place}");
        }
    }
}
