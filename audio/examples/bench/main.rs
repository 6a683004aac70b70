//! What transcoding costs: our pass over a recording beside the bare codec library and beside a process for each file,
//! the memory that hours of audio take, and what is left of the sound.
//!
//! ```text
//! cargo run --release -p audio --example bench -- [FILES]    CPU time, 1,000 files of a minute unless told otherwise
//! cargo run --release -p audio --example bench -- memory     peak memory for four hours of stereo
//! cargo run --release -p audio --example bench -- sound [RECORDING...]    every setting against its source
//! ```

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod bare;
mod cpu;
mod memory;
mod ours;
mod peers;
mod sound;
mod speech;

use std::path::Path;

use audio::Format;

/// What a known platform records: 25,000 hours of audio a day.
const PLATFORM_REAL_TIME: f64 = 25_000.0 / 24.0;
/// A process for each file is so much slower that a tenth of the files tells.
const PEER_SHARE: usize = 10;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(1_000),
        ["memory"] => memory::report(),
        ["memory", work, source, name] => memory::one(work, Path::new(source), name),
        ["sound", ref recordings @ ..] => {
            sound::report(recordings, std::env::var("FONOTECA_PESQ").ok().filter(|judge| !judge.is_empty()).as_deref())
        }
        [files] => compare(files.parse()?),
        _ => Err("use: bench [FILES] | bench memory | bench sound [RECORDING...]".into()),
    }
}

struct Row {
    format: &'static str,
    who: String,
    cpu_seconds: f64,
    audio_hours: f64,
    bytes_per_hour: f64,
}

fn compare(files: usize) -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let sources = speech::minutes(folder.path())?;
    let mut rows = Vec::new();
    for format in [Format::Mp3, Format::Opus, Format::Flac, Format::Wav] {
        // Alternately and in rounds, so that a machine that is busy for a while is busy for both.
        let (mut own, mut limit) = (cpu::Total::default(), cpu::Total::default());
        let mut round = 0;
        while round < files {
            let some = sources.iter().take(files - round);
            for source in some {
                own.add(ours::transcode(source, format, folder.path())?);
                limit.add(bare::encode(source, format)?);
            }
            round += sources.len();
        }
        rows.push(own.row(format, "fonoteca"));
        if format != Format::Wav {
            rows.push(limit.row(format, "bare library"));
        }
        let few = (files / PEER_SHARE).max(1);
        for (name, command) in peers::of(format) {
            let mut total = cpu::Total::default();
            for source in sources.iter().cycle().take(few) {
                let Some(cost) = peers::run(&command, source, folder.path())? else { break };
                total.add(cost);
            }
            rows.push(total.row(format, name));
        }
    }
    print(&rows);
    Ok(())
}

fn print(rows: &[Row]) {
    println!(
        "| format | who | CPU s per hour of audio | × real time, one core | of the bare library | cores for 25,000 h a day | MB per hour |"
    );
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        if row.audio_hours == 0.0 {
            println!("| {} | {} | not installed | | | | |", row.format, row.who);
            continue;
        }
        let per_hour = row.cpu_seconds / row.audio_hours;
        let limit = rows.iter().find(|other| other.format == row.format && other.who == "bare library");
        let ratio =
            limit.map_or("-".to_owned(), |limit| format!("{:.3}", per_hour / (limit.cpu_seconds / limit.audio_hours)));
        println!(
            "| {} | {} | {per_hour:.2} | {:.0} | {ratio} | {:.2} | {:.1} |",
            row.format,
            row.who,
            3_600.0 / per_hour,
            PLATFORM_REAL_TIME * per_hour / 3_600.0,
            row.bytes_per_hour / 1e6,
        );
    }
}
