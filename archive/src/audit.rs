//! The audit: who did what, when, from where, to what. Ids only: no numbers of callers, no paths, no secrets.
//!
//! A change's row is written in the change's own transaction. Reads (one row per download or login) are collected and
//! written together, within 100 ms, so that listening never waits for the one writer. A leased sealer chains rows by
//! hash every second; the chain never serialises the work.

use std::time::Duration;

use serde_json::Value as Json;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Row, Tx, params};
use crate::error::{Error, Result};
use crate::hash::{Sha256, Sha256Hasher};
use crate::id::{AuditId, TenantId};
use crate::scope::{Actor, Scope};

/// Rows sealed in one transaction.
const SEAL_BATCH: u32 = 1000;
/// How long the sealer's lease lasts: longer than any batch takes.
const SEAL_LEASE: Duration = Duration::from_secs(30);

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Instant,
    /// Who: `user:…`, `ftp:…`, `system:…`, `command-line`.
    pub principal: String,
    /// From where.
    pub address: Option<String>,
    /// What: `recording.download`, `hold.set` …
    pub action: String,
    /// Whose.
    pub tenant: Option<TenantId>,
    /// To what: an id.
    pub target: Option<String>,
    /// More, as JSON.
    pub detail: String,
    /// Its place in the chain, once sealed.
    pub seal_number: Option<i64>,
}

/// A read that waits to be written.
#[derive(Debug)]
pub(crate) struct PendingRead {
    actor: Actor,
    at: Instant,
    action: &'static str,
    tenant: Option<TenantId>,
    target: Option<String>,
    detail: String,
}

const COLUMNS: &str =
    "id, at, principal, scope_kind, scope_id, address, request_id, action, tenant_id, target, detail, seal_number";

impl Archive {
    /// Writes the row of a change, in the change's transaction.
    pub(crate) async fn audit(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        action: &'static str,
        tenant: Option<TenantId>,
        target: Option<String>,
        detail: &Json,
    ) -> Result<()> {
        let at = self.clock.now();
        let detail = detail.to_string();
        insert(tx, &PendingRead { actor: actor.clone(), at, action, tenant, target, detail }).await
    }

    /// Notes a read: a download, a listening session, a login. It is written by the next [`Archive::flush_reads`].
    pub fn note_read(
        &self,
        actor: &Actor,
        action: &'static str,
        tenant: Option<TenantId>,
        target: Option<String>,
        detail: &Json,
    ) {
        let at = self.clock.now();
        let read = PendingRead { actor: actor.clone(), at, action, tenant, target, detail: detail.to_string() };
        self.reads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(read);
    }

    /// Writes the reads noted so far. The root calls it every 100 ms and before it stops.
    pub async fn flush_reads(&self) -> Result<u64> {
        let reads = std::mem::take(&mut *self.reads.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if reads.is_empty() {
            return Ok(0);
        }
        let written = self.write_reads(&reads).await;
        if written.is_err() {
            // They wait for the next time, in their order.
            self.reads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).splice(0..0, reads);
        }
        written
    }

