//! Values that stand elsewhere, and secrets, which are read where they stand each time they are wanted: what rotates
//! credentials writes a file, and nobody restarts us for it.

use std::fmt;
use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde::Deserialize;

use crate::error::{Error, Result};

/// A value, or where it stands: `env:NAME` or `file:PATH`, so that a configuration file needs no secret.
///
/// # Errors
/// What is not there.
pub fn look_up(value: &str) -> Result<String> {
    if let Some(name) = value.strip_prefix("env:") {
        return std::env::var(name).map_err(|_| Error::Invalid(format!("environment variable {name} is not set")));
    }
    if let Some(path) = value.strip_prefix("file:").filter(|path| !path.starts_with("//")) {
        let text = std::fs::read_to_string(path);
        return text
            .map(|text| text.trim().to_owned())
            .map_err(|error| Error::Invalid(format!("cannot read {path}: {error}")));
    }
    Ok(value.to_owned())
}

/// A secret, or where it stands. Never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(String);

impl Secret {
    /// What it is now.
    pub(super) fn read(&self) -> Result<String> {
        look_up(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Credentials that are looked up at each request. The file is small and its page is in memory: what that costs does not
/// show beside a request over the network.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) access_key_id: Secret,
    pub(super) secret_access_key: Secret,
    pub(super) session_token: Option<Secret>,
}

impl Credentials {
    pub(super) fn read(&self) -> Result<AwsCredential> {
        Ok(AwsCredential {
            key_id: self.access_key_id.read()?,
            secret_key: self.secret_access_key.read()?,
            token: self.session_token.as_ref().map(Secret::read).transpose()?,
        })
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let read = self.read();
        read.map(Arc::new).map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: format!("credentials: {error}").into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_where_it_stands_each_time_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "one\n").unwrap();
        let secret = Secret(format!("file:{}", file.display()));
        assert_eq!(secret.read().unwrap(), "one");
        std::fs::write(&file, "two\n").unwrap();
        assert_eq!(secret.read().unwrap(), "two");
        assert_eq!(format!("{:?}", Secret("hush".to_owned())), "Secret");
        std::fs::remove_file(&file).unwrap();
        assert!(secret.read().unwrap_err().to_string().contains("cannot read"));
    }
}
