//! What `[[stores]]` says of a store beyond its name and address: read, checked and defaulted in one place.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use object_store::aws::Checksum;
use serde::{Deserialize, Deserializer};

use super::StoreConfig;
use super::secret::{Secret, look_up};
use crate::error::{Error, Result};
use crate::units;

/// Keys whose value is a [`Secret`], which is read where it stands each time it is wanted.
const SECRETS: [&str; 3] = ["access_key_id", "secret_access_key", "session_token"];
/// The keys that a disk directory has too.
const DISK_KEYS: [&str; 3] = ["spool_budget", "next", "low_space"];

/// Every key, with what it means where it is absent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Bytes of an instance's landing zone that may wait for this store while it takes nothing; half of the zone's own
    /// budget unless set.
    #[serde(deserialize_with = "some_bytes")]
    pub(crate) spool_budget: Option<u64>,
    /// The store that takes new recordings while this one is full.
    pub(crate) next: Option<String>,
    /// Free space below which a disk takes no new recordings.
    pub(crate) low_space: Option<Watermark>,

    /// Where the S3 server is; AWS unless set.
    pub(super) endpoint: Option<String>,
    /// Its region.
    pub(super) region: Option<String>,
    /// `https://server/bucket/key` instead of `https://bucket.server/key`.
    #[serde(deserialize_with = "parsed")]
    pub(super) path_style: bool,
    /// With its secret; where it is absent, credentials come from the environment (`AWS_…`) or the instance's role.
    pub(super) access_key_id: Option<Secret>,
    pub(super) secret_access_key: Option<Secret>,
    pub(super) session_token: Option<Secret>,
    /// Plain HTTP, only where it is asked for.
    #[serde(deserialize_with = "parsed")]
    pub(super) allow_http: bool,
    /// A PEM file of certificate authorities to trust beside the system's.
    pub(super) ca_file: Option<String>,
    pub(super) server_side_encryption: Option<Encryption>,
    pub(super) sse_kms_key_id: Option<String>,
    /// A bucket key saves requests to KMS.
    #[serde(deserialize_with = "parsed")]
    pub(super) sse_bucket_key_enabled: bool,
    /// For `sse-c`: 256 bits in base64.
    pub(super) sse_customer_key_base64: Option<Secret>,
    /// `STANDARD_IA`, `GLACIER_IR` … as the server names it.
    pub(super) storage_class: Option<String>,
    /// What uploads are checked by. Buckets with Object Lock refuse uploads without one.
    pub(super) checksum_algorithm: Digest,
    #[serde(deserialize_with = "units::duration")]
    pub(super) connect_timeout: Duration,
    /// How long a request may go without an answer, and an answer without a byte.
    #[serde(deserialize_with = "units::duration")]
    pub(super) stall_timeout: Duration,
    /// How often, and for how long, one request is repeated before it has failed.
    #[serde(deserialize_with = "parsed")]
    pub(super) max_retries: usize,
    #[serde(deserialize_with = "units::duration")]
    pub(super) retry_timeout: Duration,
    /// When an upload that nobody finished is swept.
    #[serde(deserialize_with = "units::duration")]
    pub(super) unfinished_after: Duration,
    /// What removing means in a bucket that keeps versions.
    pub(super) versions: Versions,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            spool_budget: None,
            next: None,
            low_space: None,
            endpoint: None,
            region: None,
            path_style: true,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            allow_http: false,
            ca_file: None,
            server_side_encryption: None,
            sse_kms_key_id: None,
            sse_bucket_key_enabled: false,
            sse_customer_key_base64: None,
            storage_class: None,
            checksum_algorithm: Digest::Sha256,
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(60),
            max_retries: 4,
            retry_timeout: Duration::from_secs(20),
            unfinished_after: Duration::from_secs(24 * 3600),
            versions: Versions::Remove,
        }
    }
}

/// Free space: bytes, or a share of the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Watermark {
    Bytes(u64),
    Percent(f64),
}

