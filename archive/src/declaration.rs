//! What an operator declares in a file: resellers, tiers, tenants, PBXs, core servers, users, FTP accounts.
//!
//! [`Archive::apply`] makes the catalogue say so, in one transaction: all of it or nothing, the same again changes
//! nothing, and what a declaration leaves out stays as it is. Nothing is ever deleted: `disabled = true` is the way out.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::Deserialize;

use crate::Archive;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::id::PbxId;
use crate::levels::{Rules, pbxs_with_recordings, rules_in};
use crate::organisation::AfterArchive;
use crate::scope::Actor;
use crate::tier::TierMove;

mod apply;
mod check;
mod levels;

pub(crate) use levels::KNOWS_FORMER_TERMS;

/// Everything that one file declares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Declaration {
    /// Resellers, by code.
    pub resellers: Vec<DeclaredReseller>,
    /// Tiers, by code.
    pub tiers: Vec<DeclaredTier>,
    /// Tenants, by code.
    pub tenants: Vec<DeclaredTenant>,
    /// PBXs, by code.
    pub pbxs: Vec<DeclaredPbx>,
    /// Core servers, by name.
    pub core_servers: Vec<DeclaredCoreServer>,
    /// Users, by login.
    pub users: Vec<DeclaredUser>,
    /// FTP accounts, by login.
    pub ftp_accounts: Vec<DeclaredFtpAccount>,
}

/// A reseller to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredReseller {
    /// Its short name.
    pub code: String,
    /// Its full name.
    pub name: String,
    /// No PBX of it keeps anything longer, but for what former terms let it.
    #[serde(default)]
    pub days: Option<u32>,
    /// Stored bytes of all its tenants together, beyond which recordings of those rotate out that have more than their
    /// share: `"10 TB"`.
    #[serde(default, deserialize_with = "crate::units::optional_bytes")]
    pub quota: Option<u64>,
    /// Minutes of audio of all its tenants together.
    #[serde(default)]
    pub minutes: Option<u64>,
    /// Recordings of all its tenants together.
    #[serde(default)]
    pub recordings: Option<u64>,
    /// It may sell more bytes, minutes and recordings than it has.
    #[serde(default)]
    pub overbook: bool,
    /// Nobody of it may log in.
    #[serde(default)]
    pub disabled: bool,
}

/// A tier to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTier {
    /// Its short name.
    pub code: String,
    /// Its full name.
    pub name: String,
    /// The code of the reseller whose own it is; none: the operator's.
    #[serde(default)]
    pub reseller: Option<String>,
    /// Days after which recordings rotate out.
    #[serde(default)]
    pub days: Option<u32>,
    /// Stored bytes of a PBX beyond which its oldest recordings rotate out: `"10 GB"`.
    #[serde(default, deserialize_with = "crate::units::optional_bytes")]
    pub quota: Option<u64>,
    /// Minutes of audio of a PBX, likewise.
    #[serde(default)]
    pub minutes: Option<u64>,
    /// Recordings of a PBX, likewise.
    #[serde(default)]
    pub recordings: Option<u64>,
    /// `mp3`, `opus`, `flac`, `wav`, or `original`.
    pub format: String,
    /// Bits a second, for mp3 and opus.
    #[serde(default = "default_bitrate")]
    pub bitrate: u32,
    /// The stores that new recordings go to, the preferred one first; none: the first one configured.
    #[serde(default)]
    pub stores: Vec<String>,
    /// How many of them a recording must be in to be archived: the first so many that take it. The others follow. None:
    /// all of them.
    #[serde(default)]
    pub copies: Option<u32>,
    /// Where recordings go with age: `[{ after_days = 30, to = ["bucket"] }]`.
    #[serde(default)]
    pub moves: Vec<TierMove>,
    /// No longer sold.
    #[serde(default)]
    pub disabled: bool,
}

