//! How far long work has come: a bar with its rate and the time that is left on a terminal, a plain line now and then
//! elsewhere. On standard error: standard output is for answers.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::output::human_bytes;

/// How often a terminal's bar moves.
const BAR_EVERY: Duration = Duration::from_millis(200);
/// How often a line is written elsewhere.
const LINE_EVERY: Duration = Duration::from_secs(30);
/// How wide the bar is.
const WIDTH: usize = 30;

/// Shows how far a piece of work has come.
pub(crate) struct Meter {
    /// `bytes`, or what else is counted.
    unit: &'static str,
    began: Instant,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Meter {
    pub(crate) fn new(unit: &'static str) -> Self {
        Self { unit, began: Instant::now(), shown: None, is_terminal: std::io::stderr().is_terminal() }
    }

    /// Shows that `done` of `all` is done, unless it showed something a moment ago.
    pub(crate) fn show(&mut self, done: u64, all: u64) {
        let every = if self.is_terminal { BAR_EVERY } else { LINE_EVERY };
        if self.shown.unwrap_or(self.began).elapsed() < every {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(self.unit, done, all, self.began.elapsed());
        let mut stderr = std::io::stderr();
        let _ = match self.is_terminal {
            true => write!(stderr, "\r{} {line}\x1b[K", bar(done, all)).and_then(|()| stderr.flush()),
            false => writeln!(stderr, "{line}"),
        };
    }

    /// Takes the bar away, so that the answer begins a line.
    pub(crate) fn end(self) {
        if self.is_terminal && self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(done: u64, all: u64) -> String {
    let filled = (done.min(all) as f64 / all.max(1) as f64 * WIDTH as f64) as usize;
    format!("[{}{}]", "#".repeat(filled), ".".repeat(WIDTH - filled))
}

fn line(unit: &str, done: u64, all: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = Duration::from_secs((all.saturating_sub(done) as f64 / rate.max(0.001)) as u64);
    let count = |value: u64| if unit == "bytes" { human_bytes(value) } else { format!("{value} {unit}") };
    let (hours, minutes, seconds) = (left.as_secs() / 3600, left.as_secs() / 60 % 60, left.as_secs() % 60);
    format!("{} of {}, {}/s, {hours}:{minutes:02}:{seconds:02} left", count(done), count(all), count(rate as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_how_much_how_fast_and_how_long() {
        let half = line("bytes", 1_500_000, 3_000_000, Duration::from_secs(100));
        assert_eq!(half, "1.5 MB of 3.0 MB, 15.0 kB/s, 0:01:40 left");
        assert_eq!(line("objects", 0, 0, Duration::ZERO), "0 objects of 0 objects, 0 objects/s, 0:00:00 left");
        assert_eq!(bar(1, 2), format!("[{}{}]", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(9, 2), format!("[{}]", "#".repeat(30)), "what was added meanwhile counts too");
    }
}
