//! Placeholders: what stands for a tenant, PBX, tier or core server of which only the id is left. They carry their id as
//! their code, sell no limit, and let nobody in; an operator tells their recordings by them.

use crate::clock::Instant;
use crate::db::{Tx, params};
use crate::error::Result;
use crate::id::{CoreServerId, PbxId, ResellerId, TenantId, TierId};

/// The name of the reseller and the tier that hold what is known no better.
const REBUILT: &str = "rebuilt";

/// Sees that tenant and PBX are there; says whether it had to make one.
pub(super) async fn need_place(tx: &mut Tx, tenant: TenantId, pbx: Option<PbxId>, now: Instant) -> Result<bool> {
    let mut made = false;
    if !has(tx, "SELECT 1 AS one FROM tenants WHERE id = $1", params![tenant]).await? {
        let (reseller, tier) = need_reseller_and_tier(tx, now).await?;
        tx.execute(
            "INSERT INTO tenants (id, reseller_id, code, name, time_zone, tier_id, created_at, disabled_at)
             VALUES ($1, $2, $3, $3, 'UTC', $4, $5, $5)",
            params![tenant, reseller, tenant.to_string().to_lowercase(), tier, now],
        )
        .await?;
        made = true;
    }
    if let Some(pbx) = pbx
        && !has(tx, "SELECT 1 AS one FROM pbxs WHERE id = $1", params![pbx]).await?
    {
        tx.execute(
            "INSERT INTO pbxs (id, tenant_id, code, name, created_at, disabled_at) VALUES ($1, $2, $3, $3, $4, $4)",
            params![pbx, tenant, pbx.to_string().to_lowercase(), now],
        )
        .await?;
        made = true;
    }
    Ok(made)
}

/// Sees that the core server is there; says whether it had to make it. It counts as enrolled now, so that what it recorded is
/// guarded until an operator confirms it.
pub(super) async fn need_core_server(tx: &mut Tx, id: CoreServerId, now: Instant) -> Result<bool> {
    if has(tx, "SELECT 1 AS one FROM core_servers WHERE id = $1", params![id]).await? {
        return Ok(false);
    }
    tx.execute(
        "INSERT INTO core_servers (id, name, spool, layout, time_zone, after, enrolled_at, disabled_at)
         VALUES ($1, $2, '/nonexistent', 'asterisk', 'UTC', '{\"then\":\"keep\"}', $3, $3)",
        params![id, id.to_string().to_lowercase(), now],
    )
    .await?;
    Ok(true)
}

/// The core server that stands for the one that nothing is left of.
pub(super) async fn need_unknown_core_server(tx: &mut Tx, now: Instant) -> Result<CoreServerId> {
    if let Some(row) = tx.fetch_optional("SELECT id FROM core_servers WHERE name = $1", params![REBUILT]).await? {
        return row.get("id");
    }
    let id = CoreServerId::new(now);
    need_core_server(tx, id, now).await?;
    tx.execute("UPDATE core_servers SET name = $1 WHERE id = $2", params![REBUILT, id]).await?;
    Ok(id)
}

async fn need_reseller_and_tier(tx: &mut Tx, now: Instant) -> Result<(ResellerId, TierId)> {
    tx.execute(
        "INSERT INTO resellers (id, code, name, created_at, disabled_at) VALUES ($1, $2, $2, $3, $3)
         ON CONFLICT (code) DO NOTHING",
        params![ResellerId::new(now), REBUILT, now],
    )
    .await?;
    tx.execute(
        "INSERT INTO tiers (id, code, name, format, bitrate_bps, stores, created_at)
         VALUES ($1, $2, $2, 'original', 0, '', $3)
         ON CONFLICT (code) DO NOTHING",
        params![TierId::new(now), REBUILT, now],
    )
    .await?;
    let row = tx
        .fetch_optional(
            "SELECT r.id AS reseller_id, t.id AS tier_id FROM resellers r JOIN tiers t ON t.code = r.code WHERE r.code = $1",
            params![REBUILT],
        )
        .await?
        .ok_or(crate::Error::Conflict("reseller"))?;
    Ok((row.get("reseller_id")?, row.get("tier_id")?))
}

async fn has(tx: &mut Tx, sql: &'static str, params: Vec<crate::db::Value>) -> Result<bool> {
    Ok(tx.fetch_optional(sql, params).await?.is_some())
}
