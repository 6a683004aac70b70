//! What a person at the terminal reads. Standard output is for answers, standard error for complaints.

use std::io::Write;

/// In which form an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Lines, for people.
    Text,
    /// JSON, for scripts.
    Json,
}

impl Form {
    /// The form that the presence of `--json` asks for.
    pub(crate) fn of_flag(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Prints one line of an answer. A reader that has gone away is no reason to panic.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints one line of a complaint.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "fonoteca: {line}");
}

/// Prints an answer as JSON, for scripts.
pub(crate) fn say_json(answer: &impl serde::Serialize) -> anyhow::Result<()> {
    say(&serde_json::to_string_pretty(answer)?);
    Ok(())
}

/// Bytes as people read them: `1.5 MB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000.0 || unit == "TB" {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{bytes} B")
}
