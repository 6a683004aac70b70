//! The schema: its migrations, and which programs may work on a catalogue.
//!
//! Migrations expand, backfill, contract: one that only adds (tables, indexes, columns that may be NULL or have a
//! default) lets the program before it run on, so instances are replaced one by one and an upgrade can be taken back. One
//! that takes something away says so in its first line (`-- contract`) and raises `compatible_from`, which refuses
//! programs that are older.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, SqlSafeStr};

use super::{Db, Row, Tx, params};
use crate::clock::Instant;
use crate::error::{Error, Result};

/// Every migration: number, name, text.
pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (2, "stores", include_str!("../../migrations/0002_stores.sql")),
    (3, "copies", include_str!("../../migrations/0003_copies.sql")),
    (4, "recovery", include_str!("../../migrations/0004_recovery.sql")),
    (5, "scale", include_str!("../../migrations/0005_scale.sql")),
    (6, "levels", include_str!("../../migrations/0006_levels.sql")),
];

/// Brings the schema up to date, for a program that knows `known` migrations.
///
/// # Errors
/// [`Error::Invalid`] when the catalogue needs a newer program; [`Error::Moved`] when it is at another database.
pub(super) async fn migrate(db: &Db, known: &[(i64, &'static str, &'static str)]) -> Result<()> {
    check(db, known).await?;
    let migrations = known.iter().map(|(number, name, text)| {
        Migration::new(*number, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    // What a newer program has added is not ours to know: `check` has found that we may work beside it.
    let migrator = Migrator { migrations: migrations.collect(), ignore_missing: true, ..Migrator::DEFAULT };
    let run = async || match db {
        Db::Sqlite { writer, .. } => {
            let mut connection = writer.connect().await?;
            let run = migrator.run(&mut connection).await;
            connection.close().await?;
            run.map_err(Error::Migration)
        }
        Db::Postgres(pool) => migrator.run(pool).await.map_err(Error::Migration),
    };
    // Two that start at the same moment may get in each other's way once: SQLite has no lock for this.
    if run().await.is_err() {
        run().await?;
    }
    advise_planner(db).await
}

/// Tells PostgreSQL's planner that a PBX says whose it is: else it takes the two conditions for independent, expects a few
/// rows where there are thousands, and sorts them all. SQLite has nothing of the kind, so this is no migration.
async fn advise_planner(db: &Db) -> Result<()> {
    if let Db::Sqlite { .. } = db {
        return Ok(());
    }
    let is_advised = async || {
        let sql = "SELECT 1 AS one
                   FROM pg_statistic_ext
                   WHERE stxname = 'recordings_of_pbxs' AND stxnamespace = CAST(current_schema() AS REGNAMESPACE)";
        db.fetch_optional(sql, params![]).await.map(|row| row.is_some())
    };
    if is_advised().await? {
        return Ok(());
    }
    let sql = "CREATE STATISTICS recordings_of_pbxs (dependencies) ON tenant_id, pbx_id FROM recordings";
    match db.execute(sql, params![]).await {
        // Another instance that starts at the same moment.
        Err(error) if !is_advised().await? => Err(error),
        _ => Ok(()),
    }
}

/// May a program that knows these migrations work on this catalogue?
async fn check(db: &Db, known: &[(i64, &'static str, &'static str)]) -> Result<()> {
    let newest = known.iter().map(|(number, ..)| *number).max().unwrap_or(0);
    if !has_table(db, "compatibility").await? {
        return Ok(());
    }
    let row = db.fetch_optional("SELECT compatible_from, moved_at FROM compatibility", params![]).await?;
    let Some(row) = row else { return Ok(()) };
    refuse_moved(&row)?;
    let needed: i64 = row.get("compatible_from")?;
    if needed > newest {
        return Err(Error::Invalid(format!(
            "this catalogue is of a newer Fonoteca: it needs one that knows migration {needed}, this one knows {newest}; \
             install the newer one"
        )));
    }
    Ok(())
}

/// Sees to it that the catalogue was not moved meanwhile, as the transaction sees it.
///
/// # Errors
/// [`Error::Moved`] when it was.
pub(crate) async fn check_not_moved(tx: &mut Tx) -> Result<()> {
    match tx.fetch_optional("SELECT moved_at FROM compatibility WHERE one = 1", params![]).await? {
        Some(row) => refuse_moved(&row),
        None => Ok(()),
    }
}

fn refuse_moved(row: &Row) -> Result<()> {
    match row.get::<Option<Instant>>("moved_at")? {
        None => Ok(()),
        Some(moved_at) => Err(Error::Moved(moved_at)),
    }
}

async fn has_table(db: &Db, table: &'static str) -> Result<bool> {
    let sql = match db {
        Db::Sqlite { .. } => "SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = $1",
        Db::Postgres(_) => {
            "SELECT 1 AS one FROM pg_tables WHERE schemaname = current_schema() AND tablename = CAST($1 AS TEXT)"
        }
    };
    Ok(db.fetch_optional(sql, params![table]).await?.is_some())
}

#[cfg(test)]
mod tests;
