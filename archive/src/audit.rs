//! The audit: who did what, when, from where, to what. Ids only: no numbers of callers, no paths, no secrets.
//!
//! A change's row is written in the change's own transaction. Reads (one row per download or login) are collected and
//! written together, within 100 ms, so that listening never waits for the one writer. A leased sealer chains rows by
//! hash every second; the chain never serialises the work.

use serde_json::Value as Json;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Db, Tx, Value, params};
use crate::error::Result;
use crate::id::{AuditId, PbxId, TenantId};
use crate::scope::{Actor, Scope};

mod chain;
mod trim;

pub(crate) use chain::{Reader as ChainReader, verify as verify_chain};
pub use trim::Trimmed;

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
    /// Of which PBX, where it is one's.
    pub pbx: Option<PbxId>,
    /// To what: an id.
    pub target: Option<String>,
    /// More, as JSON.
    pub detail: String,
    /// Its place in the chain, once sealed.
    pub seal_number: Option<i64>,
}

/// A read that waits to be written.
#[derive(Clone, Debug)]
pub(crate) struct PendingRead {
    actor: Actor,
    at: Instant,
    action: &'static str,
    tenant: Option<TenantId>,
    target: Option<String>,
    detail: String,
}

const COLUMNS: &str = "id, at, principal, scope_kind, scope_id, address, request_id, action, tenant_id, pbx_id, target, \
    detail, seal_number";
/// What a PBX's user may read of the audit: who listened to and downloaded its recordings, and who logged in. Holds and
/// their matters, and what operators and tenants decide, are not theirs to know.
const SHOWN_TO_PBX: &[&str] = &["recording.download", "ftp.login"];
/// Tenants asked for in one statement.
const ARMS: usize = 50;

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
        match &written {
            // They wait for the next time, in their order.
            Err(error) if error.is_transient() => {
                self.reads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).splice(0..0, reads);
            }
            // One that can never be written must not keep the others from it.
            Err(_) => return self.write_reads_apart(&reads).await,
            Ok(_) => {}
        }
        written
    }

    async fn write_reads_apart(&self, reads: &[PendingRead]) -> Result<u64> {
        let mut written = 0;
        for (n, read) in reads.iter().enumerate() {
            match self.write_reads(std::slice::from_ref(read)).await {
                Ok(_) => written += 1,
                Err(error) if error.is_transient() => {
                    let rest = reads[n..].iter().cloned();
                    self.reads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).splice(0..0, rest);
                    return Err(error);
                }
                Err(error) => tracing::error!("failed to write a read to the audit: {error}"),
            }
        }
        Ok(written)
    }

    async fn write_reads(&self, reads: &[PendingRead]) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        for read in reads {
            insert(&mut tx, read).await?;
        }
        tx.commit().await?;
        Ok(reads.len() as u64)
    }

    /// Rows that the scope reaches, newest first: an operator sees all, a tenant what concerns its recordings, a PBX's user
    /// who listened to those of the PBX and who logged in. `before` goes on behind the last row seen.
    pub async fn list_audit(&self, scope: Scope, before: Option<AuditId>, limit: u32) -> Result<Vec<AuditRow>> {
        let owners = match scope {
            Scope::Reseller(id) => self.tenants_of(id).await?.into_iter().map(Scope::Tenant).collect(),
            scope => vec![scope],
        };
        let mut found = Vec::new();
        for owners in owners.chunks(ARMS) {
            let (sql, params) = statement(&self.db, owners, before, limit);
            found.extend(
                self.db.fetch_all(sql, params).await?.iter().map(AuditRow::from_row).collect::<Result<Vec<_>>>()?,
            );
        }
        if owners.len() > ARMS {
            found.sort_by_key(|row| std::cmp::Reverse(row.id));
            found.truncate(limit as usize);
        }
        Ok(found)
    }
}

impl AuditRow {
    fn from_row(row: &crate::db::Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            at: row.get("at")?,
            principal: row.get("principal")?,
            address: row.get("address")?,
            action: row.get("action")?,
            tenant: row.get("tenant_id")?,
            pbx: row.get("pbx_id")?,
            target: row.get("target")?,
            detail: row.get("detail")?,
            seal_number: row.get("seal_number")?,
        })
    }
}

/// One page, of each owner in the order of its index, merged.
fn statement(db: &Db, owners: &[Scope], before: Option<AuditId>, limit: u32) -> (String, Vec<Value>) {
    let mut params = params![];
    let arms: Vec<String> = owners
        .iter()
        .map(|owner| {
            let mut condition = owner.condition(&mut params);
            if let Scope::Pbx(_) = owner {
                condition.push_str(&format!(" AND action IN ('{}')", SHOWN_TO_PBX.join("', '")));
            }
            if let Some(before) = before {
                params.extend(params![before]);
                condition.push_str(&format!(" AND id < ${}", params.len()));
            }
            format!("SELECT {COLUMNS} FROM audit WHERE {condition}")
        })
        .collect();
    (db.merge(&arms, "id DESC", limit), params)
}

async fn insert(tx: &mut Tx, read: &PendingRead) -> Result<()> {
    let scope = read.actor.scope;
    let pbx = pbx_of(scope, &read.detail);
    let tenant = read.tenant.or(match scope {
        Scope::Tenant(id) => Some(id),
        _ => None,
    });
    tx.execute(
        "INSERT INTO audit (id, at, principal, scope_kind, scope_id, address, request_id, action, tenant_id, target,
             detail, pbx_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, COALESCE($9, (SELECT p.tenant_id FROM pbxs p WHERE p.id = $12)), $10,
             $11, $12)",
        params![
            AuditId::new(read.at),
            read.at,
            read.actor.principal.to_string(),
            scope.kind(),
            scope.id_value(),
            read.actor.address.map(|address| address.to_string()),
            read.actor.request_id.clone(),
            read.action,
            tenant,
            read.target.clone(),
            &read.detail,
            pbx
        ],
    )
    .await?;
    Ok(())
}

/// The PBX that a row concerns: the one its detail names, else the one whose user or account acted. Both are in what the
/// chain covers; the column of its own is there to be found by.
fn pbx_of(scope: Scope, detail: &str) -> Option<PbxId> {
    let detail: Json = serde_json::from_str(detail).unwrap_or_default();
    detail["pbx"].as_str().and_then(|id| id.parse().ok()).or(match scope {
        Scope::Pbx(id) => Some(id),
        _ => None,
    })
}
