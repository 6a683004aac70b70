//! The clock guard: nothing goes by a clock that cannot be right.
//!
//! A clock that jumps forward would make everything due at once; one that steps back means that it was, or is, wrong.
//! Both are held against the last finished run, which the catalogue remembers, and inside a run against what the clock
//! showed before. A first run has nothing to compare. What a jump within the bound expires can still be brought back
//! for the grace period. A run that does not trust the clock touches nothing and never becomes evidence itself, so the
//! guard stays shut until the clock is right again, the bound is raised, or an operator accepts the clock.

use std::time::Duration;

use archive::Instant;

/// Clocks of several instances differ a little, and a synchronised clock is set back a little.
const MAX_STEP_BACK: Duration = Duration::from_secs(300);

/// Compares what the clock shows with the latest that it was known to show.
#[derive(Clone, Debug)]
pub(crate) struct ClockGuard {
    latest: Option<Instant>,
    max_jump: Duration,
}

impl ClockGuard {
    /// A guard that knows when the last run finished.
    pub(crate) fn since(latest: Option<Instant>, max_jump: Duration) -> Self {
        Self { latest, max_jump }
    }

    /// Is `now` believable? If so, it is what the next look is compared with.
    ///
    /// # Errors
    /// Why not, for the operator.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), String> {
        let latest = self.latest.unwrap_or(now);
        if now < latest.minus(MAX_STEP_BACK) {
            return Err(format!(
                "the clock shows {now}, but rotation has already seen {latest}: nothing goes until the clock is right \
                 again or an operator accepts it"
            ));
        }
        if now > latest.plus(self.max_jump) {
            return Err(format!(
                "the clock shows {now}, but rotation last ran at {latest}, which is longer ago than \
                 rotation.max_clock_jump allows: nothing goes until the clock is right again or an operator accepts it"
            ));
        }
        self.latest = Some(latest.max(now));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;
    const JUMP: Duration = Duration::from_secs(45 * 86_400);

    #[test]
    fn a_step_back_and_a_jump_are_refused_at_their_bounds() {
        // (what the clock shows after the last run, in ms) -> believed
        let table = [
            (0, true),
            (5 * 60_000, true),
            (30 * DAY_MS, true),
            (45 * DAY_MS, true),
            (45 * DAY_MS + 1, false),
            (-5 * 60_000, true),
            (-5 * 60_000 - 1, false),
            (-400 * DAY_MS, false),
        ];
        let latest = Instant::from_millis(1_795_262_400_000);
        for (later_ms, believed) in table {
            let mut guard = ClockGuard::since(Some(latest), JUMP);
            let now = Instant::from_millis(latest.millis() + later_ms);
            assert_eq!(guard.check(now).is_ok(), believed, "{later_ms} ms later");
        }
    }

    #[test]
    fn a_first_run_has_nothing_to_compare_and_later_looks_compare_with_it() {
        let mut guard = ClockGuard::since(None, JUMP);
        let at = |days: i64| Instant::from_millis(days * DAY_MS);
        assert!(guard.check(at(1000)).is_ok());
        assert!(guard.check(at(1040)).is_ok());
        assert!(guard.check(at(1086)).is_err());
        assert!(guard.check(at(1080)).is_ok(), "a refused look is not what the next is compared with");
        assert!(guard.check(at(1079)).is_err());
    }
}