impl Watermark {
    /// In bytes, on a disk of that size.
    pub(crate) fn of(self, total_bytes: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (total_bytes as f64 / 100.0 * percent) as u64,
        }
    }
}

impl FromStr for Watermark {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some(number) = text.strip_suffix('%') else { return units::parse_bytes(text).map(Self::Bytes) };
        let percent = number.trim().parse().ok().filter(|percent| (0.0..=90.0).contains(percent));
        percent
            .map(Self::Percent)
            .ok_or_else(|| Error::Invalid(format!("\"{text}\" is no share: write it like \"5 %\" or \"20 GiB\"")))
    }
}

impl<'de> Deserialize<'de> for Watermark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// Server-side encryption, by the names that S3 has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Encryption {
    #[serde(rename = "AES256")]
    S3,
    #[serde(rename = "aws:kms")]
    Kms,
    #[serde(rename = "aws:kms:dsse")]
    KmsTwice,
    #[serde(rename = "sse-c")]
    OwnKey,
}

/// A checksum of uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Digest {
    Sha256,
    Crc64nvme,
    None,
}

impl Digest {
    pub(super) fn checksum(self) -> Option<Checksum> {
        match self {
            Self::Sha256 => Some(Checksum::SHA256),
            Self::Crc64nvme => Some(Checksum::CRC64NVME),
            Self::None => None,
        }
    }
}

/// What removing means where the bucket keeps versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Versions {
    /// Each version is removed; purged means gone.
    Remove,
    /// A delete marker is enough: the bucket's own rules remove versions, and the operator answers for that.
    Keep,
}

impl Settings {
    /// Reads what the configuration says of the store.
    ///
    /// # Errors
    /// The store, the key, and what to write instead.
    pub(crate) fn read(config: &StoreConfig) -> Result<Self> {
        let complain = |what: String| Error::Invalid(format!("store \"{}\": {what}", config.name));
        let mut options = Vec::new();
        for (key, value) in &config.options {
            let value = if SECRETS.contains(&key.as_str()) || key == "sse_customer_key_base64" {
                value.clone()
            } else {
                look_up(value).map_err(|error| complain(format!("{key}: {error}")))?
            };
            // Deserialising would say only what is wrong with a value, not whose it is.
            Self::of(&[(key.clone(), value.clone())]).map_err(|what| match nearest_key(&what) {
                Some(unknown) => complain(unknown),
                None => complain(format!("{key}: {what}")),
            })?;
            options.push((key.clone(), value));
        }
        let settings = Self::of(&options).map_err(complain)?;
        settings.check(config).map_err(complain)?;
        Ok(settings)
    }

    fn of(options: &[(String, String)]) -> Result<Self, String> {
        let pairs = options.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        serde_json::from_value(serde_json::Value::Object(pairs.collect())).map_err(|error| error.to_string())
    }

    fn check(&self, config: &StoreConfig) -> Result<(), String> {
        let is_disk = !config.is_s3();
        if is_disk && let Some((key, _)) = config.options.iter().find(|(key, _)| !DISK_KEYS.contains(&key.as_str())) {
            return Err(format!("{key} is for S3 stores, and this one is a directory"));
        }
        if !is_disk && self.low_space.is_some() {
            return Err("low_space is for directories: an S3 server says itself when it is full".to_owned());
        }
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return Err("access_key_id and secret_access_key go together: give both, or neither to take them from \
                        the environment or the instance's role"
                .to_owned());
        }
        if self.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) && !self.allow_http {
            return Err(
                "the endpoint is plain HTTP: use https://, or allow_http = true where nobody listens".to_owned()
            );
        }
        match (self.server_side_encryption, &self.sse_kms_key_id, &self.sse_customer_key_base64) {
            (Some(Encryption::OwnKey), _, None) => Err("sse-c needs sse_customer_key_base64".to_owned()),
            (Some(Encryption::Kms | Encryption::KmsTwice), None, _) => Err("aws:kms needs sse_kms_key_id".to_owned()),
            (None, Some(_), _) | (None, _, Some(_)) => {
                Err("a key of server-side encryption needs server_side_encryption".to_owned())
            }
            _ => Ok(()),
        }?;
        let least = Duration::from_millis(100);
        for (key, value, least) in [
            ("connect_timeout", self.connect_timeout, least),
            ("stall_timeout", self.stall_timeout, least),
            ("unfinished_after", self.unfinished_after, Duration::from_secs(3600)),
        ] {
            if value < least {
                return Err(format!("{key} is {value:?}: make it {least:?} or more"));
            }
        }
        Ok(())
    }
}

