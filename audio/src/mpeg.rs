//! Headers of MPEG audio frames (ISO 11172-3 §2.4.1.3, ISO 13818-3) and of ID3v2 tags: enough to find and count them.

/// What the four bytes at the start of a layer III frame say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) sample_rate: u32,
    pub(crate) channels: u16,
    /// Samples per channel in one frame.
    pub(crate) samples: u32,
    /// Bytes of the frame, header included.
    pub(crate) len: usize,
    /// Bytes of side information between the header and the audio.
    pub(crate) side_info: usize,
}

/// Bit rates of layer III in kbit/s, MPEG-1.
pub(crate) const MPEG1_KBPS: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
/// The same for MPEG-2 and MPEG-2.5.
pub(crate) const MPEG2_KBPS: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// Reads a layer III frame header; `None` if the bytes are no such thing (free format is not read).
pub(crate) fn frame_header(bytes: &[u8]) -> Option<FrameHeader> {
    let [a, b, c, d] = *bytes.first_chunk::<4>()?;
    if a != 0xff || b & 0xe0 != 0xe0 || b & 0x06 != 0x02 {
        return None;
    }
    let (divisor, mpeg1) = match (b >> 3) & 3 {
        0 => (4, false),
        2 => (2, false),
        3 => (1, true),
        _ => return None,
    };
    let index = (c >> 4) as usize;
    let kbps = match (index, mpeg1) {
        (1..=14, true) => MPEG1_KBPS[index - 1],
        (1..=14, false) => MPEG2_KBPS[index - 1],
        _ => return None,
    };
    let sample_rate = *[44_100u32, 48_000, 32_000].get(((c >> 2) & 3) as usize)? / divisor;
    let padding = ((c >> 1) & 1) as usize;
    let channels = if d >> 6 == 3 { 1 } else { 2 };
    let samples = if mpeg1 { 1152 } else { 576 };
    let side_info = match (mpeg1, channels) {
        (true, 1) => 17,
        (true, _) => 32,
        (false, 1) => 9,
        (false, _) => 17,
    };
    let len = (samples / 8 * kbps * 1000 / sample_rate) as usize + padding;
    Some(FrameHeader { sample_rate, channels, samples, len, side_info })
}

/// The length of the ID3v2 tag that `bytes` begin with, header and footer included (ID3v2.4.0 structure, §3.1).
pub(crate) fn id3v2_len(bytes: &[u8]) -> Option<u64> {
    let head = bytes.first_chunk::<10>()?;
    if &head[..3] != b"ID3" || head[6..].iter().any(|byte| byte & 0x80 != 0) {
        return None;
    }
    let size = head[6..].iter().fold(0u64, |size, &byte| size << 7 | u64::from(byte));
    Some(10 + size + if head[5] & 0x10 != 0 { 10 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_8_khz_at_32_kbit_has_288_bytes() {
        let header = frame_header(&[0xff, 0xe3, 0x48, 0xc4]).unwrap();
        assert_eq!((header.sample_rate, header.channels, header.samples, header.len), (8_000, 1, 576, 288));
        assert_eq!(frame_header(&[0xff, 0xff, 0x48, 0xc4]), None, "layer I is not ours");
    }

    #[test]
    fn the_length_of_an_id3_tag_is_seven_bits_a_byte() {
        assert_eq!(id3v2_len(b"ID3\x04\0\0\0\0\x01\x01"), Some(10 + 129));
        assert_eq!(id3v2_len(b"ID3\x04\0\0\0\0\x81\x01"), None);
    }
}
