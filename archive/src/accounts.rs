//! Who may log in: users with passwords and bearer tokens (HTTP), and the FTP accounts of PBXs.
//!
//! A disabled user, account, PBX, tenant or reseller is out at once: every request asks the catalogue again.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Row, params};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{FtpAccountId, PbxId, TenantId, TokenId, UserId};
use crate::scope::{Actor, Principal, Scope};

/// Marks a text as one of our tokens, so that people and secret scanners recognise it.
const TOKEN_PREFIX: &str = "fon_";

/// A user: a person, or a person's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// What it logs in as.
    pub login: String,
    /// How far it may reach.
    pub scope: Scope,
}

/// A bearer token just made: the only time that its secret is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// What to send as `Authorization: Bearer …`.
    pub secret: String,
    /// Until when it is good; `None`: until it is revoked.
    pub expires_at: Option<Instant>,
}

/// An FTP account, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpAccount {
    /// Its id.
    pub id: FtpAccountId,
    /// What it logs in as.
    pub login: String,
    /// Whose recordings it sees.
    pub pbx: PbxId,
    /// It may not log in.
    pub disabled: bool,
}

/// An FTP account that has logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FtpLogin {
    /// The account.
    pub account: FtpAccountId,
    /// What it logged in as.
    pub login: String,
    /// Its PBX: all that it ever sees.
    pub pbx: PbxId,
    /// The tenant of the PBX.
    pub tenant: TenantId,
    /// The zone that its folders are in.
    pub time_zone: String,
}

impl FtpLogin {
    /// What the account's session may see.
    pub fn scope(&self) -> Scope {
        Scope::Pbx(self.pbx)
    }
}

/// A user whose own scope is not disabled, at whatever level.
const LIVE_USERS: &str = "
    SELECT users.id AS id, users.login AS login, users.password_hash AS password_hash,
           users.scope_kind AS scope_kind, users.scope_id AS scope_id
    FROM users
    LEFT JOIN pbxs ON users.scope_kind = 'pbx' AND pbxs.id = users.scope_id
    LEFT JOIN tenants ON tenants.id = CASE users.scope_kind WHEN 'pbx' THEN pbxs.tenant_id
                                                            WHEN 'tenant' THEN users.scope_id END
    LEFT JOIN resellers ON resellers.id = CASE WHEN users.scope_kind = 'reseller' THEN users.scope_id
                                               ELSE tenants.reseller_id END
    WHERE users.disabled_at IS NULL AND pbxs.disabled_at IS NULL AND tenants.disabled_at IS NULL
        AND resellers.disabled_at IS NULL";

const LIVE_FTP_ACCOUNTS: &str = "
    SELECT ftp_accounts.id AS id, ftp_accounts.login AS login, ftp_accounts.password_hash AS password_hash,
           ftp_accounts.pbx_id AS pbx_id, pbxs.tenant_id AS tenant_id, tenants.time_zone AS time_zone
    FROM ftp_accounts
    JOIN pbxs ON pbxs.id = ftp_accounts.pbx_id
    JOIN tenants ON tenants.id = pbxs.tenant_id
    JOIN resellers ON resellers.id = tenants.reseller_id
    WHERE ftp_accounts.disabled_at IS NULL AND pbxs.disabled_at IS NULL AND tenants.disabled_at IS NULL
        AND resellers.disabled_at IS NULL";

impl User {
    fn from_row(row: &Row) -> Result<Self> {
        let (kind, id): (String, Option<Vec<u8>>) = (row.get("scope_kind")?, row.get("scope_id")?);
        Ok(Self { id: row.get("id")?, login: row.get("login")?, scope: Scope::from_parts(&kind, id.as_deref())? })
    }

    /// This user, acting from an address as part of a request.
    pub fn actor(&self, address: Option<IpAddr>, request_id: Option<String>) -> Actor {
        Actor { principal: Principal::User(self.id), scope: self.scope, address, request_id }
    }
}

