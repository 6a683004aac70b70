//! `[collector]`: how often, how many at a time, how patient.

use std::time::Duration;

use archive::units;

/// How recordings are brought in. What is collected, from where and what becomes of it afterwards is in the catalogue
/// (core servers, tiers), because it changes while running.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often each core server's spool is listed.
    #[serde(deserialize_with = "units::duration")]
    pub scan_interval: Duration,
    /// Recordings transcoded at a time, over all core servers; as many as there are cores unless set.
    pub workers: usize,
    /// Recordings of one core server in work at a time: being fetched, waiting for a worker, or being stored. A core
    /// server that answers slowly, or whose tenants' store does, holds up no more than these.
    pub claims_per_core_server: u32,
    /// How long a file must not have changed before it counts as finished, where nothing else tells: neither its
    /// header nor the list of open files.
    #[serde(deserialize_with = "units::duration")]
    pub settle: Duration,
    /// How long a file must not have changed before it counts as left behind by a crash: one whose header was never
    /// closed, or an empty one, that nobody holds open. Eight times as long where it cannot be seen who holds it open.
    #[serde(deserialize_with = "units::duration")]
    pub abandoned_after: Duration,
    /// How long one recording may take to transcode; after that it is kept as it came.
    #[serde(deserialize_with = "units::duration")]
    pub transcode_timeout: Duration,
    /// The longest recording that is transcoded; what lasts longer, or claims to, is kept as it came.
    #[serde(deserialize_with = "units::duration")]
    pub longest_recording: Duration,
    /// How long the recordings in work may still take when the service is told to stop. What is not done by then begins
    /// anew with the next start; what was fetched is not fetched again.
    #[serde(deserialize_with = "units::duration")]
    pub shutdown_grace: Duration,
    /// The `ffmpeg` that decodes what nothing here does (G.729, AMR, iLBC, Speex …): `auto` takes the one in the path,
    /// `none` none; else its whole path. What is not decoded is kept as it came.
    pub ffmpeg: String,
    /// How long a claim on a source lasts when its instance dies. It is prolonged while the source is in work.
    #[serde(deserialize_with = "units::duration")]
    pub lease: Duration,
    /// How long another instance must have been silent before what it has spooled is fetched again. One that restarts
    /// within this time goes on with its own.
    #[serde(deserialize_with = "units::duration")]
    pub lost_after: Duration,
    /// Attempts after which a source is quarantined. Failures of stores and of the catalogue never quarantine.
    pub max_attempts: u32,
    /// The pause before the second attempt; each further one is twice as long.
    #[serde(deserialize_with = "units::duration")]
    pub first_retry: Duration,
    /// The longest pause between attempts.
    #[serde(deserialize_with = "units::duration")]
    pub longest_retry: Duration,
    /// Bytes in the landing zone beyond which nothing more is fetched, in equal shares for the core servers, so that
    /// one whose recordings cannot be stored leaves room for the others.
    #[serde(deserialize_with = "units::bytes")]
    pub spool_budget: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scan_interval: Duration::from_secs(5),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            claims_per_core_server: 8,
            settle: Duration::from_secs(120),
            abandoned_after: Duration::from_secs(15 * 60),
            transcode_timeout: Duration::from_secs(30 * 60),
            longest_recording: Duration::from_secs(48 * 3600),
            shutdown_grace: Duration::from_secs(20),
            ffmpeg: "auto".to_owned(),
            lease: Duration::from_secs(5 * 60),
            lost_after: Duration::from_secs(10 * 60),
            max_attempts: 8,
            first_retry: Duration::from_secs(10),
            longest_retry: Duration::from_secs(10 * 60),
            spool_budget: 10 * 1024 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Looks whether the values can be worked with.
    ///
    /// # Errors
    /// The key, and what to write instead.
    pub fn validate(&self) -> Result<(), String> {
        let second = Duration::from_secs(1);
        let durations = [
            ("scan_interval", self.scan_interval, Duration::from_millis(100)),
            ("settle", self.settle, second),
            ("abandoned_after", self.abandoned_after, self.settle),
            ("transcode_timeout", self.transcode_timeout, second),
            ("longest_recording", self.longest_recording, second),
            ("lease", self.lease, 10 * second),
            ("lost_after", self.lost_after, second),
            ("first_retry", self.first_retry, Duration::from_millis(100)),
            ("longest_retry", self.longest_retry, self.first_retry),
        ];
        for (key, value, least) in durations {
            if value < least {
                return Err(format!("{key} is {value:?}: make it {least:?} or more"));
            }
        }
        let counts = [("workers", self.workers), ("claims_per_core_server", self.claims_per_core_server as usize)];
        for (key, value) in counts {
            if !(1..=1024).contains(&value) {
                return Err(format!("{key} is {value}: choose from 1 to 1024"));
            }
        }
        if self.max_attempts == 0 {
            return Err("max_attempts is 0: make it 1 or more".to_owned());
        }
        if self.spool_budget == 0 {
            return Err("spool_budget is 0: nothing could ever be fetched; \"10 GiB\" is the default".to_owned());
        }
        self.ffmpeg.parse::<audio::Ffmpeg>().map(|_| ()).map_err(|error| format!("ffmpeg is not known: {error}"))
    }

    /// The pause before trying a source again that has failed `attempts` times before; `spread` (a number of the
    /// source's own) moves it by up to a quarter, so that what failed together does not come back together.
    pub(crate) fn pause(&self, attempts: u32, spread: u8) -> Duration {
        let doubled = self.first_retry.saturating_mul(1u32.checked_shl(attempts.min(31)).unwrap_or(u32::MAX));
        let pause = doubled.min(self.longest_retry);
        pause - pause / 4 * u32::from(spread) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_be_worked_with() {
        Config::default().validate().expect("defaults");
    }

    #[test]
    fn a_value_that_cannot_work_is_named() {
        let cases = [
            ("scan_interval", Config { scan_interval: Duration::ZERO, ..Config::default() }),
            ("workers", Config { workers: 0, ..Config::default() }),
            ("claims_per_core_server", Config { claims_per_core_server: 0, ..Config::default() }),
            ("abandoned_after", Config { abandoned_after: Duration::from_secs(1), ..Config::default() }),
            ("longest_recording", Config { longest_recording: Duration::ZERO, ..Config::default() }),
            ("lease", Config { lease: Duration::from_secs(1), ..Config::default() }),
            ("max_attempts", Config { max_attempts: 0, ..Config::default() }),
            ("spool_budget", Config { spool_budget: 0, ..Config::default() }),
            ("ffmpeg", Config { ffmpeg: "bin/ffmpeg".to_owned(), ..Config::default() }),
        ];
        for (key, config) in cases {
            assert!(config.validate().expect_err(key).starts_with(key), "{key}");
        }
    }

    #[test]
    fn people_write_durations_and_sizes_and_a_wrong_key_is_refused() {
        let config: Config =
            serde_json::from_str(r#"{"settle": "30 s", "spool_budget": "1 GiB", "workers": 3}"#).expect("well formed");
        assert_eq!((config.settle, config.spool_budget, config.workers), (Duration::from_secs(30), 1 << 30, 3));
        assert!(serde_json::from_str::<Config>(r#"{"setle": "30 s"}"#).is_err());
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_never_fall_below_three_quarters() {
        let config = Config::default();
        let seconds = |attempts, spread| config.pause(attempts, spread).as_secs();
        assert_eq!(
            [seconds(0, 0), seconds(1, 0), seconds(5, 0), seconds(6, 0), seconds(60, 0)],
            [10, 20, 320, 600, 600]
        );
        assert_eq!(config.pause(0, 255), Duration::from_millis(7500));
    }
}
