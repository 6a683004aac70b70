//! How a recording sounds, in numbers: level, clipping, silence, and whether only one side is heard.

/// Below this level a channel as a whole counts as silent, in dBFS: idle G.711 channels lie at −72, and comfort noise
/// rarely above −60.
pub(crate) const SILENT_CHANNEL_DBFS: f32 = -60.0;
/// Below this level 20 ms count as silence, in dBFS.
const SILENT_WINDOW_DBFS: f64 = -50.0;
/// The level of digital silence, instead of minus infinity.
const FLOOR_DBFS: f32 = -120.0;
/// The loudest step of µ-law; A-law's is 32,256. A line that was overdriven before it was coded never gets any louder.
const FULL_SCALE: i16 = 32_124;

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
    /// The level (root mean square), in dB relative to full scale; −120 for digital silence. A constant offset, as
    /// analogue cards have it, is no sound and does not count.
    pub rms_dbfs: f32,
    /// The loudest sample, 0 to 32768.
    pub peak: u16,
    /// Samples at full scale, which for telephone audio is the loudest step of G.711.
    pub clipped_samples: u64,
    /// The level is below −60 dBFS.
    pub silent: bool,
    /// The longest stretch during which this channel was silent, as in [`Quality::longest_silence_ms`].
    pub longest_silence_ms: u64,
}

#[derive(Default, Clone)]
struct ChannelMeter {
    square_sum: f64,
    sum: f64,
    /// Exact, so that it does not matter how the blocks are cut.
    window_square_sum: u64,
    window_sum: i64,
    peak: u16,
    clipped: u64,
    silence: Silence,
}

/// The longest of many stretches.
#[derive(Default, Clone)]
struct Silence {
    current: u64,
    longest: u64,
}

impl Silence {
    fn window(&mut self, silent: bool, frames: u64) {
        self.current = if silent { self.current + frames } else { 0 };
        self.longest = self.longest.max(self.current);
    }
}

impl ChannelMeter {
    fn add(&mut self, samples: impl Iterator<Item = i16> + Clone) {
        self.window_square_sum += samples
            .clone()
            .map(|sample| u64::from((i32::from(sample) * i32::from(sample)).unsigned_abs()))
            .sum::<u64>();
        self.window_sum += samples.clone().map(i64::from).sum::<i64>();
        let (least, most) =
            samples.clone().fold((0, 0), |(least, most): (i16, i16), sample| (least.min(sample), most.max(sample)));
        self.peak = self.peak.max(least.unsigned_abs()).max(most.unsigned_abs());
        // Rare enough to look twice.
        if most >= FULL_SCALE || least <= -FULL_SCALE {
            self.clipped += samples.filter(|&sample| !(1 - FULL_SCALE..FULL_SCALE).contains(&sample)).count() as u64;
        }
    }

    /// Ends a window of so many frames; tells whether it was silent.
    fn end_window(&mut self, frames: u64) -> bool {
        let (squares, sum) = (std::mem::take(&mut self.window_square_sum), std::mem::take(&mut self.window_sum));
        let (squares, sum) = (squares as f64, sum as f64);
        self.square_sum += squares;
        self.sum += sum;
        // Full scale squared, times the level's ratio.
        let threshold = 32_768f64.powi(2) * 10f64.powf(SILENT_WINDOW_DBFS / 10.0);
        let silent = squares - sum * sum / (frames as f64) < threshold * frames as f64;
        self.silence.window(silent, frames);
        silent
    }

    fn finish(&self, frames: u64, sample_rate: u32) -> ChannelQuality {
        let frames = frames.max(1) as f64;
        let mean = self.sum / frames;
        let rms = (self.square_sum / frames - mean * mean).max(0.0).sqrt() / 32_768.0;
        let rms_dbfs = ((20.0 * rms.log10()) as f32).max(FLOOR_DBFS);
        ChannelQuality {
            rms_dbfs,
            peak: self.peak,
            clipped_samples: self.clipped,
            silent: rms_dbfs < SILENT_CHANNEL_DBFS,
            longest_silence_ms: millis(self.silence.longest, sample_rate),
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
    /// Of all channels at a time.
    silence: Silence,
}

impl Meter {
    pub(crate) fn new(sample_rate: u32, channels: u16) -> Self {
        Self {
            channels: vec![ChannelMeter::default(); usize::from(channels)],
            frames: 0,
            sample_rate,
            window_frames: u64::from(sample_rate / 50).max(1),
            in_window: 0,
            silence: Silence::default(),
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
        let mut silent = true;
        for meter in &mut self.channels {
            silent &= meter.end_window(self.in_window);
        }
        self.silence.window(silent, self.in_window);
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
        let channels: Vec<_> = self.channels.iter().map(|meter| meter.finish(self.frames, self.sample_rate)).collect();
        let heard = channels.iter().filter(|channel| !channel.silent).count();
        Quality {
            truncated,
            stale_header,
            one_way: channels.len() > 1 && heard == 1,
            channels,
            longest_silence_ms: millis(self.silence.longest, self.sample_rate),
        }
    }
}

/// Frames as milliseconds, rounded to the nearest.
pub(crate) fn millis(frames: u64, sample_rate: u32) -> u64 {
    let rate = u64::from(sample_rate.max(1));
    (frames * 1000 + rate / 2) / rate
}

#[cfg(test)]
mod tests;
