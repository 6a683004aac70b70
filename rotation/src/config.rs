//! The `[rotation]` section of the configuration.

use std::time::Duration;

use serde::Deserialize;

use crate::schedule::check_schedule;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// The shortest grace period: less would leave nobody the time to notice.
pub(crate) const SHORTEST_GRACE: Duration = HOUR;

/// When rotation runs, and what guards it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// When runs begin: a cron expression of six fields (second, minute, hour, day, month, weekday), in UTC. There is
    /// one more run right after the start.
    pub schedule: String,
    /// Nothing expires that was archived less than this ago, however old its call is and however full its PBX.
    #[serde(deserialize_with = "archive::units::duration")]
    pub min_age: Duration,
    /// How long an expired recording can be brought back before it is purged; at least an hour.
    #[serde(deserialize_with = "archive::units::duration")]
    pub grace: Duration,
    /// When the clock shows more than this after the last run, it is not believed, and nothing goes until somebody has
    /// looked. Longer than the service is ever out of use; at least a day.
    #[serde(deserialize_with = "archive::units::duration")]
    pub max_clock_jump: Duration,
    /// How many recordings are copied or moved between stores at a time; at least one.
    pub copy_workers: usize,
    /// How many bytes a second they may move, together: `"20 MB"`. None: as many as the stores take.
    #[serde(deserialize_with = "archive::units::optional_bytes")]
    pub copy_rate: Option<u64>,
    /// How often it is asked whether something waits to be copied.
    #[serde(deserialize_with = "archive::units::duration")]
    pub copy_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            schedule: "0 */5 * * * *".to_owned(),
            min_age: 7 * DAY,
            grace: 24 * HOUR,
            max_clock_jump: 45 * DAY,
            copy_workers: 2,
            copy_rate: None,
            copy_interval: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Looks whether the values can be used.
    ///
    /// # Errors
    /// The first key that cannot, and what to write instead.
    pub fn validate(&self) -> Result<(), String> {
        check_schedule(&self.schedule)?;
        if self.grace < SHORTEST_GRACE {
            return Err("grace is too short to notice a mistake in: make it \"1 h\" or more".to_owned());
        }
        if self.copy_workers == 0 {
            return Err("copy_workers is 0, and nothing would ever be copied: make it 1 or more".to_owned());
        }
        if self.copy_rate == Some(0) {
            return Err(
                "copy_rate is 0, and nothing would ever be copied: leave it out where there is no limit".to_owned()
            );
        }
        if self.copy_interval < Duration::from_millis(10) {
            return Err("copy_interval is too short to do anything in between: make it \"1 s\" or more".to_owned());
        }
        if self.max_clock_jump < DAY {
            return Err("max_clock_jump is shorter than an outage can be: make it \"1 day\" or more".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_bad_value_is_named() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.validate()
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|config| config.schedule = "@daily".to_owned()), Ok(()));
        assert_eq!(with(|config| config.min_age = Duration::ZERO), Ok(()));
        assert_eq!(with(|config| config.grace = HOUR), Ok(()));
        for (key, change) in [
            ("schedule", (|config| config.schedule = "*/5 * * * *".to_owned()) as fn(&mut Config)),
            ("schedule", |config| config.schedule = "every now and then".to_owned()),
            ("grace", |config| config.grace = Duration::from_secs(3599)),
            ("copy_workers", |config| config.copy_workers = 0),
            ("copy_rate", |config| config.copy_rate = Some(0)),
            ("copy_interval", |config| config.copy_interval = Duration::ZERO),
            ("max_clock_jump", |config| config.max_clock_jump = Duration::from_secs(60)),
        ] {
            let error = with(change).expect_err(key);
            assert!(error.starts_with(&format!("{key} ")), "{error}");
        }
    }

    #[test]
    fn durations_are_written_as_people_write_them_and_unknown_keys_are_refused() {
        let config: Config =
            serde_json::from_str(r#"{ "min_age": "2 days", "grace": "90 min" }"#).expect("a valid section");
        assert_eq!((config.min_age, config.grace), (2 * DAY, Duration::from_secs(5400)));
        assert_eq!(config.max_clock_jump, 45 * DAY);
        assert!(serde_json::from_str::<Config>(r#"{ "graze": "90 min" }"#).is_err());
    }
}
