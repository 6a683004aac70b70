//! ADPCM of the IMA family: a step that follows the signal, and four bits that say how many steps to go.
//!
//! In WAVE it comes in blocks that begin afresh (tags 0x11, IMA/DVI, and 0x02, Microsoft: "New Multimedia Data Types
//! and Data Techniques", 1994); voice boards and Asterisk write it without any (`.vox`, OKI/Dialogic).

const INDEX_STEP: [i32; 8] = [-1, -1, -1, -1, 2, 4, 6, 8];

#[rustfmt::skip]
const IMA_STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107,
    118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963,
    1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894,
    6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794,
    32767,
];

/// Samples per channel in a block of `bytes`, 0 if that is no block: each channel has a sample and an index in four
/// bytes, then the channels take turns with four bytes (eight samples).
pub(crate) fn ima_frames(bytes: usize, channels: usize) -> usize {
    match (channels, bytes.checked_sub(4 * channels)) {
        (1, Some(rest)) => 1 + rest * 2,
        (2, Some(rest)) => 1 + rest / 8 * 8,
        _ => 0,
    }
}

/// Decodes one block of IMA ADPCM, interleaved, onto `out`. A block may be cut short.
pub(crate) fn ima_block(bytes: &[u8], channels: usize, out: &mut Vec<i16>) {
    let frames = ima_frames(bytes.len(), channels);
    let start = out.len();
    out.resize(start + frames * channels, 0);
    if frames == 0 {
        return;
    }
    let out = &mut out[start..];
    let (heads, body) = bytes.split_at(4 * channels);
    for (channel, head) in heads.chunks_exact(4).enumerate() {
        let mut sample = i32::from(i16::from_le_bytes([head[0], head[1]]));
        let mut index = usize::from(head[2]).min(IMA_STEPS.len() - 1);
        out[channel] = sample as i16;
        for frame in 1..frames {
            let at = (frame - 1) / 2;
            // Mono is one long turn.
            let at = if channels == 1 { at } else { at / 4 * 8 + channel * 4 + at % 4 };
            let code = usize::from(if frame % 2 == 1 { body[at] & 15 } else { body[at] >> 4 });
            let magnitude = (code & 7) as i32;
            let difference = ((2 * magnitude + 1) * IMA_STEPS[index]) >> 3;
            sample = clamp16(if code & 8 == 0 { sample + difference } else { sample - difference });
            index = index.saturating_add_signed(INDEX_STEP[code & 7] as isize).min(IMA_STEPS.len() - 1);
            out[frame * channels + channel] = sample as i16;
        }
    }
}

/// Predictors that every file has (a file may list more; nothing is known to write them), in 1/256.
const MS_PREDICTORS: [(i32, i32); 7] = [(256, 0), (512, -256), (0, 0), (192, 64), (240, 0), (460, -208), (392, -232)];
const MS_ADAPTATION: [i32; 16] = [230, 230, 230, 230, 307, 409, 512, 614, 768, 614, 512, 409, 307, 230, 230, 230];
/// A step that would let a product overflow is nonsense already.
const MS_LARGEST_STEP: i32 = i32::MAX / 768;

/// Samples per channel in a block of `bytes`, 0 if that is no block: each channel has its predictor, step and two
/// samples in seven bytes, then the channels take turns with four bits.
pub(crate) fn ms_frames(bytes: usize, channels: usize) -> usize {
    match (channels, bytes.checked_sub(7 * channels)) {
        (1 | 2, Some(rest)) => 2 + rest * 2 / channels,
        _ => 0,
    }
}

#[derive(Clone, Copy, Default)]
struct MsChannel {
    predictor: (i32, i32),
    step: i32,
    last: i32,
    before: i32,
}