/// The names of all keys, for documents to be complete.
pub fn store_keys() -> Vec<String> {
    let unknown = Settings::of(&[("no_such_key".to_owned(), String::new())]).expect_err("no key is named so");
    unknown.split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// What serde says of a field that it does not know, with the nearest one that it does; `None` for any other complaint.
pub fn nearest_key(message: &str) -> Option<String> {
    // serde words it as: unknown field `x`, expected one of `a`, `b`
    if !message.starts_with("unknown field") {
        return None;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let nearest = names.max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)));
    Some(match nearest {
        Some(nearest) => format!("unknown key \"{unknown}\": did you mean \"{nearest}\"?"),
        None => format!("unknown key \"{unknown}\""),
    })
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

fn some_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    units::bytes(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, options: &[(&str, &str)]) -> Result<Settings> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::read(&StoreConfig { name: "bucket".to_owned(), url: url.to_owned(), options })
    }

    #[test]
    fn people_write_sizes_shares_flags_and_durations() {
        let settings = read(
            "s3://x",
            &[("spool_budget", "2 GiB"), ("path_style", "false"), ("stall_timeout", "5 s"), ("max_retries", "1")],
        );
        let settings = settings.unwrap();
        assert_eq!((settings.spool_budget, settings.path_style, settings.max_retries), (Some(2 << 30), false, 1));
        assert_eq!(settings.stall_timeout, Duration::from_secs(5));
        assert_eq!(read("/srv", &[("low_space", "5 %")]).unwrap().low_space.unwrap().of(1000), 50);
        assert_eq!(read("/srv", &[("low_space", "1 MB")]).unwrap().low_space.unwrap().of(1000), 1_000_000);
    }

    #[test]
    fn what_cannot_work_names_the_store_the_key_and_the_way_out() {
        for (url, options, complaint) in [
            ("s3://x", vec![("regoin", "x")], "store \"bucket\": unknown key \"regoin\": did you mean \"region\"?"),
            ("s3://x", vec![("low_space", "5 %")], "low_space is for directories"),
            ("/srv", vec![("region", "x")], "region is for S3 stores"),
            ("/srv", vec![("low_space", "99 %")], "low_space: \"99 %\" is no share"),
            ("s3://x", vec![("path_style", "yes")], "path_style: "),
            ("s3://x", vec![("access_key_id", "x")], "go together"),
            ("s3://x", vec![("endpoint", "http://x")], "allow_http = true"),
            ("s3://x", vec![("server_side_encryption", "sse-c")], "needs sse_customer_key_base64"),
            ("s3://x", vec![("server_side_encryption", "rot13")], "server_side_encryption: unknown variant"),
            ("s3://x", vec![("sse_kms_key_id", "x")], "needs server_side_encryption"),
            ("s3://x", vec![("unfinished_after", "5 min")], "unfinished_after is 300s: make it 3600s or more"),
            ("s3://x", vec![("endpoint", "env:FONOTECA_NO_SUCH_VARIABLE")], "endpoint: environment variable"),
        ] {
            let error = read(url, &options).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
            assert!(error.starts_with("store \"bucket\": "), "{error}");
        }
    }

    #[test]
    fn every_key_is_known_by_name() {
        let keys = store_keys();
        assert!(keys.len() > 15 && keys.contains(&"checksum_algorithm".to_owned()), "{keys:?}");
    }
}
