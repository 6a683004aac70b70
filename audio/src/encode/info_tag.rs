//! The `Info` frame: a silent MPEG frame in front of a constant-rate stream that says how many frames follow and how
//! many samples at both ends are not part of the recording (Xing's tag with LAME's extension, "MP3 Info Tag rev 1").
//!
//! Its bit rate may differ from the stream's: the smallest frame that has room for it is taken.

use crate::mpeg::{self, MPEG1_KBPS, MPEG2_KBPS};

/// `Info`, flags, frames, bytes, table of contents, quality; then LAME's 36 bytes.
const TAG_LEN: usize = 4 + 4 + 4 + 4 + 100 + 4 + 36;

/// An info tag for a stream.
pub(super) struct InfoTag {
    header: [u8; 4],
    frame: mpeg::FrameHeader,
    kbps: u32,
}

impl InfoTag {
    /// For a stream of layer III; `None` if there is no such rate.
    pub(super) fn new(sample_rate: u32, channels: u16, kbps: u32) -> Option<Self> {
        let (version, factor) = match sample_rate {
            ..16_000 => (0b00, 4),
            16_000..32_000 => (0b10, 2),
            _ => (0b11, 1),
        };
        let rate_index = [44_100, 48_000, 32_000].into_iter().position(|rate| rate == sample_rate * factor)? as u8;
        let rates = if version == 0b11 { MPEG1_KBPS } else { MPEG2_KBPS };
        let mode = if channels == 1 { 0xc0 } else { 0x40 };
        // From the stream's own rate upwards: decoders that measure it by the first frame are then right, mostly.
        let first = rates.iter().position(|&rate| rate >= kbps)?;
        (first..rates.len()).find_map(|index| {
            // Layer III, no CRC, no padding.
            let header = [0xff, 0xe3 | version << 3, (index as u8 + 1) << 4 | rate_index << 2, mode];
            let frame = mpeg::frame_header(&header)?;
            (frame.len >= 4 + frame.side_info + TAG_LEN).then_some(Self { header, frame, kbps })
        })
    }

    /// The frame: how many frames and bytes follow it, and the samples to drop at the start and at the end.
    pub(super) fn frame(&self, frames: u64, bytes: u64, delay: u64, padding: u64) -> Vec<u8> {
        let mut out = vec![0; self.frame.len];
        out[..4].copy_from_slice(&self.header);
        let tag = 4 + self.frame.side_info;
        let total = bytes + self.frame.len as u64;
        let mut at = tag;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
        put(b"Info");
        // Frames, bytes, table of contents and quality are there.
        put(&0xfu32.to_be_bytes());
        put(&word(frames));
        put(&word(total));
        // At a constant rate the table is a straight line.
        put(&std::array::from_fn::<u8, 100, _>(|percent| (percent * 256 / 100) as u8));
        put(&50u32.to_be_bytes());
        put(b"LAME3.100");
        // Revision 0, method 1: constant bit rate. Lowpass unknown.
        put(&[0x01, 0]);
        // No replay gain: peak, radio, audiophile. No encoding flags.
        put(&[0; 8]);
        put(&[0]);
        put(&[self.kbps.min(255) as u8]);
        let [_, trim @ ..] = ((delay.min(0xfff) << 12 | padding.min(0xfff)) as u32).to_be_bytes();
        put(&trim);
        // Miscellaneous, gain, preset.
        put(&[0; 4]);
        put(&word(total));
        // The checksum of the music would take a second pass; 0 is not checked.
        put(&[0; 2]);
        let crc = crc16(&out[..tag + TAG_LEN - 2]);
        out[tag + TAG_LEN - 2..tag + TAG_LEN].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

/// CRC-16 with the polynomial 8005, reflected, as LAME computes it over the frame up to the checksum itself.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 != 0 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_has_a_frame_for_its_tag() {
        for rate in [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
            for channels in [1, 2] {
                let tag = InfoTag::new(rate, channels, 32).unwrap();
                let frame = tag.frame(100, 28_800, 576, 1_000);
                assert_eq!(mpeg::frame_header(&frame).unwrap().len, frame.len(), "{rate} {channels}");
                assert_eq!(mpeg::frame_header(&frame).unwrap().sample_rate, rate);
            }
        }
    }

    #[test]
    fn the_checksum_is_the_one_in_the_catalogue() {
        assert_eq!(crc16(b"123456789"), 0xbb3d);
    }
}
