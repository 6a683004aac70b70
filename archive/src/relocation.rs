//! Moving a catalogue to another database: from SQLite to PostgreSQL when the first is outgrown, or back.
//!
//! Nobody writes to the old one meanwhile. The new one gets everything in one transaction, is read back and compared row
//! by row, and only then committed; so what is interrupted leaves nothing behind, and is begun again. In the end the old
//! one is marked: two catalogues of the same stores would purge each other's recordings.

use std::path::Path;

use crate::audit::{ChainReader, verify_chain};
use crate::clock::{Clock, Instant, SystemClock};
use crate::crash::crash_point;
use crate::db::{Db, Row, Tx, Value, params};
use crate::error::{Error, Result};
use crate::hash::Sha256Hasher;
use crate::id::CatalogueId;

mod tables;

use tables::{Table, list_tables};

/// Rows written in one statement, where their columns leave room for so many: an engine takes some 32,000 parameters.
const BATCH_ROWS: usize = 500;
const BATCH_VALUES: usize = 30_000;

/// What was moved of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTable {
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
}

/// Moves the catalogue at `from` to the empty database `to` (both `sqlite:PATH` or `postgres://…`), telling of each table
/// that is there. The old catalogue is closed for ever.
///
/// # Errors
/// [`Error::Invalid`] when there is no catalogue at `from`, something is at work on it, or `to` has one already;
/// [`Error::Integrity`] when what was written is not what was read: then nothing is.
pub async fn move_catalogue(from: &str, to: &str, moved: &mut (dyn FnMut(&MovedTable) + Send)) -> Result<()> {
    let path = from.strip_prefix("sqlite:").map(|path| path.trim_start_matches("//"));
    if let Some(path) = path.filter(|path| !Path::new(path).is_file()) {
        return Err(Error::Invalid(format!("there is no catalogue at {path}")));
    }
    let (source, target) = (Db::open(from, None).await?, Db::open(to, None).await?);
    let result = move_between(&source, &target, moved).await;
    source.close().await;
    target.close().await;
    result
}

async fn move_between(source: &Db, target: &Db, moved: &mut (dyn FnMut(&MovedTable) + Send)) -> Result<()> {
    let tables = list_tables(source).await?;
    let mut from = begin_alone(source, &tables).await?;
    refuse_at_work(source, &mut from).await?;
    let chain = chain_of(&mut from).await?;
    let mut to = target.begin().await?;
    if is_there_already(&mut from, &mut to).await? {
        // An earlier move was cut off at its very end.
        compare(&mut from, &mut to, &tables, moved).await?;
    } else {
        copy(&mut from, &mut to, &tables, moved).await?;
    }
    if chain_of(&mut to).await? != chain {
        return Err(Error::integrity("audit", "chain", "the new catalogue's is not the old one's"));
    }
    to.commit().await?;
    crash_point("catalogue copied");
    close_for_ever(&mut from).await?;
    from.commit().await
}

/// Nobody gets a claim or a lease of it any more, and what somebody who slept all the while believes to have in work is
/// no longer his: the same recordings go on elsewhere.
async fn close_for_ever(from: &mut Tx) -> Result<()> {
    from.execute("UPDATE compatibility SET moved_at = $1", params![SystemClock.now()]).await?;
    let sql = "UPDATE sources SET fence = fence + 1, lease_until = 0 WHERE state IN ('discovered', 'spooled')";
    from.execute(sql, params![]).await?;
    from.execute("UPDATE recordings SET copies_fence = copies_fence + 1 WHERE copies_why IS NOT NULL", params![])
        .await?;
    from.execute("UPDATE leases SET fence = fence + 1, until = 0", params![]).await?;
    Ok(())
}

