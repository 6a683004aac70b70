//! CPU time as the kernel counts it: a busy neighbour does not falsify it as he would the clock on the wall.

use std::fs;

use audio::Format;

use crate::{Outcome, Row};

/// What one file cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_seconds: f64,
    pub(crate) bytes: u64,
}

/// What many files of a minute cost.
#[derive(Default)]
pub(crate) struct Total {
    files: usize,
    cpu_seconds: f64,
    bytes: u64,
}

impl Total {
    pub(crate) fn add(&mut self, cost: Cost) {
        self.files += 1;
        self.cpu_seconds += cost.cpu_seconds;
        self.bytes += cost.bytes;
    }

    pub(crate) fn row(&self, format: Format, who: &str) -> Row {
        let audio_hours = self.files as f64 / 60.0;
        Row {
            format: format.as_str(),
            who: who.to_owned(),
            cpu_seconds: self.cpu_seconds,
            audio_hours,
            bytes_per_hour: self.bytes as f64 / audio_hours,
        }
    }
}

/// CPU seconds of this thread so far.
pub(crate) fn own_seconds() -> Outcome<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no schedstat")?.parse()?;
    Ok(nanoseconds / 1e9)
}

/// CPU seconds of the children that have ended so far; the kernel rounds their sum to 10 ms, not each of them.
pub(crate) fn children_seconds() -> Outcome<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may hold anything, the fields are separated by spaces.
    let fields = text.rsplit_once(") ").ok_or("no stat")?.1;
    let ticks: Vec<&str> = fields.split_whitespace().skip(13).take(2).collect();
    Ok(ticks.iter().map(|field| field.parse::<f64>()).sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}
