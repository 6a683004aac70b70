//! The login throttle, shared by every door and every instance: failures are counted by address, and by address and
//! login together, in the catalogue.
//!
//! A login alone is never banned: otherwise anybody could lock anybody out. The ban is looked at before a password is
//! hashed, so a banned address costs nothing.

use std::net::IpAddr;
use std::time::Duration;

use crate::Archive;
use crate::db::params;
use crate::error::Result;

/// Failures count together when they fall within this time.
const WINDOW: Duration = Duration::from_secs(30 * 60);
/// How long a ban lasts.
const BAN: Duration = Duration::from_secs(30 * 60);
/// Failures of one address on one login before it is banned from it.
const FAILURES_PER_LOGIN: i64 = 10;
/// Failures of one address on whatever logins before it is banned.
const FAILURES_PER_ADDRESS: i64 = 50;

impl Archive {
    /// May this address try to log in as this one now?
    pub(crate) async fn may_log_in(&self, address: IpAddr, login: &str) -> Result<bool> {
        let row = self
            .db
            .fetch_one(
                "SELECT count(*) AS bans FROM login_attempts WHERE subject IN ($1, $2) AND banned_until > $3",
                params![by_address(address), by_login(address, login), self.clock.now()],
            )
            .await?;
        Ok(row.get::<i64>("bans")? == 0)
    }

    /// Counts a failure, and bans where there were too many.
    pub(crate) async fn count_failed_login(&self, address: IpAddr, login: &str) -> Result<()> {
        let now = self.clock.now();
        let subjects = [(by_address(address), FAILURES_PER_ADDRESS), (by_login(address, login), FAILURES_PER_LOGIN)];
        for (subject, most) in subjects {
            self.db
                .execute(
                    "INSERT INTO login_attempts (subject, failures, first_at, banned_until)
                     VALUES ($1, 1, $2, 0)
                     ON CONFLICT (subject) DO UPDATE SET
                         failures = CASE WHEN login_attempts.first_at < $3 THEN 1
                                         ELSE login_attempts.failures + 1 END,
                         first_at = CASE WHEN login_attempts.first_at < $3 THEN $2
                                         ELSE login_attempts.first_at END,
                         banned_until = CASE WHEN login_attempts.first_at >= $3
                                                  AND login_attempts.failures + 1 >= $4 THEN $5
                                             ELSE login_attempts.banned_until END",
                    params![subject, now, now.minus(WINDOW), most, now.plus(BAN)],
                )
                .await?;
        }
        Ok(())
    }

    /// A success clears what its address failed on its login; the address's own count stays.
    pub(crate) async fn clear_failed_logins(&self, address: IpAddr, login: &str) -> Result<()> {
        self.db.execute("DELETE FROM login_attempts WHERE subject = $1", params![by_login(address, login)]).await?;
        Ok(())
    }

    /// Forgets what is too old to count.
    pub async fn forget_failed_logins(&self) -> Result<u64> {
        let now = self.clock.now();
        self.db
            .execute(
                "DELETE FROM login_attempts WHERE first_at < $1 AND banned_until < $2",
                params![now.minus(WINDOW), now],
            )
            .await
    }
}

fn by_address(address: IpAddr) -> String {
    format!("address {}", address.to_canonical())
}

/// Logins come from strangers: no more of one is kept than tells it apart.
fn by_login(address: IpAddr, login: &str) -> String {
    let login: String = login.chars().take(100).filter(|c| *c != '\0').collect();
    format!("address {} login {login}", address.to_canonical())
}
