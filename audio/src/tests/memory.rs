//! An hour of audio takes no more memory than a minute of it.

use super::*;
use crate::{EncodeSettings, Format, Tags, transcode};

/// A sink that keeps nothing but its length.
#[derive(Default)]
struct Nowhere {
    position: u64,
    len: u64,
}

impl std::io::Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.position += bytes.len() as u64;
        self.len = self.len.max(self.position);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::io::Seek for Nowhere {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.position = match to {
            std::io::SeekFrom::Start(at) => at,
            std::io::SeekFrom::Current(by) => self.position.saturating_add_signed(by),
            std::io::SeekFrom::End(by) => self.len.saturating_add_signed(by),
        };
        Ok(self.position)
    }
}

/// The most memory that this process ever had, in KiB.
fn peak_resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The test's own name, and the variable that tells the child from the parent.
const NAME: &str = "tests::memory::an_hour_is_encoded_in_the_memory_of_a_minute";
const ALONE: &str = "FONOTECA_TEST_ALONE";

/// An hour of 8 kHz is 57.6 MB as it is read and 115 MB as FLAC's 32-bit samples. It runs in a process of its own: what
/// the other tests hold at the same time is not ours.
#[test]
fn an_hour_is_encoded_in_the_memory_of_a_minute() {
    if std::env::var_os(ALONE).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", NAME, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let minute = recording_of(60, &folder.path().join("minute.sln"));
    let hour = recording_of(3_600, &folder.path().join("hour.sln"));
    Format::ALL.into_iter().for_each(|format| encode(&minute, format, 60));
    let before = peak_resident_kib();
    Format::ALL.into_iter().for_each(|format| encode(&hour, format, 3_600));
    let grown = peak_resident_kib() - before;
    assert!(grown < 4 * 1_024, "{grown} KiB more for an hour than for a minute");
}

fn recording_of(seconds: usize, path: &Path) -> PathBuf {
    let second: Vec<u8> = tones(8_000, 1, 8_000).iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut file = std::fs::File::create(path).unwrap();
    (0..seconds).for_each(|_| std::io::Write::write_all(&mut file, &second).unwrap());
    path.to_owned()
}

fn encode(path: &Path, format: Format, seconds: u64) {
    let settings = EncodeSettings { format, bitrate_bps: 24_000 };
    let mut sink = Nowhere::default();
    let done = transcode(path, "a.sln", &mut sink, &settings, &Tags::default()).unwrap();
    assert_eq!(done.duration_ms, seconds * 1_000);
    assert!(sink.len > 50_000);
}
