//! The `[http]` section of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use crate::network::Network;

/// The `[http]` section.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the API is served.
    pub listen: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; keep it away from strangers.
    pub operations_listen: SocketAddr,
    /// Proxies whose `X-Forwarded-For` is believed: addresses or networks, such as `"10.0.0.0/8"`.
    pub trusted_proxies: Vec<Network>,
    /// The most connections served at a time, and so the most requests; more wait to be accepted.
    pub max_connections: usize,
    /// The most downloads converted to another format (`?format=`) at a time, each in a thread of its own that waits for
    /// its listener; more are asked to come back later. Recordings of one tenant take at most half of the places, and at least
    /// one.
    pub conversions: usize,
    /// How long a request may take until its answer begins; sending a recording may take as long as it moves.
    #[serde(deserialize_with = "archive::units::duration")]
    pub request_timeout: Duration,
    /// A connection on which no byte moves for this long is closed.
    #[serde(deserialize_with = "archive::units::duration")]
    pub stall_timeout: Duration,
    /// How long requests in progress may take to finish when stopping; then they are cut.
    #[serde(deserialize_with = "archive::units::duration")]
    pub shutdown_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080)),
            operations_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            trusted_proxies: Vec::new(),
            max_connections: 1024,
            conversions: 8,
            request_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(60),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// Looks for values that cannot work.
    ///
    /// # Errors
    /// One line that names the key and says what to do.
    pub fn validate(&self) -> Result<(), String> {
        if self.max_connections == 0 {
            return Err("max_connections is 0: set it to 1 or more".to_owned());
        }
        if self.conversions == 0 {
            return Err("conversions is 0: set it to 1 or more".to_owned());
        }
        if self.request_timeout.is_zero() {
            return Err("request_timeout is 0: set it to some seconds, such as \"30 s\"".to_owned());
        }
        if self.stall_timeout <= self.request_timeout {
            return Err("stall_timeout is not longer than request_timeout: a connection would be closed while \
                        its request is still being answered; make it longer"
                .to_owned());
        }
        if self.listen == self.operations_listen && self.listen.port() != 0 {
            return Err("listen and operations_listen are the same address: give each its own".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_is_valid() {
        Config::default().validate().expect("the default is valid");
    }

    #[test]
    fn each_bad_value_is_refused_by_its_key() {
        let base = Config::default;
        for (config, key) in [
            (Config { max_connections: 0, ..base() }, "max_connections"),
            (Config { conversions: 0, ..base() }, "conversions"),
            (Config { request_timeout: Duration::ZERO, ..base() }, "request_timeout"),
            (Config { stall_timeout: Duration::from_secs(1), ..base() }, "stall_timeout"),
            (Config { operations_listen: base().listen, ..base() }, "operations_listen"),
        ] {
            let refusal = config.validate().expect_err(key);
            assert!(refusal.contains(key), "{refusal}");
        }
    }

    #[test]
    fn a_section_reads_as_people_write_it_and_unknown_keys_are_refused() {
        let section = serde_json::json!({
            "listen": "127.0.0.1:0", "trusted_proxies": ["10.0.0.0/8", "::1"], "request_timeout": "5 s",
        });
        let config: Config = serde_json::from_value(section).expect("the section is valid");
        assert_eq!(config.request_timeout, Duration::from_secs(5));
        assert_eq!(config.trusted_proxies.len(), 2);
        let refusal = serde_json::from_value::<Config>(serde_json::json!({ "liste": 1 })).expect_err("unknown key");
        assert!(refusal.to_string().contains("liste"), "{refusal}");
    }
}
