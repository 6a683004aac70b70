//! The `Info` frame (`Xing` where the bit rate varies): a silent MPEG frame in front of a stream that says how many
//! frames follow, where they lie, and how many samples at both ends are not part of the recording (Xing's tag with
//! LAME's extension, "MP3 Info Tag rev 1").
//!
//! Its bit rate may differ from the stream's: the smallest frame that has room for it is taken.

use super::frame_counter::Counts;
use crate::mpeg::{self, MPEG1_KBPS, MPEG2_KBPS};

/// `Info`, flags, frames, bytes, table of contents, quality; then LAME's 36 bytes.
const TAG_LEN: usize = 4 + 4 + 4 + 4 + 100 + 4 + LAME_LEN;
const LAME_LEN: usize = 36;

/// An info tag for a stream.
pub(super) struct InfoTag {
    header: [u8; 4],
    frame: mpeg::FrameHeader,
    /// None if it varies.
    kbps: Option<u32>,
}

impl InfoTag {
    /// For a stream of layer III, of a constant bit rate or (`None`) a variable one; `None` if there is no such rate.
    pub(super) fn new(sample_rate: u32, channels: u16, kbps: Option<u32>) -> Option<Self> {
        let (version, factor) = match sample_rate {
            ..16_000 => (0b00, 4),
            16_000..32_000 => (0b10, 2),
            _ => (0b11, 1),
        };
        let rate_index = [44_100, 48_000, 32_000].into_iter().position(|rate| rate == sample_rate * factor)? as u8;
        let rates = if version == 0b11 { MPEG1_KBPS } else { MPEG2_KBPS };
        let mode = if channels == 1 { 0xc0 } else { 0x40 };
        // From the stream's own rate upwards: decoders that measure it by the first frame are then right, mostly.
        let first = rates.iter().position(|&rate| rate >= kbps.unwrap_or(0))?;
        (first..rates.len()).find_map(|index| {
            // Layer III, no CRC, no padding.
            let header = [0xff, 0xe3 | version << 3, (index as u8 + 1) << 4 | rate_index << 2, mode];
            let frame = mpeg::frame_header(&header)?;
            (frame.len >= 4 + frame.side_info + TAG_LEN).then_some(Self { header, frame, kbps })
        })
    }

    /// The frame that says so.
    pub(super) fn frame(&self, counts: &Counts) -> Vec<u8> {
        let mut out = vec![0; self.frame.len];
        out[..4].copy_from_slice(&self.header);
        let mut at = 4 + self.frame.side_info;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
        let total = counts.bytes.map(|bytes| bytes + self.frame.len as u64);
        put(if self.kbps.is_some() { b"Info" } else { b"Xing" });
        match total {
            Some(total) => {
                // Frames, bytes, table of contents and quality are there.
                put(&0xfu32.to_be_bytes());
                put(&word(counts.frames));
                put(&word(total));
                put(&self.contents(counts, total));
                put(&50u32.to_be_bytes());
            }
            None => {
                // Frames only.
                put(&1u32.to_be_bytes());
                put(&word(counts.frames));
            }
        }
        put(b"LAME3.100");
        // Revision 0; method 1 is a constant bit rate, 4 the newer of LAME's variable ones. Lowpass unknown.
        put(&[if self.kbps.is_some() { 1 } else { 4 }, 0]);
        // No replay gain: peak, radio, audiophile. No encoding flags.
        put(&[0; 8]);
        put(&[0]);
        // The constant rate, or the least.
        put(&[self.kbps.unwrap_or(8).min(255) as u8]);
        let [_, trim @ ..] = ((counts.delay.min(0xfff) << 12 | counts.padding.min(0xfff)) as u32).to_be_bytes();
        put(&trim);
        // Miscellaneous, gain, preset.
        put(&[0; 4]);
        put(&word(total.unwrap_or(0)));
        // The checksum of the music would take a second pass; 0 is not checked.
        put(&[0; 2]);
        let crc = crc16(&out[..at]);
        out[at..at + 2].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Where each hundredth of the time begins, in 256ths of the file.
    fn contents(&self, counts: &Counts, total: u64) -> [u8; 100] {
        let varying = counts.places.as_ref().filter(|_| self.kbps.is_none());
        std::array::from_fn(|percent| match varying {
            Some(places) => ((places[percent] + self.frame.len as u64) * 256 / total).min(255) as u8,
            // At a constant rate the table is a straight line.
            None => (percent * 256 / 100) as u8,
        })
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
                let tag = InfoTag::new(rate, channels, Some(32)).unwrap();
                let frame = tag.frame(&Counts { frames: 100, bytes: Some(28_800), ..Counts::default() });
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
