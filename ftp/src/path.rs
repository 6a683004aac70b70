//! What a client's path means. Pure, and independent of the catalogue and of any FTP library.
//!
//! libunftp hands on whatever the client sent, joined to its working directory: `..` and all. Everything is settled
//! here, once, before anything looks at it.

use std::path::Path;

/// The most bytes that a path may be long before it is settled. A working directory grows by every `CWD ..`, so this is
/// more than a settled path may have.
const MAX_RAW_BYTES: usize = 32 * 1024;
/// The most bytes that a settled path may be long.
const MAX_BYTES: usize = 1024;
/// Year, month, day, recording.
const MAX_DEPTH: usize = 4;

/// The parts of a path from the root, settled: empty parts and `.` are dropped, `..` goes up and stays at the root.
///
/// `None` when the path can mean nothing: too long, too deep, not UTF-8, or with a backslash or control character in it.
pub(crate) fn settle(path: &Path) -> Option<Vec<&str>> {
    let path = path.to_str()?;
    if path.len() > MAX_RAW_BYTES || path.contains(|c: char| c == '\\' || c.is_control()) {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let bytes: usize = parts.iter().map(|part| part.len() + 1).sum();
    (parts.len() <= MAX_DEPTH && bytes <= MAX_BYTES).then_some(parts)
}

/// The part of a recording's file name that is its id: the last one between `_` and the extension, if it has the length
/// of one.
pub(crate) fn id_part(name: &str) -> Option<&str> {
    let tail = name.rsplit('_').next()?;
    let id = tail.split('.').next()?;
    (id.len() == 26).then_some(id)
}

/// A number of exactly so many digits.
pub(crate) fn digits<T: std::str::FromStr>(part: &str, count: usize) -> Option<T> {
    (part.len() == count && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_is_settled_before_anything_looks_at_it() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("/", &[]),
            (".", &[]),
            ("//", &[]),
            ("/..", &[]),
            ("/../../..", &[]),
            ("/2026", &["2026"]),
            ("2026/", &["2026"]),
            ("/2026//11/./21/", &["2026", "11", "21"]),
            ("/2026/11/../12", &["2026", "12"]),
            ("/../../2026", &["2026"]),
            ("/2026/../../../2025", &["2025"]),
            ("/2026/11/21/../../../..", &[]),
            ("/2026/11/21/a b_c.mp3", &["2026", "11", "21", "a b_c.mp3"]),
            ("/...", &["..."]),
            ("/a/b/c/d/..", &["a", "b", "c"]),
            ("/a/b/c/d/e/f/../..", &["a", "b", "c", "d"]),
            ("/~root", &["~root"]),
        ];
        for (path, parts) in cases {
            assert_eq!(settle(Path::new(path)).as_deref(), Some(*parts), "{path:?}");
        }
    }

    #[test]
    fn a_path_that_can_mean_nothing_is_refused() {
        let long = format!("/{}", "a".repeat(MAX_BYTES));
        let longer = format!("/2026{}", "/../2026".repeat(MAX_RAW_BYTES / 8));
        for path in ["/2026\\11", "\\", "/a\0b", "/a\r\nb", "/a\u{7f}", "/a\u{85}", "/a/b/c/d/e", &long, &longer] {
            assert_eq!(settle(Path::new(path)), None, "{path:?}");
        }
        assert_eq!(settle(Path::new(std::ffi::OsStr::from_bytes(b"/\xff"))), None);
        let many_steps = format!("/2026{}", "/../2026".repeat(1000));
        assert_eq!(settle(Path::new(&many_steps)).unwrap(), ["2026"]);
        assert!(settle(Path::new(&long[..MAX_BYTES])).is_some());
    }

    /// Every path of up to six of these parts: whatever is settled is clean, and stays what it is.
    #[test]
    fn what_is_settled_stays_settled() {
        let parts = ["", ".", "..", "2026", "a_b.mp3", "..."];
        let mut paths = vec![String::new()];
        for _ in 0..6 {
            let longer: Vec<String> =
                paths.iter().flat_map(|path| parts.iter().map(move |part| format!("{path}/{part}"))).collect();
            for path in &longer {
                let Some(settled) = settle(Path::new(path)) else { continue };
                assert!(
                    settled.len() <= MAX_DEPTH && settled.iter().all(|part| !["", ".", ".."].contains(part)),
                    "{path}"
                );
                assert_eq!(settle(Path::new(&settled.join("/"))).as_ref(), Some(&settled), "{path}");
            }
            paths = longer;
        }
    }

    #[test]
    fn the_id_is_the_last_part_of_a_name() {
        let id = "01KAJ9ZVY0ABCDEFGHJKMNPQRS";
        for name in [
            format!("20261121-083942_out_101_+4930123456_{id}.mp3"),
            format!("anything_{id}.wav"),
            format!("{id}.mp3"),
            format!("_{id}"),
            format!("a_b_{id}.tar.gz"),
        ] {
            assert_eq!(id_part(&name), Some(id), "{name}");
        }
        for name in ["", ".", "_", "a_b.mp3", "_01KAJ9ZVY0.mp3", &format!("{id}x.mp3"), &format!("{id}_.mp3")] {
            assert_eq!(id_part(name), None, "{name}");
        }
    }

    #[test]
    fn only_digits_in_full_length_are_a_date() {
        assert_eq!(digits::<i16>("2026", 4), Some(2026));
        assert_eq!(digits::<i8>("07", 2), Some(7));
        for part in ["", "7", "007", "+7", "-7", " 7", "٠٧", "7a"] {
            assert_eq!(digits::<i8>(part, 2), None, "{part}");
        }
    }
}