/// Copies every row of the tables, and compares. Tables and columns are those of the source.
async fn copy(from: &mut Tx, to: &mut Tx, tables: &[Table], moved: &mut (dyn FnMut(&MovedTable) + Send)) -> Result<()> {
    // A catalogue that nobody has opened holds only what its migrations put there.
    for table in tables.iter().rev() {
        to.execute(format!("DELETE FROM {}", table.name), params![]).await?;
    }
    for table in tables {
        let (mut after, mut read) = (None, Sum::default());
        loop {
            let rows = next_batch(from, table, after.as_deref()).await?;
            let Some(last) = rows.last() else { break };
            after = Some(table.key_of(last));
            rows.iter().for_each(|row| read.add(row));
            insert(to, table, rows).await?;
        }
        let written = sum(to, table).await?;
        if written != read {
            let what = format!("{} rows were read, {} are there, or they differ", read.rows, written.rows);
            return Err(Error::Integrity { table: "catalogue", id: table.name.clone(), what });
        }
        moved(&MovedTable { table: table.name.clone(), rows: read.rows });
    }
    Ok(())
}

/// Copies what the source has of the tables and columns of `schema`, past every check.
#[cfg(test)]
pub(crate) async fn copy_between(source: &Db, target: &Db, schema: &Db) -> Result<()> {
    let tables = list_tables(schema).await?;
    let (mut from, mut to) = (source.begin().await?, target.begin().await?);
    copy(&mut from, &mut to, &tables, &mut |_| ()).await?;
    to.commit().await
}

/// A transaction on the source beside which nobody can write.
async fn begin_alone(source: &Db, tables: &[Table]) -> Result<Tx> {
    let mut tx = source.begin().await?;
    if let Db::Postgres(_) = source {
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", params![]).await?;
        tx.execute(format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", names.join(", ")), params![]).await?;
    }
    Ok(tx)
}

async fn refuse_at_work(source: &Db, from: &mut Tx) -> Result<()> {
    let now = source.now().await?;
    let lease = from.fetch_optional("SELECT name FROM leases WHERE until > $1 LIMIT 1", params![now]).await?;
    let name: String = match lease {
        Some(lease) => lease.get("name")?,
        // One that collects or copies once says nowhere else that it is at work.
        None => match claims_at_work(from, now).await? {
            Some(claims) => claims,
            None => return Ok(()),
        },
    };
    Err(Error::Invalid(format!(
        "something is at work on the catalogue ({name}): stop it first; what was killed counts as at work for up to two \
         minutes"
    )))
}

/// Who has claimed what, in words; `None`: nobody has.
async fn claims_at_work(from: &mut Tx, now: Instant) -> Result<Option<String>> {
    const SOURCES: &str = "SELECT instance
         FROM sources
         WHERE state IN ('discovered', 'spooled') AND lease_until > $1
         LIMIT 1";
    const COPIES: &str = "SELECT copies_instance AS instance
         FROM recordings
         WHERE copies_why IS NOT NULL AND copies_instance IS NOT NULL AND copies_try_at > $1
         LIMIT 1";
    for (what, sql) in [("sources", SOURCES), ("copies", COPIES)] {
        if let Some(row) = from.fetch_optional(sql, params![now]).await? {
            let instance: Option<String> = row.get("instance")?;
            return Ok(Some(format!("{what} claimed by {}", instance.unwrap_or_default())));
        }
    }
    Ok(None)
}

/// Is the source's catalogue what the target has?
async fn is_there_already(from: &mut Tx, to: &mut Tx) -> Result<bool> {
    let Some(ours) = from.fetch_optional("SELECT id FROM catalogue", params![]).await? else {
        return Err(Error::Invalid("there is nothing to move: no archive was ever opened there".to_owned()));
    };
    match to.fetch_optional("SELECT id FROM catalogue", params![]).await? {
        None => Ok(false),
        Some(theirs) if theirs.get::<CatalogueId>("id")? == ours.get("id")? => Ok(true),
        Some(_) => Err(Error::Invalid("the database to move to has a catalogue already: give an empty one".to_owned())),
    }
}

/// Looks whether both have the same rows.
async fn compare(
    from: &mut Tx,
    to: &mut Tx,
    tables: &[Table],
    moved: &mut (dyn FnMut(&MovedTable) + Send),
) -> Result<()> {
    for table in tables {
        let (ours, theirs) = (sum(from, table).await?, sum(to, table).await?);
        if ours != theirs {
            return Err(Error::Invalid(format!(
                "this catalogue was moved there before, and one of the two was worked on since ({} differ): find out which \
                 is right, and empty the other database",
                table.name
            )));
        }
        moved(&MovedTable { table: table.name.clone(), rows: ours.rows });
    }
    Ok(())
}

/// How the audit's chain stands: a broken one stays as it is, and stays evidence.
async fn chain_of(tx: &mut Tx) -> Result<String> {
    match verify_chain(ChainReader::Tx(tx)).await {
        Ok(rows) => Ok(format!("{rows} rows")),
        Err(error @ Error::Integrity { .. }) => Ok(error.to_string()),
        Err(error) => Err(error),
    }
}

/// Rows, counted and added up whatever their order: each is a hash.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    hashes: u64,
}

