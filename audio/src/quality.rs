//! How a recording sounds, in numbers: level, clipping, silence, and whether only one side is heard.

/// Below this level a channel as a whole counts as silent, in dBFS: idle G.711 channels lie at −72, and comfort noise
/// rarely above −60.
pub(crate) const SILENT_CHANNEL_DBFS: f32 = -60.0;
/// Below this level 20 ms count as silence, in dBFS.
const SILENT_WINDOW_DBFS: f64 = -50.0;
/// The level of digital silence, instead of minus infinity.
const FLOOR_DBFS: f32 = -120.0;

/// What was found out about a recording while it was decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// The audio is not whole: the file ends before its header says, in the middle of a frame or without its
    /// end-of-stream mark, or a part of it could not be decoded.
    pub truncated: bool,
    /// The header's sizes are not those of the file: its recorder never closed it, so that as a rule the last
    /// seconds before it was killed are missing, or it is still being written.
    pub stale_header: bool,
    /// Each channel by itself.
    pub channels: Vec<ChannelQuality>,
    /// Exactly one of several channels is not silent. Mono recordings cannot tell.
    pub one_way: bool,
    /// The longest stretch during which all channels were silent (below −50 dBFS in each 20 ms), in milliseconds.
    pub longest_silence_ms: u64,
}

/// One channel of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelQuality {
    /// The level, in dB below full scale; −120 for digital silence.
    pub rms_dbfs: f32,
    /// The loudest sample, 0 to 32768.
    pub peak: u16,
    /// Samples at full scale.
    pub clipped_samples: u64,
    /// The level is below −60 dBFS.
    pub silent: bool,
}

#[derive(Default, Clone)]
struct ChannelMeter {
    square_sum: f64,
    /// Exact, so that it does not matter how the blocks are cut.
    window_square_sum: u64,
    peak: u16,
    clipped: u64,
}

impl ChannelMeter {
    fn add(&mut self, samples: impl Iterator<Item = i16> + Clone) {
        self.window_square_sum += samples
            .clone()
            .map(|sample| u64::from((i32::from(sample) * i32::from(sample)).unsigned_abs()))
            .sum::<u64>();
        let (least, most) =
            samples.clone().fold((0, 0), |(least, most): (i16, i16), sample| (least.min(sample), most.max(sample)));
        self.peak = self.peak.max(least.unsigned_abs()).max(most.unsigned_abs());
        // Rare enough to look twice.
        if most == i16::MAX || least == i16::MIN {
            self.clipped += samples.filter(|&sample| sample == i16::MAX || sample == i16::MIN).count() as u64;
        }
    }
}

/// Measures while a recording passes by.
pub(crate) struct Meter {
    channels: Vec<ChannelMeter>,
    frames: u64,
    sample_rate: u32,
    window_frames: u64,
    in_window: u64,
    silence: u64,
    longest_silence: u64,
}

impl Meter {
    pub(crate) fn new(sample_rate: u32, channels: u16) -> Self {
        Self {
            channels: vec![ChannelMeter::default(); usize::from(channels)],
            frames: 0,
            sample_rate,
            window_frames: u64::from(sample_rate / 50).max(1),
            in_window: 0,
            silence: 0,
            longest_silence: 0,
        }
    }

    /// Adds whole frames, interleaved.
    pub(crate) fn block(&mut self, mut block: &[i16]) {
        let count = self.channels.len();
        while !block.is_empty() {
            let wanted = (self.window_frames - self.in_window) as usize * count;
            let (now, later) = block.split_at(wanted.min(block.len()));
            block = later;
            match &mut self.channels[..] {
                [only] => only.add(now.iter().copied()),
                [left, right] => {
                    let (pairs, _) = now.as_chunks::<2>();
                    left.add(pairs.iter().map(|pair| pair[0]));
                    right.add(pairs.iter().map(|pair| pair[1]));
                }
                channels => {
                    for (channel, meter) in channels.iter_mut().enumerate() {
                        meter.add(now.iter().skip(channel).step_by(count).copied());
                    }
                }
            }
            let frames = (now.len() / count) as u64;
            self.frames += frames;
            self.in_window += frames;
            if self.in_window == self.window_frames {
                self.end_window();
            }
        }
    }

    fn end_window(&mut self) {
        // Full scale squared, times the level's ratio.
        let threshold = 32_768f64.powi(2) * 10f64.powf(SILENT_WINDOW_DBFS / 10.0) * self.in_window as f64;
        let silent = self.channels.iter().all(|meter| (meter.window_square_sum as f64) < threshold);
        for meter in &mut self.channels {
            meter.square_sum += std::mem::take(&mut meter.window_square_sum) as f64;
        }
        self.silence = if silent { self.silence + self.in_window } else { 0 };
        self.longest_silence = self.longest_silence.max(self.silence);
        self.in_window = 0;
    }

    /// Frames seen so far.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// The result; the flags are the decoder's to know.
    pub(crate) fn finish(mut self, truncated: bool, stale_header: bool) -> Quality {
        if self.in_window > 0 {
            self.end_window();
        }
        let frames = self.frames.max(1) as f64;
        let channels: Vec<_> = self
            .channels
            .iter()
            .map(|meter| {
                let rms = (meter.square_sum / frames).sqrt() / 32_768.0;
                let rms_dbfs = if rms > 0.0 { (20.0 * rms.log10()) as f32 } else { FLOOR_DBFS };
                ChannelQuality {
                    rms_dbfs,
                    peak: meter.peak,
                    clipped_samples: meter.clipped,
                    silent: rms_dbfs < SILENT_CHANNEL_DBFS,
                }
            })
            .collect();
        let heard = channels.iter().filter(|channel| !channel.silent).count();
        Quality {
            truncated,
            stale_header,
            one_way: channels.len() > 1 && heard == 1,
            channels,
            longest_silence_ms: millis(self.longest_silence, self.sample_rate),
        }
    }
}

/// Frames as milliseconds, rounded to the nearest.
pub(crate) fn millis(frames: u64, sample_rate: u32) -> u64 {
    let rate = u64::from(sample_rate.max(1));
    (frames * 1000 + rate / 2) / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_speaker_on_two_channels_is_one_way() {
        let mut meter = Meter::new(8_000, 2);
        for i in 0..8_000 {
            meter.block(&[if i % 2 == 0 { 8_000 } else { -8_000 }, 3]);
        }
        let quality = meter.finish(false, false);
        assert!(quality.one_way);
        assert!(quality.channels[1].silent && !quality.channels[0].silent);
        assert_eq!(quality.longest_silence_ms, 0);
        assert!((quality.channels[0].rms_dbfs + 12.25).abs() < 0.1, "{}", quality.channels[0].rms_dbfs);
    }

    #[test]
    fn the_longest_silence_and_the_clipped_samples_are_found() {
        let mut meter = Meter::new(8_000, 1);
        for second in 0..10 {
            let value = if (3..7).contains(&second) { 0 } else { i16::MAX };
            meter.block(&[value; 8_000]);
        }
        let quality = meter.finish(true, false);
        assert_eq!(quality.longest_silence_ms, 4_000);
        assert_eq!(quality.channels[0].clipped_samples, 48_000);
        assert!(quality.truncated && !quality.one_way);
    }
}
