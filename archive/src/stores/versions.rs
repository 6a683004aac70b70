//! Buckets that keep versions, and those with Object Lock: there a plain delete only hides an object. What is purged must
//! be gone, so each version is removed by name; what a lock keeps stays until it ends, and stays due until then.

use std::sync::atomic::Ordering;

use object_store::path::Path as Key;
use object_store::signer::Method;

use super::Store;
use super::settings::Versions;
use super::xml::{elements, text_of};
use crate::error::{Error, Result};

/// What a bucket does with what is overwritten or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Versioning {
    /// It goes.
    None,
    /// It is kept as a version.
    Kept {
        /// The bucket has Object Lock; in brackets what it locks by default.
        lock: Option<String>,
    },
}

impl Store {
    /// What an operator should know of the store before relying on it; nothing where all is plain.
    pub async fn find_note(&self) -> Option<String> {
        self.bucket.as_ref()?;
        let name = self.name();
        Some(match self.ask_versioning().await {
            Some(Versioning::None) => return None,
            None => format!(
                "store \"{name}\": cannot tell whether the bucket keeps versions: allow s3:GetBucketVersioning; if it \
                 does, what is purged is only hidden"
            ),
            Some(Versioning::Kept { lock: Some(lock) }) => format!(
                "store \"{name}\": the bucket has Object Lock ({lock}): what is purged stays in it until its lock ends, \
                 and is tried again until then"
            ),
            Some(Versioning::Kept { lock: None }) if self.settings.versions == Versions::Keep => format!(
                "store \"{name}\": the bucket keeps versions, and versions = \"keep\": what is purged stays in it until \
                 the bucket's own rules remove it"
            ),
            Some(Versioning::Kept { lock: None }) => format!(
                "store \"{name}\": the bucket keeps versions: each is removed when a recording is purged, for which \
                 s3:ListBucketVersions and s3:DeleteObjectVersion must be allowed"
            ),
        })
    }

    /// Asks the bucket; `None` when it does not tell.
    async fn ask_versioning(&self) -> Option<Versioning> {
        let bucket = self.bucket.as_ref()?;
        let root = Key::default();
        let answer = bucket.ask(Method::GET, &root, &[("versioning", "")]).await.ok()?;
        let found = match answer.status {
            200 if text_of(&answer.body, "Status").as_deref() == Some("Enabled") => {
                Versioning::Kept { lock: self.ask_lock().await }
            }
            // Suspended: what is put from now on has one version, which goes.
            200 => Versioning::None,
            // A server that has no versions has no answer.
            400 | 404 | 405 | 501 => Versioning::None,
            _ => return None,
        };
        *self.versioning.lock().expect("nobody panics while holding it") = Some(found.clone());
        Some(found)
    }

    async fn ask_lock(&self) -> Option<String> {
        let bucket = self.bucket.as_ref()?;
        let answer = bucket.ask(Method::GET, &Key::default(), &[("object-lock", "")]).await.ok()?;
        if !answer.is_success() || text_of(&answer.body, "ObjectLockEnabled").as_deref() != Some("Enabled") {
            return None;
        }
        let mode = text_of(&answer.body, "Mode").unwrap_or_default().to_ascii_lowercase();
        let days = text_of(&answer.body, "Days").map(|days| format!("{days} days"));
        let length = days.or_else(|| text_of(&answer.body, "Years").map(|years| format!("{years} years")));
        Some(length.map_or("no default retention".to_owned(), |length| format!("{mode}, {length}")))
    }

    /// A put that answers with a version hints at what the bucket may not be asked; where it can be asked, that counts:
    /// some servers have a version of everything, and keep none.
    pub(super) fn note_version(&self, version: Option<&str>) {
        if version.is_some_and(|version| version != "null") {
            self.answers_versions.store(true, Ordering::Relaxed);
        }
    }

    /// Must versions be removed one by one?
    pub(super) async fn removes_versions(&self) -> bool {
        if self.bucket.is_none() || self.settings.versions == Versions::Keep {
            return false;
        }
        let known = self.versioning.lock().expect("nobody panics while holding it").clone();
        let versioning = match known {
            Some(known) => Some(known),
            None => self.ask_versioning().await,
        };
        match versioning {
            Some(versioning) => versioning != Versioning::None,
            None => self.answers_versions.load(Ordering::Relaxed),
        }
    }

    /// Removes every version of the object, delete markers too.
    pub(super) async fn remove_versions(&self, key: &Key) -> Result<()> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let full = bucket.full(key);
        let listed = bucket.ask(Method::GET, &Key::default(), &[("prefix", full.as_ref()), ("versions", "")]).await?;
        if !listed.is_success() {
            return Err(refusal("list the versions of an object", listed.status, &listed.body));
        }
        for element in ["Version", "DeleteMarker"] {
            for entry in elements(&listed.body, element) {
                let (Some(found), Some(version)) = (text_of(entry, "Key"), text_of(entry, "VersionId")) else {
                    continue;
                };
                if found != full.as_ref() {
                    continue;
                }
                let answer = bucket.ask(Method::DELETE, &full, &[("versionId", &version)]).await?;
                if !answer.is_success() && answer.status != 404 {
                    return Err(refusal("remove a version (is it locked?)", answer.status, &answer.body));
                }
            }
        }
        Ok(())
    }
}

/// An answer that is none, worded as object_store words them: so that it is understood by the same means.
fn refusal(what: &str, status: u16, body: &str) -> Error {
    let code = text_of(body, "Code").unwrap_or_default();
    let source = format!("{what}: status code: {status} : <Code>{code}</Code>").into();
    Error::Store(object_store::Error::Generic { store: "S3", source })
}
