//! The most memory that four hours of stereo take, encoded and decoded again, each in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use audio::Format;

use crate::Outcome;
use crate::{ours, speech};

const HOURS: usize = 4;
/// What no recording may take more of, however long.
const MOST_MIB: f64 = 32.0;

/// Runs every format in a child and prints what it took.
pub(crate) fn report() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("hours.wav");
    speech::hours(&source, HOURS)?;
    println!("| work | format | peak memory of the process, MiB |");
    println!("|---|---|---|");
    let mut most = 0.0_f64;
    for format in Format::ALL {
        let kept = folder.path().join("kept");
        for (work, file) in [("encode", &source), ("decode", &kept)] {
            let peak = alone(work, file, format.as_str())?;
            println!("| {work} | {format} | {peak:.1} |");
            most = most.max(peak);
        }
    }
    if most > MOST_MIB { Err(format!("{most:.1} MiB are more than {MOST_MIB}").into()) } else { Ok(()) }
}

fn alone(work: &str, source: &Path, name: &str) -> Outcome<f64> {
    let output = Command::new(std::env::current_exe()?).args(["memory", work]).arg(source).arg(name).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse::<f64>()? / 1_024.0)
}

/// The child: encodes `source` into `kept` beside it, or decodes it, and prints its peak in KiB.
pub(crate) fn one(work: &str, source: &Path, name: &str) -> Outcome<()> {
    let frames = (HOURS * 3_600 * 8_000) as u64;
    let found = match work {
        "encode" => {
            let kept = source.with_file_name("kept");
            let mut sink = fs::File::options().read(true).write(true).create(true).truncate(true).open(kept)?;
            let settings = ours::settings(name.parse()?);
            audio::transcode(source, "hours.wav", &mut sink, &settings, &ours::tags())?.samples_per_channel
        }
        _ => audio::measure(source, name)?.samples_per_channel,
    };
    if found != frames {
        return Err(format!("{found} samples instead of {frames}").into());
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    println!("{}", peak.trim().trim_end_matches("kB").trim());
    Ok(())
}