impl Sum {
    fn add(&mut self, row: &[Value]) {
        let mut hasher = Sha256Hasher::default();
        for value in row {
            let (kind, bytes) = match value {
                Value::Int(value) => (0, value.map(|value| value.to_le_bytes().to_vec())),
                Value::Text(value) => (1, value.as_ref().map(|value| value.clone().into_bytes())),
                Value::Bytes(value) => (2, value.clone()),
            };
            let length = bytes.as_ref().map_or(u64::MAX, |bytes| bytes.len() as u64);
            hasher.update(&[kind]);
            hasher.update(&length.to_le_bytes());
            hasher.update(&bytes.unwrap_or_default());
        }
        let hash = hasher.finish().0;
        let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(u64::from_le_bytes(*first));
    }
}

impl crate::Archive {
    /// All that the catalogue holds, in a few numbers: for tests that nothing changed.
    #[cfg(any(test, feature = "testing"))]
    pub async fn fingerprint(&self) -> Vec<(String, u64, u64)> {
        let mut tx = self.db.begin().await.expect("begin a transaction");
        let mut sums = Vec::new();
        for table in list_tables(&self.db).await.expect("list the tables") {
            let sum = sum(&mut tx, &table).await.expect("read a table");
            sums.push((table.name, sum.rows, sum.hashes));
        }
        sums
    }
}

async fn sum(tx: &mut Tx, table: &Table) -> Result<Sum> {
    let (mut after, mut sum) = (None, Sum::default());
    loop {
        let rows = next_batch(tx, table, after.as_deref()).await?;
        let Some(last) = rows.last() else { return Ok(sum) };
        after = Some(table.key_of(last));
        rows.iter().for_each(|row| sum.add(row));
    }
}

/// The rows behind that key.
async fn next_batch(tx: &mut Tx, table: &Table, after: Option<&[Value]>) -> Result<Vec<Vec<Value>>> {
    let (columns, key) = (table.column_names().join(", "), table.key_names().join(", "));
    let beyond = after.map_or_else(String::new, |after| format!("WHERE ({key}) > ({})", places(1, after.len())));
    let sql = format!("SELECT {columns} FROM {} {beyond} ORDER BY {key} LIMIT {}", table.name, table.batch());
    let rows = tx.fetch_all(sql, after.map(<[Value]>::to_vec).unwrap_or_default()).await?;
    rows.iter().map(|row| values_of(table, row)).collect()
}

fn values_of(table: &Table, row: &Row) -> Result<Vec<Value>> {
    table.columns.iter().enumerate().map(|(n, column)| row.value(n, column.kind)).collect()
}

async fn insert(to: &mut Tx, table: &Table, rows: Vec<Vec<Value>>) -> Result<()> {
    let width = table.columns.len();
    let places: Vec<String> = (0..rows.len()).map(|n| format!("({})", places(n * width + 1, width))).collect();
    let (columns, places) = (table.column_names().join(", "), places.join(", "));
    let sql = format!("INSERT INTO {} ({columns}) VALUES {places}", table.name);
    to.execute(sql, rows.into_iter().flatten().collect()).await?;
    Ok(())
}

/// `$first, $first+1 …`, that many.
fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

impl Table {
    fn batch(&self) -> usize {
        (BATCH_VALUES / self.columns.len().max(1)).clamp(1, BATCH_ROWS)
    }
}

#[cfg(test)]
mod tests;
