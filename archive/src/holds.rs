//! Legal holds: rules by which recordings stay until the matter is over.
//!
//! A hold is not a mark on recordings but a condition (by recording, number, PBX, time range) that the statements
//! which expire and purge evaluate, so it covers recordings that arrive later and numbers that a late CDR brings.

use serde_json::json;

use crate::Archive;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::{Row, Tx, params};
use crate::error::{Error, Result};
use crate::id::{HoldId, PbxId, RecordingId, TenantId};
use crate::journal::JournalKind;
use crate::scope::{Actor, Scope};
use crate::usage::{Count, count};
use crate::words::UsageClass;

/// The condition that the row of `recordings` at hand is held.
pub(crate) const IS_HELD: &str = "EXISTS (
    SELECT 1
    FROM holds h
    WHERE h.tenant_id = recordings.tenant_id AND h.released_at IS NULL
        AND (h.recording_id IS NULL OR h.recording_id = recordings.id)
        AND (h.pbx_id IS NULL OR h.pbx_id = recordings.pbx_id)
        AND (h.number IS NULL OR h.number = recordings.caller OR h.number = recordings.callee)
        AND (h.from_ms IS NULL OR recordings.started_at >= h.from_ms)
        AND (h.until_ms IS NULL OR recordings.started_at < h.until_ms))";

/// The condition that no retention lock forbids the row of `recordings` at hand to go: locked at equality, and for ever
/// where a lock has no end. `now` is the number of the parameter that is now: `$1`.
pub(crate) fn is_unlocked(now: &str) -> String {
    format!("(lock_mode = 'none' OR (retain_until IS NOT NULL AND retain_until < {now}))")
}

/// A hold to be set. What is `None` does not narrow it: with everything `None` it holds all that the tenant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHold {
    /// Whose recordings.
    pub tenant: TenantId,
    /// What for: the name of the matter.
    pub matter: String,
    /// One recording.
    pub recording: Option<RecordingId>,
    /// Of one PBX.
    pub pbx: Option<PbxId>,
    /// To or from one number.
    pub number: Option<String>,
    /// Of calls begun at or after.
    pub from: Option<Instant>,
    /// Of calls begun before.
    pub until: Option<Instant>,
}

/// A hold in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// What it holds.
    pub rule: NewHold,
    /// Since when.
    pub set_at: Instant,
    /// By whom.
    pub set_by: String,
    /// Until when; `None`: it is in force.
    pub released_at: Option<Instant>,
}

impl Hold {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            rule: NewHold {
                tenant: row.get("tenant_id")?,
                matter: row.get("matter")?,
                recording: row.get("recording_id")?,
                pbx: row.get("pbx_id")?,
                number: row.get("number")?,
                from: row.get("from_ms")?,
                until: row.get("until_ms")?,
            },
            set_at: row.get("set_at")?,
            set_by: row.get("set_by")?,
            released_at: row.get("released_at")?,
        })
    }
}

/// What the journal says of a hold that is about to be set.
fn hold_entry(id: HoldId, hold: &NewHold, set_at: Instant, actor: &Actor) -> serde_json::Value {
    json!({
        "hold": id.to_string(),
        "tenant": hold.tenant.to_string(),
        "matter": hold.matter,
        "recording": hold.recording.map(|id| id.to_string()),
        "pbx": hold.pbx.map(|id| id.to_string()),
        "number": hold.number,
        "from_ms": hold.from.map(Instant::millis),
        "until_ms": hold.until.map(Instant::millis),
        "set_at": set_at.millis(),
        "set_by": actor.principal.to_string(),
    })
}

/// Takes the tenant's row until the transaction ends. Setting a hold, expiring and purging all take it first, so none
/// of them can pass another, whatever an engine's snapshots would show.
pub(crate) async fn serialise_on_tenant(tx: &mut Tx, tenant: TenantId) -> Result<()> {
    tx.change_one("tenant", "UPDATE tenants SET hold_epoch = hold_epoch + 1 WHERE id = $1", params![tenant]).await
}

