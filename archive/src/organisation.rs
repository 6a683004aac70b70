//! Who the recordings belong to: resellers, tenants, PBXs, the tiers they bought, and the core servers that record.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Row, params};
use crate::error::{Error, Result};
use crate::id::{CoreServerId, PbxId, PolicyId, ResellerId, TenantId, TierId};
use crate::levels::Quota;
use crate::scope::Scope;
use crate::tier::{TIER_COLUMNS, Tier, optional_u32};

/// A reseller: a brand that sells tiers to its tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reseller {
    /// Its id.
    pub id: ResellerId,
    /// Its short name, unique on the platform.
    pub code: String,
    /// Its full name.
    pub name: String,
    /// Disabled: nobody of it may log in. Its recordings stay.
    pub disabled: bool,
}

/// A tenant: a company with one PBX or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// The reseller that sells to it.
    pub reseller: ResellerId,
    /// Its short name, unique on the platform.
    pub code: String,
    /// Its full name.
    pub name: String,
    /// The IANA zone that its folders, names and days are in.
    pub time_zone: String,
    /// The tier of its PBXs, but for those that have their own.
    pub tier: TierId,
    /// Disabled: nobody of it may log in. Its recordings stay, and go on arriving.
    pub disabled: bool,
}

/// A virtual PBX.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pbx {
    /// Its id.
    pub id: PbxId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its short name, unique on the platform.
    pub code: String,
    /// Its full name.
    pub name: String,
    /// Its own tier; `None`: its tenant's.
    pub tier: Option<TierId>,
    /// Disabled: nobody of it may log in. Its recordings stay, and go on arriving.
    pub disabled: bool,
}

/// A PBX's place in the organisation, as delivering and rotating a recording need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PbxPlace {
    /// The PBX.
    pub pbx: PbxId,
    /// Its code.
    pub code: String,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its tenant's reseller.
    pub reseller: ResellerId,
    /// The tenant's zone.
    pub time_zone: String,
    /// The tier in force.
    pub tier: Tier,
    /// The PBX's own rotation policy, when it has one.
    pub policy: Option<PolicyId>,
    /// Days in force: the policy's, else the tier's; and no more than the tenant's and the reseller's.
    pub days: Option<u32>,
    /// Its own quota in force: each measure the policy's, else the tier's.
    pub quota: Quota,
}

/// What becomes of a source after its recording was archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "then", rename_all = "lowercase", deny_unknown_fields)]
pub enum AfterArchive {
    /// It stays.
    Keep,
    /// It is removed, not before so many seconds have passed.
    Delete {
        /// Seconds to keep it after its recording was archived; a day unless said otherwise.
        #[serde(default = "a_day")]
        after_s: u64,
    },
    /// It is moved into another directory of the core server, not before so many seconds have passed.
    Move {
        /// Seconds to keep it in place after its recording was archived; a day unless said otherwise.
        #[serde(default = "a_day")]
        after_s: u64,
        /// Where to: a directory on the spool's own file system, outside the spool.
        to: PathBuf,
    },
}

fn a_day() -> u64 {
    86_400
}

impl AfterArchive {
    /// How long the source stays where it is; `None`: for ever.
    pub fn keep_source(&self) -> Option<Duration> {
        match self {
            Self::Keep => None,
            Self::Delete { after_s } | Self::Move { after_s, .. } => Some(Duration::from_secs(*after_s)),
        }
    }
}

/// A core server: a machine that records calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreServer {
    /// Its id.
    pub id: CoreServerId,
    /// Its name, unique on the platform.
    pub name: String,
    /// Its directory of recordings, as this machine sees it.
    pub spool: PathBuf,
    /// What a path in it means: a layout's name.
    pub layout: String,
    /// The pattern of a custom layout.
    pub pattern: Option<String>,
    /// The IANA zone of the times in its paths.
    pub time_zone: String,
    /// What becomes of its sources.
    pub after: AfterArchive,
    /// Since when Fonoteca collects from it.
    pub enrolled_at: Instant,
    /// When an operator confirmed what is older than that.
    pub confirmed_at: Option<Instant>,
    /// Disabled: nothing is collected from it.
    pub disabled: bool,
}

impl Pbx {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            tenant: row.get("tenant_id")?,
            code: row.get("code")?,
            name: row.get("name")?,
            tier: row.get("tier_id")?,
            disabled: row.get::<Option<i64>>("disabled_at")?.is_some(),
        })
    }
}

