//! `Content-Disposition` (RFC 6266): the name that a download is saved under.

use std::fmt::Write;

/// The value that has `file_name` saved: in ASCII for old programs, and whole as UTF-8 (RFC 8187) where that differs.
pub(crate) fn attachment(file_name: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | '/') || c == ' ';
    let ascii: String = file_name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    let mut value = format!("attachment; filename=\"{ascii}\"");
    if ascii != file_name {
        value.push_str("; filename*=UTF-8''");
        for byte in file_name.bytes() {
            // RFC 8187 section 3.2.1: attr-char.
            if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
                value.push(char::from(byte));
            } else {
                write!(value, "%{byte:02X}").expect("writing to a String cannot fail");
            }
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_and_cannot_break_out_of_the_header() {
        for (name, expected) in [
            ("20261121_out_101_+49301.mp3", "attachment; filename=\"20261121_out_101_+49301.mp3\""),
            ("a\"b\r\n.mp3", "attachment; filename=\"a_b__.mp3\"; filename*=UTF-8''a%22b%0D%0A.mp3"),
            ("ñ.mp3", "attachment; filename=\"_.mp3\"; filename*=UTF-8''%C3%B1.mp3"),
        ] {
            assert_eq!(attachment(name), expected);
        }
    }
}
