//! Passwords: argon2id at OWASP's floor (19 MiB, two passes), a bounded number at a time, and as much work for a login
//! that does not exist as for one that does.

use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{OnceCell, Semaphore};

use crate::error::{Error, Result};

/// Hashes at a time: each takes 19 MiB and a core, and a flood of logins must not take more than this.
const HASHES_AT_A_TIME: usize = 2;

/// Bounded hashing of passwords.
#[derive(Clone, Debug)]
pub(crate) struct Passwords {
    permits: Arc<Semaphore>,
    /// A hash that no password has, for logins that do not exist.
    decoy: Arc<OnceCell<String>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(HASHES_AT_A_TIME)), decoy: Arc::default() }
    }
}

impl Passwords {
    /// The hash of a password, in PHC format, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        self.blocking(move || {
            Argon2::default()
                .hash_password(password.as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|error| Error::Invalid(format!("password cannot be hashed: {error}")))
        })
        .await?
    }

    /// Is it the password that `hash` was made of? `None` stands for a login that does not exist: the same work, and no.
    pub(crate) async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool> {
        let exists = hash.is_some();
        let hash = match hash {
            Some(hash) => hash,
            None => self.decoy().await?,
        };
        let password = password.to_owned();
        let fits = self
            .blocking(move || {
                PasswordHash::new(&hash)
                    .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await?;
        Ok(fits && exists)
    }

    async fn decoy(&self) -> Result<String> {
        let make = || async { self.hash(&rand::random::<u128>().to_string()).await };
        self.decoy.get_or_try_init(make).await.cloned()
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::Io { context: "hash a password", source: std::io::Error::other(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_fits_and_a_missing_login_never_does() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse").await.expect("hash");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse", Some(hash.clone())).await.expect("verify"));
        assert!(!passwords.verify("wrong", Some(hash)).await.expect("verify"));
        assert!(!passwords.verify("correct horse", None).await.expect("verify"));
        assert!(!passwords.verify("x", Some("not a hash".to_owned())).await.expect("verify"));
    }
}