impl Archive {
    /// Every reseller that the scope reaches, by code.
    pub async fn list_resellers(&self, scope: Scope) -> Result<Vec<Reseller>> {
        let (condition, params) = match scope {
            Scope::Platform => ("1 = 1", params![]),
            Scope::Reseller(id) => ("id = $1", params![id]),
            Scope::Tenant(_) | Scope::Pbx(_) => ("1 = 0", params![]),
        };
        let sql = format!("SELECT id, code, name, disabled_at FROM resellers WHERE {condition} ORDER BY code");
        let rows = self.db.fetch_all(sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(Reseller {
                    id: row.get("id")?,
                    code: row.get("code")?,
                    name: row.get("name")?,
                    disabled: row.get::<Option<i64>>("disabled_at")?.is_some(),
                })
            })
            .collect()
    }

    /// Every tenant that the scope reaches, by code. A PBX user sees its own tenant.
    pub async fn list_tenants(&self, scope: Scope) -> Result<Vec<Tenant>> {
        let (condition, params) = match scope {
            Scope::Platform => ("1 = 1", params![]),
            Scope::Reseller(id) => ("reseller_id = $1", params![id]),
            Scope::Tenant(id) => ("id = $1", params![id]),
            Scope::Pbx(id) => ("id = (SELECT p.tenant_id FROM pbxs p WHERE p.id = $1)", params![id]),
        };
        let sql = format!(
            "SELECT id, reseller_id, code, name, time_zone, tier_id, disabled_at
             FROM tenants
             WHERE {condition}
             ORDER BY code"
        );
        let rows = self.db.fetch_all(sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(Tenant {
                    id: row.get("id")?,
                    reseller: row.get("reseller_id")?,
                    code: row.get("code")?,
                    name: row.get("name")?,
                    time_zone: row.get("time_zone")?,
                    tier: row.get("tier_id")?,
                    disabled: row.get::<Option<i64>>("disabled_at")?.is_some(),
                })
            })
            .collect()
    }

    /// Every PBX that the scope reaches, by code.
    pub async fn list_pbxs(&self, scope: Scope) -> Result<Vec<Pbx>> {
        let (condition, params) = match scope {
            Scope::Platform => ("1 = 1", params![]),
            Scope::Reseller(id) => ("tenant_id IN (SELECT t.id FROM tenants t WHERE t.reseller_id = $1)", params![id]),
            Scope::Tenant(id) => ("tenant_id = $1", params![id]),
            Scope::Pbx(id) => ("id = $1", params![id]),
        };
        let sql = format!(
            "SELECT id, tenant_id, code, name, tier_id, disabled_at
             FROM pbxs
             WHERE {condition}
             ORDER BY code"
        );
        self.db.fetch_all(sql, params).await?.iter().map(Pbx::from_row).collect()
    }

    /// The PBX of that code or id, if the scope reaches it; `None`: out of scope or never there.
    pub async fn find_pbx(&self, scope: Scope, code_or_id: &str) -> Result<Option<Pbx>> {
        let mut params = params![code_or_id, code_or_id.parse::<PbxId>().ok()];
        let condition = scope.condition(&mut params);
        let sql = format!(
            "SELECT id, tenant_id, code, name, tier_id, disabled_at
             FROM (SELECT p.id, p.id AS pbx_id, p.tenant_id, p.code, p.name, p.tier_id, p.disabled_at FROM pbxs p) pbx
             WHERE (code = $1 OR id = $2) AND {condition}"
        );
        self.db.fetch_optional(sql, params).await?.as_ref().map(Pbx::from_row).transpose()
    }

    /// Every PBX with the tier, policy and zone in force, by code, for work that is nobody's in particular.
    pub(crate) async fn list_places(&self) -> Result<Vec<PbxPlace>> {
        let mut tx = self.db.begin_snapshot().await?;
        places_in(&mut tx).await
    }

    /// The PBX that `token` means on `core_server`: by its alias there, else by its own code; `None`: unknown.
    pub async fn find_place(&self, core_server: CoreServerId, token: &str) -> Result<Option<PbxPlace>> {
        let sql = format!(
            "{} WHERE pbxs.id = COALESCE(
                 (SELECT a.pbx_id FROM pbx_aliases a WHERE a.core_server_id = $1 AND a.token = $2),
                 (SELECT p.id FROM pbxs p WHERE p.code = $2))",
            place_sql()
        );
        let row = self.db.fetch_optional(sql, params![core_server, token]).await?;
        row.as_ref().map(place_from_row).transpose()
    }

    /// Every core server, by name.
    pub async fn list_core_servers(&self) -> Result<Vec<CoreServer>> {
        let rows = self
            .db
            .fetch_all(
                "SELECT id, name, spool, layout, pattern, time_zone, after, enrolled_at, confirmed_at, disabled_at
                 FROM core_servers
                 ORDER BY name",
                params![],
            )
            .await?;
        rows.iter().map(core_server_from_row).collect()
    }
}