impl MsChannel {
    fn code(&mut self, code: u8) -> i16 {
        let predicted = (self.last * self.predictor.0 + self.before * self.predictor.1) / 256;
        let signed = i32::from(code) - if code & 8 == 0 { 0 } else { 16 };
        let sample = clamp16(predicted.saturating_add(signed * self.step));
        self.step = ((MS_ADAPTATION[usize::from(code)] * self.step) >> 8).clamp(16, MS_LARGEST_STEP);
        (self.before, self.last) = (self.last, sample);
        sample as i16
    }
}

/// Decodes one block of Microsoft ADPCM, interleaved, onto `out`. A block may be cut short.
pub(crate) fn ms_block(bytes: &[u8], channels: usize, out: &mut Vec<i16>) {
    if ms_frames(bytes.len(), channels) == 0 {
        return;
    }
    let (head, body) = bytes.split_at(7 * channels);
    let word = |field: usize, channel: usize| {
        let at = channels + (field * channels + channel) * 2;
        i32::from(i16::from_le_bytes([head[at], head[at + 1]]))
    };
    let mut states = [MsChannel::default(); 2];
    let states = &mut states[..channels];
    for (channel, state) in states.iter_mut().enumerate() {
        let predictor = MS_PREDICTORS[usize::from(head[channel]).min(MS_PREDICTORS.len() - 1)];
        let (step, last, before) = (word(0, channel), word(1, channel), word(2, channel));
        *state = MsChannel { predictor, step, last, before };
    }
    out.extend(states.iter().map(|state| state.before as i16));
    out.extend(states.iter().map(|state| state.last as i16));
    let (first, second) = (0, channels - 1);
    for &byte in body {
        out.push(states[first].code(byte >> 4));
        out.push(states[second].code(byte & 15));
    }
}

const OKI_STEPS: usize = 49;

/// OKI ADPCM without blocks: one for each stream, bytes in order.
///
/// The steps are rounded as Asterisk's encoder rounds them. Decoders that round otherwise (SoX, ffmpeg) drift away
/// from zero by several thousand. Other recorders drift by what their hardware does after silence, so that what is
/// left below 6 Hz, where there is no speech, is taken out.
pub(crate) struct Oki {
    sample: i32,
    index: usize,
    /// The last input and output of the high-pass, the output in 1/65536.
    last_in: i32,
    last_out: i64,
}

impl Oki {
    pub(crate) fn new() -> Self {
        Self { sample: 0, index: 0, last_in: 0, last_out: 0 }
    }

    /// Decodes one byte to the next two samples, the one in the upper bits first.
    pub(crate) fn byte(&mut self, byte: u8) -> [i16; 2] {
        [byte >> 4, byte & 15].map(|code| {
            let sample = self.code(code);
            self.high_pass(sample)
        })
    }

    /// The 12-bit sample, scaled to 16 bits.
    fn code(&mut self, code: u8) -> i32 {
        // 16 · 1.1ⁿ: the part of IMA's table that fits 12 bits.
        let step = IMA_STEPS[self.index + 8];
        let bits = i32::from(code & 7);
        let part = |bit: i32, shift: i32| if bits & bit == 0 { 0 } else { step >> shift };
        let carry = (bits >> 1) & step & 1;
        let difference = (step >> 3) + part(4, 0) + part(2, 1) + part(1, 2) + carry;
        let signed = if code & 8 == 0 { difference } else { -difference };
        self.sample = (self.sample + signed).clamp(-2_048, 2_047);
        self.index = self.index.saturating_add_signed(INDEX_STEP[bits as usize] as isize).min(OKI_STEPS - 1);
        self.sample << 4
    }

    /// y = x − x' + 0.995 y': 3 dB less at 6.4 Hz of 8 kHz.
    fn high_pass(&mut self, sample: i32) -> i16 {
        let kept = self.last_out - self.last_out / 200;
        self.last_out = (i64::from(sample - self.last_in) << 16) + kept;
        self.last_in = sample;
        clamp16((self.last_out >> 16) as i32) as i16
    }
}

fn clamp16(value: i32) -> i32 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX))
}
