//! The `[ftp]` section of the configuration.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// The `[ftp]` section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen for control connections. An IPv6 address serves clients that use EPSV only.
    pub listen: SocketAddr,
    /// Ports for data connections, both ends included: `"50000-50999"`; `"0"`: any free port. Each transfer that runs
    /// takes one.
    pub passive_ports: PortRange,
    /// The IPv4 address that clients are told to open data connections to; without it, the one that they reached us by.
    pub external_address: Option<IpAddr>,
    /// Whether sessions are encrypted.
    pub tls: TlsMode,
    /// The certificate chain, as PEM; without it, a self-made one is kept in the data directory.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, as PEM.
    pub key: Option<PathBuf>,
    /// Sessions at a time.
    pub max_sessions: usize,
    /// Sessions at a time from one address.
    pub max_sessions_per_address: usize,
    /// A session is closed after so long without a command, and a transfer after so long without the client taking a byte.
    #[serde(deserialize_with = "archive::units::duration")]
    pub idle_timeout: Duration,
    /// How long running transfers may go on when the server stops.
    #[serde(deserialize_with = "archive::units::duration")]
    pub shutdown_grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 2121)),
            passive_ports: PortRange { first: 50_000, last: 50_999 },
            external_address: None,
            tls: TlsMode::default(),
            certificate: None,
            key: None,
            max_sessions: 500,
            max_sessions_per_address: 20,
            idle_timeout: Duration::from_secs(300),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// Can a server be run by this?
    ///
    /// # Errors
    /// Which key cannot, and what to write instead.
    pub fn validate(&self) -> Result<(), String> {
        if self.certificate.is_some() != self.key.is_some() {
            return Err("certificate and key: give both, or neither for a self-made one".to_owned());
        }
        if matches!(self.external_address, Some(IpAddr::V6(_))) {
            return Err("external_address: must be an IPv4 address; clients on IPv6 are told none".to_owned());
        }
        if self.max_sessions == 0 {
            return Err("max_sessions: must be 1 or more".to_owned());
        }
        if self.max_sessions_per_address == 0 {
            return Err("max_sessions_per_address: must be 1 or more".to_owned());
        }
        if self.idle_timeout < Duration::from_secs(1) {
            return Err("idle_timeout: must be \"1 s\" or more".to_owned());
        }
        Ok(())
    }
}

/// Whether sessions are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Nobody logs in, and no data connection is opened by PASV, without explicit TLS.
    #[default]
    Required,
    /// Explicit TLS for those who ask for it; passwords and recordings of the others travel in clear.
    Optional,
    /// No TLS at all.
    Off,
}

/// Ports, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Any free port, as the operating system chooses.
    pub const ANY: Self = Self { first: 0, last: 0 };

    /// From `first` to `last`; `None` when that is nothing.
    pub fn new(first: u16, last: u16) -> Option<Self> {
        (first > 0 && first <= last).then_some(Self { first, last })
    }

    pub(crate) fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "0" {
            return Ok(Self::ANY);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = first.trim().parse().ok().zip(last.trim().parse().ok());
        range.and_then(|(first, last)| Self::new(first, last)).ok_or_else(|| {
            format!("\"{text}\" is not a range of ports: write it like \"50000-50999\", or \"0\" for any free port")
        })
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_section_reads_and_an_empty_one_is_the_default() {
        assert_eq!(toml::from_str::<Config>("").unwrap(), Config::default());
        let config: Config = toml::from_str(
            r#"listen = "127.0.0.1:21"
               passive_ports = "50000-50099"
               external_address = "192.0.2.7"
               tls = "optional"
               certificate = "/etc/fonoteca/ftp.pem"
               key = "/etc/fonoteca/ftp.key"
               max_sessions = 10
               max_sessions_per_address = 2
               idle_timeout = "5 min"
               shutdown_grace = "10 s""#,
        )
        .unwrap();
        assert_eq!(config.passive_ports.ports(), 50_000..=50_099);
        assert_eq!((config.tls, config.shutdown_grace), (TlsMode::Optional, Duration::from_secs(10)));
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(Config::default().validate(), Ok(()));
        assert!(toml::from_str::<Config>("port = 21").is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_by_the_name_of_its_key() {
        let default = Config::default;
        let cases = [
            (Config { key: Some("k".into()), ..default() }, "certificate and key"),
            (Config { certificate: Some("c".into()), ..default() }, "certificate and key"),
            (Config { external_address: Some("::1".parse().unwrap()), ..default() }, "external_address"),
            (Config { max_sessions: 0, ..default() }, "max_sessions"),
            (Config { max_sessions_per_address: 0, ..default() }, "max_sessions_per_address"),
            (Config { idle_timeout: Duration::ZERO, ..default() }, "idle_timeout"),
        ];
        for (config, key) in cases {
            let refusal = config.validate().unwrap_err();
            assert!(refusal.starts_with(&format!("{key}:")), "{refusal}");
        }
    }

    #[test]
    fn a_range_of_ports_has_two_ends() {
        for (text, ports) in [("50000-50999", 50_000..=50_999), ("2120", 2120..=2120), (" 1 - 2 ", 1..=2), ("0", 0..=0)]
        {
            assert_eq!(text.parse::<PortRange>().unwrap().ports(), ports);
        }
        for text in ["", "-", "2-1", "0-5", "1-70000", "a-b", "1-2-3"] {
            assert!(text.parse::<PortRange>().is_err(), "{text}");
        }
    }
}