    async fn write_reads(&self, reads: &[PendingRead]) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        for read in reads {
            insert(&mut tx, read).await?;
        }
        tx.commit().await?;
        Ok(reads.len() as u64)
    }

    /// Chains the rows that are not sealed yet, if no other instance is doing it; says how many it sealed.
    pub async fn seal_audit(&self) -> Result<u64> {
        // Asked of a reader first: an archive at rest must not write a lease every second.
        let unsealed =
            self.db.fetch_optional("SELECT 1 AS one FROM audit WHERE seal_number IS NULL LIMIT 1", params![]).await?;
        if unsealed.is_none() {
            return Ok(0);
        }
        if self.acquire_lease("audit-sealer", SEAL_LEASE).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let last = tx
            .fetch_optional(
                "SELECT seal_number, seal_hash
                 FROM audit
                 WHERE seal_number IS NOT NULL
                 ORDER BY seal_number DESC
                 LIMIT 1",
                params![],
            )
            .await?;
        let (mut number, mut hash) = match last {
            Some(row) => (row.get("seal_number")?, row.get("seal_hash")?),
            None => (0, Sha256::of(b"")),
        };
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE seal_number IS NULL ORDER BY id LIMIT {SEAL_BATCH}");
        let rows = tx.fetch_all(sql, params![]).await?;
        for row in &rows {
            number += 1;
            hash = link(hash, number, row)?;
            tx.change_one(
                "audit row",
                "UPDATE audit SET seal_number = $1, seal_hash = $2 WHERE id = $3 AND seal_number IS NULL",
                params![number, hash, row.get::<AuditId>("id")?],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(rows.len() as u64)
    }

    /// Follows the chain from its beginning; says how many rows it links.
    ///
    /// # Errors
    /// [`Error::Integrity`] at the first row that was changed, removed or put in.
    pub async fn verify_audit(&self) -> Result<u64> {
        let (mut number, mut hash) = (0_i64, Sha256::of(b""));
        loop {
            let sql = format!(
                "SELECT {COLUMNS}, seal_hash
                 FROM audit
                 WHERE seal_number > $1
                 ORDER BY seal_number
                 LIMIT {SEAL_BATCH}"
            );
            let rows = self.db.fetch_all(sql, params![number]).await?;
            if rows.is_empty() {
                return Ok(number.unsigned_abs());
            }
            for row in &rows {
                number += 1;
                hash = link(hash, number, row)?;
                let sealed: (i64, Sha256) = (row.get("seal_number")?, row.get("seal_hash")?);
                if sealed != (number, hash) {
                    let what = format!("the chain breaks at seal {number}");
                    return Err(Error::integrity("audit", row.get::<AuditId>("id")?, what));
                }
            }
        }
    }

    /// Rows that the scope reaches, newest first: an operator sees all, a tenant what concerns its recordings. `before`
    /// goes on behind the last row seen.
    pub async fn list_audit(&self, scope: Scope, before: Option<AuditId>, limit: u32) -> Result<Vec<AuditRow>> {
        let (condition, mut params) = match scope {
            Scope::Platform => ("1 = 1", params![limit]),
            Scope::Reseller(id) => {
                ("tenant_id IN (SELECT t.id FROM tenants t WHERE t.reseller_id = $2)", params![limit, id])
            }
            Scope::Tenant(id) => ("tenant_id = $2", params![limit, id]),
            // Rows name the tenant, not the PBX; rather too little than a neighbour's.
            Scope::Pbx(_) => ("1 = 0", params![limit]),
        };
        let mut beyond = String::new();
        if let Some(before) = before {
            params.extend(params![before]);
            beyond = format!("AND id < ${}", params.len());
        }
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE {condition} {beyond} ORDER BY id DESC LIMIT $1");
        let rows = self.db.fetch_all(sql, params).await?;
        rows.iter()
            .map(|row| {
                Ok(AuditRow {
                    id: row.get("id")?,
                    at: row.get("at")?,
                    principal: row.get("principal")?,
                    address: row.get("address")?,
                    action: row.get("action")?,
                    tenant: row.get("tenant_id")?,
                    target: row.get("target")?,
                    detail: row.get("detail")?,
                    seal_number: row.get("seal_number")?,
                })
            })
            .collect()
    }
}

async fn insert(tx: &mut Tx, read: &PendingRead) -> Result<()> {
    tx.execute(
        "INSERT INTO audit (id, at, principal, scope_kind, scope_id, address, request_id, action, tenant_id, target,
             detail)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        params![
            AuditId::new(read.at),
            read.at,
            read.actor.principal.to_string(),
            read.actor.scope.kind(),
            read.actor.scope.id_value(),
            read.actor.address.map(|address| address.to_string()),
            read.actor.request_id.clone(),
            read.action,
            read.tenant,
            read.target.clone(),
            &read.detail
        ],
    )
    .await?;
    Ok(())
}

/// The hash of a row and of everything before it.
fn link(before: Sha256, number: i64, row: &Row) -> Result<Sha256> {
    let mut hasher = Sha256Hasher::default();
    let mut add = |part: Option<&[u8]>| {
        // A length in front keeps parts apart, and NULL from empty.
        hasher.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
        hasher.update(part.unwrap_or_default());
    };
    add(Some(before.as_bytes()));
    add(Some(&number.to_le_bytes()));
    add(Some(&row.get::<i64>("at")?.to_le_bytes()));
    for column in ["id", "scope_id", "tenant_id"] {
        add(row.get::<Option<Vec<u8>>>(column)?.as_deref());
    }
    for column in ["principal", "scope_kind", "address", "request_id", "action", "target", "detail"] {
        add(row.get::<Option<String>>(column)?.as_deref().map(str::as_bytes));
    }
    Ok(hasher.finish().0)
}
