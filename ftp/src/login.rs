//! Who logs in: libunftp's authenticator over the archive's FTP accounts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use archive::FtpLogin;
use async_trait::async_trait;
use unftp_core::auth::{
    AuthenticationError, Authenticator, Credentials, Principal, UserDetail, UserDetailError, UserDetailProvider,
};

use crate::session::Session;

/// How long a refusal takes (RFC 2577, section 5): nothing to a person, much to a program that guesses.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// Answers who may log in to one session.
#[derive(Debug)]
pub(crate) struct Login(pub(crate) Arc<Session>);

/// The account of a session. It prints as its id: libunftp prints it in places that are recorded.
#[derive(Clone)]
pub(crate) struct Account(pub(crate) FtpLogin);

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.account, f)
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.account, f)
    }
}

impl UserDetail for Account {}

#[async_trait]
impl Authenticator for Login {
    /// Unknown login, wrong password and banned address are all `BadPassword`, after the same work and delay.
    async fn authenticate(&self, login: &str, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let session = &self.0;
        if !session.may_try_login() {
            return Err(AuthenticationError::BadPassword);
        }
        let password = credentials.password.as_deref().unwrap_or_default();
        let refusal = match session.archive.log_in_ftp(login, password, session.address).await {
            Ok(login) => match session.set_login(login) {
                true => return Ok(Principal { username: String::new() }),
                false => AuthenticationError::BadPassword,
            },
            Err(archive::Error::NotFound(_)) => AuthenticationError::BadPassword,
            Err(error) => {
                tracing::error!(parent: None, "failed to check an FTP login: {error:#}");
                // Rather cut off than told that the password is wrong.
                session.end();
                AuthenticationError::new("the catalogue does not answer")
            }
        };
        tokio::time::sleep(REFUSAL_DELAY).await;
        Err(refusal)
    }

    fn name(&self) -> &str {
        "Fonoteca"
    }
}

#[async_trait]
impl UserDetailProvider for Login {
    type User = Account;

    async fn provide_user_detail(&self, _principal: &Principal) -> Result<Account, UserDetailError> {
        let login = self.0.login().ok_or_else(|| UserDetailError::new("nobody has logged in"))?;
        Ok(Account(login.clone()))
    }
}
