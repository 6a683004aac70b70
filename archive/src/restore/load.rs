//! Loading rows into an empty catalogue, and what is settled once they are in.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use flate2::read::GzDecoder;
use serde_json::Value as Json;

use super::choose::{Chosen, damaged};
use crate::backup::{Kind, directory, tables, value_from_json};
use crate::clock::Instant;
use crate::db::{Db, Tx, Value, params};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{CatalogueId, PbxId};
use crate::stores::Store;
use crate::usage::add_audio_that_differs;

/// Rows entered by one statement.
const ROWS_AT_ONCE: usize = 50;

/// The columns of every table that is backed up.
pub(super) struct Schema(HashMap<String, Vec<(String, Kind)>>);

impl Schema {
    pub(super) async fn read(db: &Db) -> Result<Self> {
        let sql = match db.engine() {
            "sqlite" => {
                "SELECT m.name AS table_name, c.name AS column_name, c.type AS kind
                 FROM sqlite_master m
                 JOIN pragma_table_info(m.name) c
                 WHERE m.type = 'table'"
            }
            _ => {
                "SELECT CAST(table_name AS TEXT) AS table_name, CAST(column_name AS TEXT) AS column_name,
                     CAST(data_type AS TEXT) AS kind
                 FROM information_schema.columns
                 WHERE table_schema = current_schema()"
            }
        };
        let mut schema: HashMap<String, Vec<(String, Kind)>> = HashMap::new();
        for row in db.fetch_all(sql, params![]).await? {
            let table: String = row.get("table_name")?;
            if tables().any(|known| known == table) {
                let kind = Kind::of(&row.get::<String>("kind")?)?;
                schema.entry(table).or_default().push((row.get("column_name")?, kind));
            }
        }
        Ok(Self(schema))
    }

    /// The kinds of the named columns.
    ///
    /// # Errors
    /// [`Error::Integrity`] when the catalogue has no such table or column: then what is read is no backup of ours.
    fn kinds(&self, table: &str, columns: &[String]) -> Result<Vec<Kind>> {
        let known = self.0.get(table).ok_or_else(|| Error::integrity("backup", table, "is no table of a catalogue"))?;
        let kind = |column: &String| known.iter().find(|(name, _)| name == column).map(|(_, kind)| *kind);
        columns
            .iter()
            .map(|column| kind(column).ok_or_else(|| Error::integrity("backup", column, "is no column of its table")))
            .collect()
    }

    /// Enters rows; `conflict` says what becomes of one that is there.
    pub(super) async fn insert(
        &self,
        tx: &mut Tx,
        table: &str,
        columns: &[String],
        rows: &[Json],
        conflict: &str,
    ) -> Result<u64> {
        let kinds = self.kinds(table, columns)?;
        let mut entered = 0;
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let (mut params, mut places) = (Vec::<Value>::new(), Vec::new());
            for row in rows {
                let values = row.as_array().filter(|values| values.len() == kinds.len());
                let values = values.ok_or_else(|| Error::integrity("backup", table, "has a row of another width"))?;
                let from = params.len() + 1;
                for (value, kind) in values.iter().zip(&kinds) {
                    params.push(value_from_json(value, *kind)?);
                }
                let numbers: Vec<String> = (from..=params.len()).map(|n| format!("${n}")).collect();
                places.push(format!("({})", numbers.join(", ")));
            }
            let (columns, places) = (columns.join(", "), places.join(", "));
            let sql = format!("INSERT INTO {table} ({columns}) VALUES {places} {conflict}");
            entered += tx.execute(sql, params).await?;
        }
        Ok(entered)
    }
}

/// Refuses a catalogue that has anything in it.
pub(super) async fn refuse_what_is_not_empty(db: &Db) -> Result<()> {
    for table in tables() {
        if db.fetch_optional(format!("SELECT 1 AS one FROM {table} LIMIT 1"), params![]).await?.is_some() {
            return Err(Error::Invalid(format!(
                "the catalogue is not empty (it has {table}): a restore goes into an empty one only"
            )));
        }
    }
    Ok(())
}

/// Loads every part of the backup; says how many rows that were.
pub(super) async fn load_backup(db: &Db, tx: &mut Tx, from: CatalogueId, chosen: &Chosen) -> Result<u64> {
    let schema = Schema::read(db).await?;
    let mut rows = 0;
    for part in &chosen.manifest.parts {
        let broken = || damaged(chosen.id, &part.name, chosen.before);
        let bytes = chosen.store.read_bytes(&format!("{}{}", directory(from, chosen.id), part.name)).await?;
        let bytes = bytes.ok_or_else(broken)?;
        if Sha256::of(&bytes).to_string() != part.sha256 {
            return Err(broken());
        }
        let entered = load_part(&schema, tx, &part.table, &bytes).await?;
        if entered != part.rows {
            return Err(broken());
        }
        rows += entered;
        tracing::info!("restored {rows} of {} rows", chosen.manifest.rows);
    }
    Ok(rows)
}