/// A tenant to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTenant {
    /// Its short name.
    pub code: String,
    /// Its full name.
    pub name: String,
    /// The code of its reseller.
    pub reseller: String,
    /// The code of its tier.
    pub tier: String,
    /// The IANA zone of its folders and days.
    #[serde(default = "default_zone")]
    pub time_zone: String,
    /// No PBX of it keeps anything longer, but for what former terms let it.
    #[serde(default)]
    pub days: Option<u32>,
    /// Stored bytes of all its PBXs together, beyond which recordings of those rotate out that have more than their share.
    #[serde(default, deserialize_with = "crate::units::optional_bytes")]
    pub quota: Option<u64>,
    /// Minutes of audio of all its PBXs together.
    #[serde(default)]
    pub minutes: Option<u64>,
    /// Recordings of all its PBXs together.
    #[serde(default)]
    pub recordings: Option<u64>,
    /// Nobody of it may log in.
    #[serde(default)]
    pub disabled: bool,
}

/// A PBX to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredPbx {
    /// Its short name, which is also what core servers' paths mean by default.
    pub code: String,
    /// Its full name.
    pub name: String,
    /// The code of its tenant.
    pub tenant: String,
    /// The code of its own tier; none: its tenant's.
    #[serde(default)]
    pub tier: Option<String>,
    /// Its own days, in place of its tier's.
    #[serde(default)]
    pub days: Option<u32>,
    /// Its own quota, in place of its tier's.
    #[serde(default, deserialize_with = "crate::units::optional_bytes")]
    pub quota: Option<u64>,
    /// Its own minutes of audio, in place of its tier's.
    #[serde(default)]
    pub minutes: Option<u64>,
    /// Its own number of recordings, in place of its tier's.
    #[serde(default)]
    pub recordings: Option<u64>,
    /// Nobody of it may log in.
    #[serde(default)]
    pub disabled: bool,
}

/// A core server to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredCoreServer {
    /// Its name.
    pub name: String,
    /// Its directory of recordings, as this machine sees it.
    pub spool: PathBuf,
    /// `asterisk`, `freepbx`, `fusionpbx` or `custom`.
    pub layout: String,
    /// For a custom layout: a pattern with named groups.
    #[serde(default)]
    pub pattern: Option<String>,
    /// The IANA zone of the times in its paths.
    #[serde(default = "default_zone")]
    pub time_zone: String,
    /// What becomes of its sources: `{ then = "keep" }`, `{ then = "delete", after_s = 86400 }`, `{ then = "move", … }`.
    #[serde(default = "keep")]
    pub after: AfterArchive,
    /// What its paths call a PBX, and the code of the PBX that means.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Nothing is collected from it.
    #[serde(default)]
    pub disabled: bool,
}

/// A user to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredUser {
    /// What it logs in as.
    pub login: String,
    /// `operator`, `reseller`, `tenant` or `pbx`.
    pub role: String,
    /// The code of the reseller, tenant or PBX it is of; none for an operator.
    #[serde(default)]
    pub of: Option<String>,
    /// Its password.
    #[serde(default)]
    pub password: Option<String>,
    /// Its password's argon2id hash, so that the file holds no password.
    #[serde(default)]
    pub password_hash: Option<String>,
    /// A bearer token of at least 32 characters.
    #[serde(default)]
    pub token: Option<String>,
    /// It may not log in.
    #[serde(default)]
    pub disabled: bool,
}

/// An FTP account to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredFtpAccount {
    /// What it logs in as.
    pub login: String,
    /// The code of the PBX whose recordings it sees.
    pub pbx: String,
    /// Its password.
    #[serde(default)]
    pub password: Option<String>,
    /// Its password's argon2id hash, so that the file holds no password.
    #[serde(default)]
    pub password_hash: Option<String>,
    /// It may not log in.
    #[serde(default)]
    pub disabled: bool,
}

/// One thing that [`Archive::apply`] did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `created` or `changed`.
    pub what: &'static str,
    /// `tenant`, `PBX` …
    pub kind: &'static str,
    /// Its code, name or login.
    pub name: String,
}

