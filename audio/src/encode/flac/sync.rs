//! What looks like a frame's header and is none.
//!
//! A decoder finds frames by their sync code and the checksum of their header (RFC 9639 §9.1). Samples may hold both by
//! accident, some once in millions of recordings; a decoder is to see by the frame's own checksum that it was misled, and
//! Symphonia 0.6 does not where it happens twice in a file's first frame: it skips that.

use super::bits::crc8;

/// Whether a header may be seen in `frame` beside the one it begins with.
pub(super) fn holds_another(frame: &[u8]) -> bool {
    frame
        .windows(2)
        .enumerate()
        .skip(1)
        .any(|(at, two)| two[0] == 0xff && two[1] & 0xfc == 0xf8 && is_header(&frame[at..]))
}

/// Whether the bytes begin with a header of which the checksum is right.
fn is_header(bytes: &[u8]) -> bool {
    let Some(&[_, _, sizes, kind, number, ..]) = bytes.first_chunk::<5>() else { return false };
    let (block, rate) = (sizes >> 4, sizes & 15);
    let number = match number.leading_ones() {
        0 => 1,
        length @ 2..=7 => length as usize,
        _ => return false,
    };
    if block == 0 || rate == 15 || kind >> 4 > 10 || kind & 1 == 1 {
        return false;
    }
    let block = usize::from(block == 6) + 2 * usize::from(block == 7);
    let rate = usize::from(rate == 12) + 2 * usize::from(rate == 13 || rate == 14);
    let end = 4 + number + block + rate;
    bytes.get(end).is_some_and(|&crc| crc == crc8(&bytes[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_within_a_frame_is_seen_and_one_with_a_wrong_checksum_is_none() {
        // Block size and rate after the number, which takes two bytes.
        let mut header = vec![0xff, 0xf8, 0x7d, 0x08, 0xc2, 0x80, 0x0f, 0xff, 0x1f, 0x40];
        header.push(crc8(&header));
        let frame = [&header[..], &[1, 2, 0xff], &header, &[3]].concat();
        assert!(holds_another(&frame));
        for wrong in 1..header.len() {
            let mut frame = frame.clone();
            frame[header.len() + 3 + wrong] ^= 0x10;
            assert!(!holds_another(&frame), "byte {wrong}");
        }
        assert!(!holds_another(&frame[..2 * header.len() + 2]), "it is cut off");
    }
}
