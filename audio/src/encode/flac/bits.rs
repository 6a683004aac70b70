//! Bits, the most significant first, and the checksums of FLAC.

/// Bits on their way into bytes.
#[derive(Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        (self.held, self.count) = (0, 0);
    }

    /// The lowest `width` bits of `value`, of which there are at most 32.
    #[inline]
    pub(super) fn put(&mut self, value: u32, width: u32) {
        debug_assert!(width <= 32);
        let value = u64::from(value) & ((1 << width) - 1);
        self.held = self.held << width | value;
        self.count += width;
        if self.count >= 32 {
            self.count -= 32;
            self.bytes.extend_from_slice(&((self.held >> self.count) as u32).to_be_bytes());
        }
    }

    pub(super) fn put_signed(&mut self, value: i32, width: u32) {
        self.put(value as u32, width);
    }

    pub(super) fn zeros(&mut self, mut count: u32) {
        while count > 0 {
            let now = count.min(32);
            self.put(0, now);
            count -= now;
        }
    }

    /// The bytes so far, the last one filled up with zeros.
    pub(super) fn align(&mut self) -> &mut Vec<u8> {
        let fill = self.count.wrapping_neg() % 8;
        self.put(0, fill);
        while self.count > 0 {
            self.count -= 8;
            self.bytes.push((self.held >> self.count) as u8);
        }
        &mut self.bytes
    }
}

/// CRC-8 with the polynomial 07, from 0 (RFC 9639 §9.1.8).
pub(super) fn crc8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

const CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = ((byte as u16) << 8, 0);
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x8005 } else { crc << 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// CRC-16 with the polynomial 8005, from 0 (RFC 9639 §9.3).
pub(super) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| crc << 8 ^ CRC16[usize::from((crc >> 8) as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stand_in_their_order() {
        let mut bits = Bits::default();
        bits.put(0b101, 3);
        bits.zeros(40);
        bits.put_signed(-1, 17);
        bits.put(u32::MAX, 32);
        assert_eq!(bits.align()[..], [0xa0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0][..]);
    }

    #[test]
    fn the_checksums_are_those_in_the_catalogue() {
        assert_eq!(crc8(b"123456789"), 0xf4);
        assert_eq!(crc16(b"123456789"), 0xfee8);
    }
}
