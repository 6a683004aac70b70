//! A circuit breaker: closed while calls succeed; open after failures in a row, so that nobody waits for what is known not
//! to answer; half-open when it is time to see whether it is back, which one call does for all.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::failure::Trouble;

/// Failures in a row that open it. Each of them was retried already.
const FAILURES: u32 = 3;
/// The pause before the first probe; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between probes.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A probe that has not come back by then is given up for lost, and another one may go.
const PROBE_TIME: Duration = Duration::from_secs(30);

/// Why calls are not let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shut {
    pub(super) trouble: Trouble,
    pub(super) why: String,
    pub(super) probe_in: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { shut: Shut, probes: u32, probe_at: Instant, probing: bool },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Why an ordinary call may not go; asking changes nothing.
    pub(super) fn shut(&self) -> Option<Shut> {
        match &*self.state() {
            State::Closed { .. } => None,
            State::Open { shut, probe_at, .. } => {
                Some(Shut { probe_in: probe_at.saturating_duration_since(Instant::now()), ..shut.clone() })
            }
        }
    }

    /// Lets a call through while closed, and one probe when it is time for it.
    pub(super) fn admit(&self) -> Result<(), Shut> {
        let now = Instant::now();
        match &mut *self.state() {
            State::Closed { .. } => Ok(()),
            State::Open { probe_at, probing, .. } if *probe_at <= now => {
                (*probing, *probe_at) = (true, now + PROBE_TIME);
                Ok(())
            }
            State::Open { shut, probe_at, .. } => Err(Shut { probe_in: *probe_at - now, ..shut.clone() }),
        }
    }

    /// A probe, or a call while closed, succeeded.
    pub(super) fn succeeded(&self) {
        *self.state() = State::default();
    }

    /// An ordinary call succeeded, which may have begun before it was opened.
    pub(super) fn worked(&self) {
        if let State::Closed { failures } = &mut *self.state() {
            *failures = 0;
        }
    }

    /// A call failed.
    pub(super) fn failed(&self, trouble: Trouble, why: &str) {
        let mut state = self.state();
        match &mut *state {
            State::Closed { failures } => {
                *failures += 1;
                // Only what does not answer may be a matter of one call; a refusal is one of all.
                if *failures >= FAILURES || trouble != Trouble::Unreachable {
                    let shut = Shut { trouble, why: why.to_owned(), probe_in: Duration::ZERO };
                    *state = State::Open { shut, probes: 0, probe_at: Instant::now() + pause(0), probing: false };
                }
            }
            State::Open { shut, probes, probe_at, probing } => {
                (shut.trouble, shut.why) = (trouble, why.to_owned());
                // What began before it was opened says nothing about how long to wait.
                if *probing {
                    *probes += 1;
                    (*probe_at, *probing) = (Instant::now() + pause(*probes), false);
                }
            }
        }
    }

    /// Opens it at once: a call that decides for all of them has failed.
    pub(super) fn open(&self, trouble: Trouble, why: &str) {
        if let State::Closed { failures } = &mut *self.state() {
            *failures = FAILURES;
        }
        self.failed(trouble, why);
    }

    /// Makes the next probe due at once.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn forget_pause(&self) {
        if let State::Open { probe_at, .. } = &mut *self.state() {
            *probe_at = Instant::now();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// Twice as long with each probe, up to the longest, less a random quarter: instances that saw the same outage do not
/// come back together.
fn pause(probes: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << probes.min(16)).min(LONGEST_PAUSE);
    pause - pause.mul_f64(rand::random_range(0.0..0.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(breaker: &Breaker) {
        breaker.failed(Trouble::Unreachable, "no answer");
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_three_failures_in_a_row_and_at_once_when_refused() {
        let breaker = Breaker::default();
        down(&breaker);
        down(&breaker);
        breaker.worked();
        down(&breaker);
        down(&breaker);
        assert_eq!(breaker.admit(), Ok(()), "a success in between starts the count again");
        down(&breaker);
        assert_eq!(breaker.admit().unwrap_err().why, "no answer");
        let breaker = Breaker::default();
        breaker.failed(Trouble::Refused, "no such bucket");
        assert_eq!(breaker.admit().unwrap_err().trouble, Trouble::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_goes_when_it_is_time_and_pauses_grow_to_a_bound() {
        let breaker = Breaker::default();
        breaker.open(Trouble::Unreachable, "no answer");
        for probe in 0..12 {
            let shut = breaker.admit().unwrap_err();
            let longest = (FIRST_PAUSE * (1 << probe)).min(LONGEST_PAUSE);
            assert!(shut.probe_in <= longest && shut.probe_in >= longest.mul_f64(0.74), "{:?}", shut.probe_in);
            tokio::time::advance(shut.probe_in).await;
            assert_eq!(breaker.admit(), Ok(()), "the probe");
            assert!(breaker.admit().is_err(), "and nobody beside it");
            // A call from before it opened comes back late, and changes nothing.
            breaker.worked();
            assert!(breaker.shut().is_some());
            down(&breaker);
        }
        tokio::time::advance(LONGEST_PAUSE).await;
        breaker.admit().unwrap();
        breaker.succeeded();
        assert_eq!((breaker.admit(), breaker.shut()), (Ok(()), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_comes_back_is_followed_by_another() {
        let breaker = Breaker::default();
        breaker.open(Trouble::Unreachable, "no answer");
        tokio::time::advance(FIRST_PAUSE).await;
        breaker.admit().unwrap();
        assert!(breaker.admit().is_err());
        tokio::time::advance(PROBE_TIME).await;
        assert_eq!(breaker.admit(), Ok(()));
    }
}