fn default_bitrate() -> u32 {
    32_000
}

fn default_zone() -> String {
    "UTC".to_owned()
}

fn keep() -> AfterArchive {
    AfterArchive::Keep
}

/// Which recordings a change of days reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those that are archived from now on; the others are kept as long as they were to be.
    New,
    /// All of them.
    Existing,
}

/// What [`Archive::apply`] would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// What it would change.
    pub changes: Vec<Change>,
    /// Which days and quotas of those who keep something would be others, a line each: whether that is for new recordings
    /// only or for existing ones too must be chosen.
    pub changed_terms: Vec<String>,
    /// What rotation would go by.
    pub rules: Rules,
}

impl Archive {
    /// Makes the catalogue say what is declared, for existing recordings too; answers what that changed.
    ///
    /// # Errors
    /// [`Error::Invalid`], naming the entry and what is wrong with it; nothing is changed then.
    pub async fn apply(&self, actor: &Actor, declaration: &Declaration) -> Result<Vec<Change>> {
        self.apply_for(actor, declaration, None).await
    }

    /// As [`Archive::apply`], for those recordings. [`Reach::Existing`] also ends what former terms the declared PBXs
    /// still have, though their days do not change; `None` leaves these.
    ///
    /// # Errors
    /// As [`Archive::apply`]; and where a quota is exceeded already that is to be for new recordings only.
    pub async fn apply_for(
        &self,
        actor: &Actor,
        declaration: &Declaration,
        reach: Option<Reach>,
    ) -> Result<Vec<Change>> {
        let (tx, preview) = self.prepare_apply(actor, declaration, reach).await?;
        tx.commit().await?;
        Ok(preview.changes)
    }

    /// What [`Archive::apply_for`] would change, without changing it.
    ///
    /// # Errors
    /// As [`Archive::apply_for`].
    pub async fn preview_apply(
        &self,
        actor: &Actor,
        declaration: &Declaration,
        reach: Option<Reach>,
    ) -> Result<Preview> {
        // The transaction is dropped, and with it undone.
        self.prepare_apply(actor, declaration, reach).await.map(|(_, preview)| preview)
    }

    /// Changes the catalogue in a transaction that is still open.
    async fn prepare_apply(
        &self,
        actor: &Actor,
        declaration: &Declaration,
        reach: Option<Reach>,
    ) -> Result<(Tx, Preview)> {
        if actor.scope != crate::Scope::Platform {
            return Err(Error::Forbidden("only an operator applies a declaration"));
        }
        check::check(declaration, self.stores())?;
        let secrets = self.hash_secrets(declaration).await?;
        let mut tx = self.db.begin().await?;
        let before = rules_in(&mut tx).await?;
        let mut changes = self.put_all(&mut tx, declaration, &secrets).await?;
        let applied = rules_in(&mut tx).await?;
        levels::check_levels(&applied)?;
        let declared = declaration.pbxs.iter().map(|it| it.code.as_str()).collect();
        self.settle_terms(&mut tx, &before, &applied, reach, &declared, &mut changes).await?;
        let rules = rules_in(&mut tx).await?;
        let changed_terms = levels::describe_changes(&before, &rules, &pbxs_with_recordings(&mut tx).await?);
        if !changes.is_empty() {
            let reach = reach.unwrap_or(Reach::Existing).as_str();
            let terms = levels::describe_changes(&before, &rules, &all_pbxs(&rules));
            let detail = serde_json::json!({ "changes": changes.len(), "terms": terms, "for": reach });
            self.audit(&mut tx, actor, "apply", None, None, &detail).await?;
        }
        Ok((tx, Preview { changes, changed_terms, rules }))
    }
}

fn all_pbxs(rules: &Rules) -> HashSet<PbxId> {
    rules.pbxs.iter().map(|it| it.place.pbx).collect()
}

impl Reach {
    /// `new` or `existing`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}