impl Archive {
    /// The user that the bearer token belongs to.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is unknown, expired, revoked, or its user or the user's organisation is disabled.
    pub async fn authenticate_token(&self, secret: &str) -> Result<User> {
        let sql = format!(
            "{LIVE_USERS} AND users.id = (
                 SELECT tokens.user_id
                 FROM tokens
                 WHERE tokens.secret_hash = $1 AND tokens.revoked_at IS NULL
                     AND (tokens.expires_at IS NULL OR tokens.expires_at > $2))"
        );
        // A token has 128 random bits or more, so its hash needs neither salt nor slowness.
        let hash = Sha256::of(secret.as_bytes());
        let row = self.db.fetch_optional(sql, params![hash, self.clock.now()]).await?;
        User::from_row(&row.ok_or(Error::NotFound("token"))?)
    }

    /// The user with this login and password. Wrong password, unknown login and banned address look the same, and the
    /// first two take the same work.
    ///
    /// # Errors
    /// [`Error::NotFound`] when they do not fit.
    pub async fn log_in(&self, login: &str, password: &str, address: IpAddr) -> Result<User> {
        let row = self.db.fetch_optional(format!("{LIVE_USERS} AND users.login = $1"), params![login]).await?;
        let hash = row.as_ref().map(|row| row.get("password_hash")).transpose()?;
        self.check_password(login, password, hash, address).await?;
        User::from_row(&row.ok_or(Error::NotFound("login"))?)
    }

    /// The FTP account with this login and password, as [`Archive::log_in`].
    ///
    /// # Errors
    /// [`Error::NotFound`] when they do not fit.
    pub async fn log_in_ftp(&self, login: &str, password: &str, address: IpAddr) -> Result<FtpLogin> {
        let row =
            self.db.fetch_optional(format!("{LIVE_FTP_ACCOUNTS} AND ftp_accounts.login = $1"), params![login]).await?;
        let hash = row.as_ref().map(|row| row.get("password_hash")).transpose()?;
        self.check_password(login, password, hash, address).await?;
        let login = ftp_login(&row.ok_or(Error::NotFound("login"))?)?;
        let actor = Actor {
            principal: Principal::FtpAccount(login.login.clone()),
            scope: login.scope(),
            address: Some(address),
            request_id: None,
        };
        self.note_read(&actor, "ftp.login", Some(login.tenant), None, &json!({}));
        Ok(login)
    }

    async fn check_password(&self, login: &str, password: &str, hash: Option<String>, address: IpAddr) -> Result<()> {
        if !self.may_log_in(address, login).await? {
            return Err(Error::NotFound("login"));
        }
        if self.passwords.verify(password, hash).await? {
            return self.clear_failed_logins(address, login).await;
        }
        self.count_failed_login(address, login).await?;
        let stranger = Actor { address: Some(address), ..Actor::system("login") };
        self.note_read(&stranger, "login.failed", None, None, &json!({}));
        Err(Error::NotFound("login"))
    }

    /// May the account that logged in earlier go on? Asked during a session, so that disabling takes effect at once.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it may not.
    pub async fn check_ftp_account(&self, account: FtpAccountId) -> Result<()> {
        let sql = format!("{LIVE_FTP_ACCOUNTS} AND ftp_accounts.id = $1");
        self.db.fetch_optional(sql, params![account]).await?.map(|_| ()).ok_or(Error::NotFound("FTP account"))
    }

    /// Every FTP account that the scope reaches, by login.
    pub async fn list_ftp_accounts(&self, scope: Scope) -> Result<Vec<FtpAccount>> {
        let mut params = params![];
        let condition = scope.condition(&mut params);
        let sql = format!(
            "SELECT id, login, pbx_id, disabled_at
             FROM (SELECT f.id, f.login, f.pbx_id, p.tenant_id, f.disabled_at
                   FROM ftp_accounts f
                   JOIN pbxs p ON p.id = f.pbx_id) accounts
             WHERE {condition}
             ORDER BY login"
        );
        let rows = self.db.fetch_all(sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(FtpAccount {
                    id: row.get("id")?,
                    login: row.get("login")?,
                    pbx: row.get("pbx_id")?,
                    disabled: row.get::<Option<i64>>("disabled_at")?.is_some(),
                })
            })
            .collect()
    }

    /// Makes a bearer token for the user, good for `lifetime` or until it is revoked.
    pub async fn new_token(
        &self,
        actor: &Actor,
        user: UserId,
        name: &str,
        lifetime: Option<Duration>,
    ) -> Result<NewToken> {
        let now = self.clock.now();
        let token = NewToken {
            id: TokenId::new(now),
            secret: format!("{TOKEN_PREFIX}{}", random_text(40)),
            expires_at: lifetime.map(|lifetime| now.plus(lifetime)),
        };
        let mut tx = self.db.begin().await?;
        tx.execute(
            "INSERT INTO tokens (id, user_id, name, secret_hash, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![token.id, user, name, Sha256::of(token.secret.as_bytes()), now, token.expires_at],
        )
        .await?;
        let detail = json!({ "user": user.to_string() });
        self.audit(&mut tx, actor, "token.new", None, Some(token.id.to_string()), &detail).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Revokes one of the user's tokens.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the user has no such token in force.
    pub async fn revoke_token(&self, actor: &Actor, user: UserId, token: TokenId) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let revoked = tx
            .execute(
                "UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND user_id = $3 AND revoked_at IS NULL",
                params![self.clock.now(), token, user],
            )
            .await?;
        if revoked == 0 {
            return Err(Error::NotFound("token"));
        }
        self.audit(&mut tx, actor, "token.revoke", None, Some(token.to_string()), &json!({})).await?;
        tx.commit().await
    }
}

fn ftp_login(row: &Row) -> Result<FtpLogin> {
    Ok(FtpLogin {
        account: row.get("id")?,
        login: row.get("login")?,
        pbx: row.get("pbx_id")?,
        tenant: row.get("tenant_id")?,
        time_zone: row.get("time_zone")?,
    })
}

/// Random letters and digits for a secret: some 5.95 bits each, and nothing that a URL, a shell or an old FTP client would mangle.
pub fn random_text(length: usize) -> String {
    use rand::RngExt;
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(rng.sample(rand::distr::Alphanumeric))).collect()
}