async fn load_part(schema: &Schema, tx: &mut Tx, table: &str, bytes: &[u8]) -> Result<u64> {
    let mut lines = BufReader::new(GzDecoder::new(bytes)).lines();
    let mut next = || -> Result<Option<Json>> {
        let Some(line) = lines.next() else { return Ok(None) };
        let line = line.map_err(Error::io("decompress a backup"))?;
        serde_json::from_str(&line).map(Some).map_err(|error| Error::integrity("backup", table, error.to_string()))
    };
    let head = next()?.unwrap_or_default();
    let columns = head["columns"].as_array().into_iter().flatten();
    let columns: Vec<String> = columns.filter_map(|column| column.as_str().map(str::to_owned)).collect();
    let (mut entered, mut rows) = (0, Vec::new());
    loop {
        let row = next()?;
        let is_last = row.is_none();
        rows.extend(row);
        if is_last || rows.len() == ROWS_AT_ONCE {
            entered += schema.insert(tx, table, &columns, &rows, "").await?;
            rows.clear();
        }
        if is_last {
            return Ok(entered);
        }
    }
}

/// What is not as it was: the catalogue's own id, the stores at hand, and the landing zones, which are gone.
pub(super) async fn settle(tx: &mut Tx, catalogue: CatalogueId, stores: &[Arc<Store>], now: Instant) -> Result<()> {
    tx.execute("DELETE FROM catalogue", params![]).await?;
    tx.execute("INSERT INTO catalogue (one, id, created_at) VALUES (1, $1, $2)", params![catalogue, now]).await?;
    for store in stores {
        // Another store had that name once.
        let sql = "UPDATE stores SET name = name || ' before ' || $1 WHERE name = $2 AND id <> $3";
        tx.execute(sql, params![store.id().to_string(), store.name(), store.id()]).await?;
        tx.execute(
            "INSERT INTO stores (id, name, created_at) VALUES ($1, $2, $3)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            params![store.id(), store.name(), now],
        )
        .await?;
    }
    tx.execute(
        "UPDATE sources
         SET state = 'discovered', sha256 = NULL, lease_until = 0, fence = fence + 1
         WHERE state = 'spooled'",
        params![],
    )
    .await?;
    Ok(())
}

/// Programs that do not know former terms would let go what is kept by them.
pub(super) async fn keep_out_who_does_not_know_the_rules(tx: &mut Tx) -> Result<()> {
    tx.execute(
        "UPDATE compatibility SET compatible_from = $1
         WHERE compatible_from < $1 AND EXISTS (SELECT 1 FROM former_terms)",
        params![crate::declaration::KNOWS_FORMER_TERMS],
    )
    .await?;
    Ok(())
}

/// Makes usage the sum of what there is.
pub(super) async fn count_usage_anew(tx: &mut Tx) -> Result<()> {
    tx.execute("DELETE FROM usage", params![]).await?;
    tx.execute(
        "INSERT INTO usage (pbx_id, tier_id, store_id, class, tenant_id, recordings, audio_ms, stored_bytes)
         SELECT pbx_id, tier_id, store_id, class,
                COALESCE((SELECT p.tenant_id FROM pbxs p WHERE p.id = counted.pbx_id), $1),
                count(*), SUM(duration_ms), SUM(size_bytes)
         FROM (
             SELECT COALESCE(r.pbx_id, $1) AS pbx_id, COALESCE(r.tier_id, $1) AS tier_id, o.store_id AS store_id,
                    CASE WHEN r.state = 'expired' THEN 'grace' WHEN r.guarded = 1 THEN 'guarded' ELSE 'live' END AS class,
                    r.duration_ms AS duration_ms, o.size_bytes AS size_bytes
             FROM recordings r
             JOIN objects o ON o.recording_id = r.id AND o.state = 'live'
             WHERE r.state IN ('archived', 'expired')
         ) counted
         GROUP BY pbx_id, tier_id, store_id, class",
        params![PbxId::UNASSIGNED],
    )
    .await?;
    tx.execute("DELETE FROM usage_audio", params![]).await?;
    add_audio_that_differs(tx).await?;
    Ok(())
}