impl Archive {
    /// Sets a hold. Recordings in their grace period that it reaches become visible again; nothing it reaches expires
    /// or is purged until it is released.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the tenant, PBX or recording is out of the actor's scope; [`Error::Invalid`] without a
    /// matter.
    pub async fn set_hold(&self, actor: &Actor, hold: &NewHold) -> Result<HoldId> {
        if hold.matter.trim().is_empty() {
            return Err(Error::Invalid("a hold needs the name of its matter".to_owned()));
        }
        self.check_tenant_in_scope(actor.scope, hold.tenant, hold.pbx).await?;
        let now = self.clock.now();
        let id = HoldId::new(now);
        // Before it is set: a hold that a restore would forget protects nobody.
        self.journal(JournalKind::Holds, &[hold_entry(id, hold, now, actor)]).await?;
        crash_point("hold journalled");
        let mut tx = self.db.begin().await?;
        serialise_on_tenant(&mut tx, hold.tenant).await?;
        if let Some(recording) = hold.recording {
            let owned = tx
                .fetch_optional(
                    "SELECT 1 AS one FROM recordings WHERE id = $1 AND tenant_id = $2 AND state <> 'purging'",
                    params![recording, hold.tenant],
                )
                .await?;
            owned.ok_or(Error::NotFound("recording"))?;
        }
        tx.execute(
            "INSERT INTO holds (id, tenant_id, matter, recording_id, pbx_id, number, from_ms, until_ms, set_at, set_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            params![
                id,
                hold.tenant,
                &hold.matter,
                hold.recording,
                hold.pbx,
                hold.number.clone(),
                hold.from,
                hold.until,
                now,
                actor.principal.to_string()
            ],
        )
        .await?;
        let restored = self.restore_held(&mut tx, hold.tenant).await?;
        let pbx = hold.pbx.map(|pbx| pbx.to_string());
        let detail = json!({ "hold": id.to_string(), "pbx": pbx, "restored": restored });
        self.audit(&mut tx, actor, "hold.set", Some(hold.tenant), Some(id.to_string()), &detail).await?;
        self.emit(&mut tx, "hold.set", Some(hold.tenant), &detail).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// expired → archived for everything of the tenant that a hold now reaches.
    pub(crate) async fn restore_held(&self, tx: &mut Tx, tenant: TenantId) -> Result<usize> {
        let sql = format!(
            "UPDATE recordings
             SET state = 'archived', expired_at = NULL, expired_by = NULL, purge_after = NULL
             WHERE tenant_id = $1 AND state = 'expired' AND {IS_HELD}
             RETURNING id"
        );
        let rows = tx.fetch_all(sql, params![tenant]).await?;
        for row in &rows {
            let move_back = Count::Move { from: UsageClass::Grace, to: UsageClass::Live };
            count(tx, row.get("id")?, move_back).await?;
        }
        Ok(rows.len())
    }

    /// Releases a hold. Other holds that reach the same recordings stay.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is out of scope or was released before.
    pub async fn release_hold(&self, actor: &Actor, id: HoldId) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let row = tx
            .fetch_optional("SELECT tenant_id, pbx_id FROM holds WHERE id = $1 AND released_at IS NULL", params![id])
            .await?
            .ok_or(Error::NotFound("hold"))?;
        let (tenant, pbx): (TenantId, Option<PbxId>) = (row.get("tenant_id")?, row.get("pbx_id")?);
        self.check_tenant_in_scope(actor.scope, tenant, pbx).await.map_err(|_| Error::NotFound("hold"))?;
        tx.change_one(
            "hold",
            "UPDATE holds SET released_at = $1, released_by = $2 WHERE id = $3 AND released_at IS NULL",
            params![self.clock.now(), actor.principal.to_string(), id],
        )
        .await?;
        let detail = json!({ "hold": id.to_string(), "pbx": pbx.map(|pbx| pbx.to_string()) });
        self.audit(&mut tx, actor, "hold.release", Some(tenant), Some(id.to_string()), &detail).await?;
        self.emit(&mut tx, "hold.released", Some(tenant), &detail).await?;
        tx.commit().await?;
        // After it is released: should a restore not learn of it, it holds too much, not too little.
        let entry = json!({ "released": id.to_string(), "at": self.clock.now().millis() });
        if let Err(error) = self.journal(JournalKind::Holds, &[entry]).await {
            tracing::warn!(hold.id = %id, "failed to journal the release of hold {id}: {error}");
        }
        Ok(())
    }

    /// Every hold that the scope reaches, newest first, released ones included.
    pub async fn list_holds(&self, scope: Scope) -> Result<Vec<Hold>> {
        let mut params = params![];
        let condition = scope.condition(&mut params);
        let sql = format!(
            "SELECT id, tenant_id, matter, recording_id, pbx_id, number, from_ms, until_ms, set_at, set_by, released_at
             FROM holds
             WHERE {condition}
             ORDER BY id DESC"
        );
        self.db.fetch_all(sql, params).await?.iter().map(Hold::from_row).collect()
    }

    /// Is the recording held now? For explaining why something stays.
    pub async fn is_held(&self, id: RecordingId) -> Result<bool> {
        let sql = format!("SELECT 1 AS one FROM recordings WHERE id = $1 AND {IS_HELD}");
        Ok(self.db.fetch_optional(sql, params![id]).await?.is_some())
    }

    /// A tenant-wide matter needs a scope over the whole tenant; one of a PBX only a scope over that PBX.
    pub(crate) async fn check_tenant_in_scope(&self, scope: Scope, tenant: TenantId, pbx: Option<PbxId>) -> Result<()> {
        let within = match pbx {
            Some(pbx) => self.list_pbxs(scope).await?.iter().any(|it| it.id == pbx && it.tenant == tenant),
            None => !matches!(scope, Scope::Pbx(_)) && self.list_tenants(scope).await?.iter().any(|it| it.id == tenant),
        };
        if within { Ok(()) } else { Err(Error::NotFound(if pbx.is_some() { "PBX" } else { "tenant" })) }
    }
}
