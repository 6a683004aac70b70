//! G.711: µ-law and A-law bytes to 16-bit samples (ITU-T G.711, tables 1 and 2).

/// The sample that a µ-law byte stands for.
pub(crate) const fn from_mulaw(byte: u8) -> i16 {
    let byte = !byte;
    let magnitude = ((((byte & 0x0f) as i16) << 3) + 0x84) << ((byte & 0x70) >> 4);
    if byte & 0x80 != 0 { 0x84 - magnitude } else { magnitude - 0x84 }
}

/// The sample that an A-law byte stands for.
pub(crate) const fn from_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let segment = (byte & 0x70) >> 4;
    let mantissa = ((byte & 0x0f) as i16) << 4;
    let magnitude = match segment {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (segment - 1),
    };
    if byte & 0x80 != 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_recommendation_are_kept() {
        assert_eq!([0x00, 0x7f, 0x80, 0xff].map(from_mulaw), [-32124, 0, 32124, 0]);
        assert_eq!([0x2a, 0xaa, 0xd5, 0x55].map(from_alaw), [-32256, 32256, 8, -8]);
    }
}