/// Every PBX with the tier, policy and zone in force, by code, as a transaction sees them.
pub(crate) async fn places_in(tx: &mut crate::db::Tx) -> Result<Vec<PbxPlace>> {
    let sql = format!("{} ORDER BY pbxs.code", place_sql());
    tx.fetch_all(sql, params![]).await?.iter().map(place_from_row).collect()
}

/// Every core server, as a transaction sees them.
pub(crate) async fn core_servers_in(tx: &mut crate::db::Tx) -> Result<Vec<CoreServer>> {
    let sql = "SELECT id, name, spool, layout, pattern, time_zone, after, enrolled_at, confirmed_at, disabled_at
               FROM core_servers";
    tx.fetch_all(sql, params![]).await?.iter().map(core_server_from_row).collect()
}

fn place_sql() -> String {
    format!(
        "SELECT pbxs.id AS pbx_id, pbxs.code AS pbx_code, pbxs.tenant_id AS tenant_id,
                tenants.reseller_id AS reseller_id, tenants.time_zone AS time_zone,
                policies.id AS policy_id, policies.days AS policy_days, policies.quota_bytes AS policy_quota_bytes,
                policies.quota_audio_ms AS policy_quota_audio_ms, policies.quota_recordings AS policy_quota_recordings,
                of_tenant.days AS tenant_days, of_reseller.days AS reseller_days,
                {TIER_COLUMNS}
         FROM pbxs
         JOIN tenants ON tenants.id = pbxs.tenant_id
         JOIN tiers ON tiers.id = COALESCE(pbxs.tier_id, tenants.tier_id)
         LEFT JOIN policies ON policies.pbx_id = pbxs.id
         LEFT JOIN limits of_tenant ON of_tenant.owner_id = tenants.id
         LEFT JOIN limits of_reseller ON of_reseller.owner_id = tenants.reseller_id"
    )
}

fn place_from_row(row: &Row) -> Result<PbxPlace> {
    let tier = Tier::from_row(row)?;
    let policy: Option<PolicyId> = row.get("policy_id")?;
    let own_days = optional_u32(row, "policy_days")?.or(tier.days);
    let most = [optional_u32(row, "tenant_days")?, optional_u32(row, "reseller_days")?];
    let own_quota = Quota::from_row(row, ["policy_quota_bytes", "policy_quota_audio_ms", "policy_quota_recordings"])?;
    Ok(PbxPlace {
        pbx: row.get("pbx_id")?,
        code: row.get("pbx_code")?,
        tenant: row.get("tenant_id")?,
        reseller: row.get("reseller_id")?,
        time_zone: row.get("time_zone")?,
        days: own_days.into_iter().chain(most.into_iter().flatten()).min(),
        quota: own_quota.or(tier.quota),
        policy,
        tier,
    })
}

fn core_server_from_row(row: &Row) -> Result<CoreServer> {
    let (id, after, spool): (CoreServerId, String, String) = (row.get("id")?, row.get("after")?, row.get("spool")?);
    Ok(CoreServer {
        id,
        name: row.get("name")?,
        spool: spool.into(),
        layout: row.get("layout")?,
        pattern: row.get("pattern")?,
        time_zone: row.get("time_zone")?,
        after: serde_json::from_str(&after).map_err(|error| Error::integrity("core_servers", id, error.to_string()))?,
        enrolled_at: row.get("enrolled_at")?,
        confirmed_at: row.get("confirmed_at")?,
        disabled: row.get::<Option<i64>>("disabled_at")?.is_some(),
    })
}
