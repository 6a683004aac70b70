//! The settled rule: is a recording finished, or is its call still up?
//!
//! Size and time alone cannot tell. A core server writes in blocks (32 KiB or 256 KiB), so a file of a compact format
//! stands still for 20 s and longer while it is recorded; during a silent hold nothing is written at all, without bound;
//! and many files are empty during the whole call. So three things are asked: does the file itself say that it was
//! closed, does a process hold it open, and, only where neither tells, for how long has it stood still.

use std::time::Duration;

use crate::config::Config;

/// So soon after its last change a file is not judged by one of the two alone: by nobody holding it open where its format
/// has no sign, by its sign where writers cannot be seen (a copy may be given its whole size before its bytes).
const GUARD: Duration = Duration::from_secs(2);
/// By how much longer a file is left alone that says it is unfinished, where it cannot be seen who holds it open.
const UNSEEN_FACTOR: u32 = 8;

/// What the file itself says of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It was closed: its header's sizes are the file's, or its last page is marked as the last.
    Closed,
    /// It was not, or not yet: its header's sizes are still the ones it was begun with.
    Open,
    /// Nothing: the format has no such sign.
    None,
    /// Nothing: there are no bytes.
    Empty,
}

/// Who holds the file open for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writers {
    /// A process of this machine does.
    Some,
    /// Nobody does: every process that could was looked at.
    None,
    /// Nobody that can be seen: the writer may be on another machine, or one whose open files are hidden from us.
    Unknown,
}

/// What is known of a file that may be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) sign: Sign,
    pub(crate) writers: Writers,
    /// For how long it has not changed.
    pub(crate) still_for: Duration,
}

/// Is the recording finished?
pub(crate) fn is_settled(facts: Facts, config: &Config) -> bool {
    match (facts.writers, facts.sign) {
        (Writers::Some, _) => false,
        (Writers::None, Sign::Closed) => true,
        (Writers::None, Sign::None) | (Writers::Unknown, Sign::Closed) => facts.still_for >= GUARD,
        (Writers::Unknown, Sign::None) => facts.still_for >= config.settle,
        (Writers::None, Sign::Open | Sign::Empty) => facts.still_for >= config.abandoned_after,
        (Writers::Unknown, Sign::Open | Sign::Empty) => {
            facts.still_for >= config.abandoned_after.saturating_mul(UNSEEN_FACTOR)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_observed_of_core_servers_is_judged_rightly() {
        use Sign as S;
        use Writers as W;
        let minutes = |n: u64| n * 60;
        let table = [
            ("a gsm call between two blocks of 20 s", S::None, W::Some, 19, false),
            ("the same, written by another machine", S::None, W::Unknown, 19, false),
            ("an mp3 of rtpengine between two blocks", S::None, W::Unknown, 87, false),
            ("a gsm file that was closed a moment ago", S::None, W::None, 1, false),
            ("and a little later", S::None, W::None, 2, true),
            ("a gsm file on NFS, two minutes after", S::None, W::Unknown, 120, true),
            ("a wav in progress, sizes 0", S::Open, W::Some, 2, false),
            ("a wav in a silent hold of an hour", S::Open, W::Some, minutes(60), false),
            ("a gsm file in a silent hold of an hour", S::None, W::Some, minutes(60), false),
            ("a wav on NFS in a silent hold of 15 minutes", S::Open, W::Unknown, minutes(15), false),
            ("an rtpengine wav with sizes ffffffff, not yet closed", S::Open, W::Some, 10, false),
            ("a wav that was closed this moment", S::Closed, W::None, 0, true),
            ("the same on NFS", S::Closed, W::Unknown, 1, false),
            ("the same on NFS, a little later", S::Closed, W::Unknown, 2, true),
            ("a closed wav that a transferred call appends to", S::Closed, W::Some, 5, false),
            ("a wav of a core server that crashed just now", S::Open, W::None, 14 * 60 + 59, false),
            ("and a quarter of an hour later", S::Open, W::None, minutes(15), true),
            ("the same on NFS, two hours later", S::Open, W::Unknown, minutes(120), true),
            ("an rtpengine file of a call that began just now", S::Empty, W::Some, minutes(10), false),
            ("cache_record_files: made and closed at the start", S::Empty, W::None, minutes(10), false),
            ("an spx file that never gets a byte", S::Empty, W::None, minutes(15), true),
            ("an Ogg file whose last page is not the last", S::Open, W::None, 30, false),
            ("an Ogg file with its last page", S::Closed, W::None, 0, true),
        ];
        let config = Config::default();
        for (what, sign, writers, seconds, settled) in table {
            let facts = Facts { sign, writers, still_for: Duration::from_secs(seconds) };
            assert_eq!(is_settled(facts, &config), settled, "{what}");
        }
    }
}
