//! The audit's chain: a leased sealer links rows by hash, so that one which is changed, removed or put in shows.

use std::time::Duration;

use super::{COLUMNS, pbx_of};
use crate::Archive;
use crate::db::{Db, Row, Tx, Value, params};
use crate::error::{Error, Result};
use crate::hash::{Sha256, Sha256Hasher};
use crate::id::{AuditId, PbxId};
use crate::scope::Scope;

/// Rows sealed in one transaction.
pub(super) const SEAL_BATCH: u32 = 1000;
/// How long the sealer's lease lasts: longer than any batch takes.
const SEAL_LEASE: Duration = Duration::from_secs(30);

/// A place in the chain: how many rows it has up to there, and the hash over all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) number: i64,
    pub(super) hash: Sha256,
}

impl Archive {
    /// Chains the rows that are not sealed yet, if no other instance is doing it; says how many it sealed.
    pub async fn seal_audit(&self) -> Result<u64> {
        // Asked of a reader first: an archive at rest must not write a lease every second.
        let unsealed =
            self.db.fetch_optional("SELECT 1 AS one FROM audit WHERE seal_number IS NULL LIMIT 1", params![]).await?;
        if unsealed.is_none() {
            return Ok(0);
        }
        let Some(lease) = self.acquire_lease("audit-sealer", SEAL_LEASE).await? else { return Ok(0) };
        let mut tx = self.db.begin().await?;
        self.check_lease(&mut tx, &lease).await?;
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
        let mut last = match last {
            Some(row) => Link { number: row.get("seal_number")?, hash: row.get("seal_hash")? },
            None => match tx.fetch_optional(ANCHOR, params![]).await? {
                Some(row) => Link { number: row.get("seal_number")?, hash: row.get("seal_hash")? },
                None => beginning(),
            },
        };
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE seal_number IS NULL ORDER BY id LIMIT {SEAL_BATCH}");
        let rows = tx.fetch_all(sql, params![]).await?;
        for row in &rows {
            last = last.next(row)?;
            // The PBX again: a program that does not know the column left it open.
            tx.change_one(
                "audit row",
                "UPDATE audit SET seal_number = $1, seal_hash = $2, pbx_id = $3 WHERE id = $4 AND seal_number IS NULL",
                params![last.number, last.hash, pbx_in(row)?, row.get::<AuditId>("id")?],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(rows.len() as u64)
    }

    /// Follows the chain from where it begins; says how many rows it links, trimmed ones included.
    ///
    /// # Errors
    /// [`Error::Integrity`] at the first row that was changed, removed or put in.
    pub async fn verify_audit(&self) -> Result<u64> {
        verify(Reader::Db(&self.db)).await
    }
}

/// Where a chain is read: in the catalogue as it stands, or as a transaction sees it.
pub(crate) enum Reader<'a> {
    Db(&'a Db),
    Tx(&'a mut Tx),
}

impl Reader<'_> {
    async fn fetch_all(&mut self, sql: String, params: Vec<Value>) -> Result<Vec<Row>> {
        match self {
            Self::Db(db) => db.fetch_all(sql, params).await,
            Self::Tx(tx) => tx.fetch_all(sql, params).await,
        }
    }
}

/// As [`Archive::verify_audit`], of a catalogue that is not opened as an archive.
pub(crate) async fn verify(mut reader: Reader<'_>) -> Result<u64> {
    let mut last = begin(&mut reader).await?;
    loop {
        let rows = list_sealed(&mut reader, last.number).await?;
        if rows.is_empty() {
            return Ok(last.number.unsigned_abs());
        }
        for row in &rows {
            last = last.follow(row)?;
        }
    }
}

const ANCHOR: &str = "SELECT seal_number, seal_hash FROM audit_anchor";

/// Where the chain begins: before its first row, or behind what was trimmed.
pub(super) async fn begin(reader: &mut Reader<'_>) -> Result<Link> {
    Ok(match reader.fetch_all(ANCHOR.to_owned(), params![]).await?.first() {
        Some(row) => Link { number: row.get("seal_number")?, hash: row.get("seal_hash")? },
        None => beginning(),
    })
}

fn beginning() -> Link {
    Link { number: 0, hash: Sha256::of(b"") }
}

/// The next rows of the chain behind that number.
pub(super) async fn list_sealed(reader: &mut Reader<'_>, after: i64) -> Result<Vec<Row>> {
    let sql = format!(
        "SELECT {COLUMNS}, seal_hash
         FROM audit
         WHERE seal_number > $1
         ORDER BY seal_number
         LIMIT {SEAL_BATCH}"
    );
    reader.fetch_all(sql, params![after]).await
}

impl Link {
    /// The link of the row that comes next.
    fn next(self, row: &Row) -> Result<Self> {
        let number = self.number + 1;
        Ok(Self { number, hash: link(self.hash, number, row)? })
    }

    /// As [`Link::next`], of a row that is sealed already.
    ///
    /// # Errors
    /// [`Error::Integrity`] when it is not the one that was sealed.
    pub(super) fn follow(self, row: &Row) -> Result<Self> {
        let next = self.next(row)?;
        let sealed = Self { number: row.get("seal_number")?, hash: row.get("seal_hash")? };
        let pbx: Option<PbxId> = row.get("pbx_id")?;
        if sealed != next {
            let what = format!("the chain breaks at seal {}", next.number);
            return Err(Error::integrity("audit", row.get::<AuditId>("id")?, what));
        }
        if pbx.is_some() && pbx != pbx_in(row)? {
            let what = format!("the row of seal {} names another PBX than its text", next.number);
            return Err(Error::integrity("audit", row.get::<AuditId>("id")?, what));
        }
        Ok(next)
    }
}

fn pbx_in(row: &Row) -> Result<Option<PbxId>> {
    let (kind, id, detail): (String, Option<Vec<u8>>, String) =
        (row.get("scope_kind")?, row.get("scope_id")?, row.get("detail")?);
    // A row that is odd in itself is sealed like the others.
    Ok(pbx_of(Scope::from_parts(&kind, id.as_deref()).unwrap_or(Scope::Platform), &detail))
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
