//! The catalogue's database: SQLite or PostgreSQL behind one small interface, so that every statement is written once.
//!
//! Statements use `$1`, `$2` … on both engines and only numbers (BIGINT), texts and bytes: what both mean the same by. SQLite has one writer connection whose transactions begin IMMEDIATE (a deferred one that reads and then
//! writes fails as busy, and no time-out cures that) and `synchronous=FULL`; a PostgreSQL that does not wait for its
//! disk is refused.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::clock::Instant;
use crate::error::{Error, Result};

mod row;
mod tx;
mod value;

pub(crate) use row::{Column, Row};
pub(crate) use tx::Tx;
pub(crate) use value::Value;

/// Readers of an SQLite catalogue: connections beside the one writer.
const SQLITE_READERS: u32 = 4;
/// Connections to a PostgreSQL catalogue.
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long to wait for a free connection before the call fails as transient.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// An open database.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    Sqlite { writer: SqlitePool, reader: SqlitePool },
    Postgres(PgPool),
}

/// The same statement with its parameters bound, whichever engine it is for.
macro_rules! query {
    ($sql:expr, $params:expr) => {{
        let mut query = sqlx::query($sql);
        for param in $params {
            query = match param {
                $crate::db::Value::Int(value) => query.bind(value),
                $crate::db::Value::Text(value) => query.bind(value),
                $crate::db::Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}
pub(crate) use query;

/// The parameters of a statement, each converted to a [`Value`].
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use params;

impl Db {
    /// Opens `url` (`sqlite:PATH` or `postgres://…`) and brings its schema up to date.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let db = if let Some(path) = url.strip_prefix("sqlite:") {
            Self::open_sqlite(Path::new(path.trim_start_matches("//"))).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::open_postgres(url).await?
        } else {
            return Err(Error::Invalid("database url must begin with \"sqlite:\" or \"postgres://\"".to_owned()));
        };
        db.migrate().await?;
        Ok(db)
    }

    async fn open_sqlite(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.clone())
            .await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self::Sqlite { writer, reader })
    }

    async fn open_postgres(url: &str) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect(url)
            .await?;
        let db = Self::Postgres(pool);
        for setting in ["fsync", "synchronous_commit"] {
            let row = db.fetch_one("SELECT current_setting($1) AS value", params![setting]).await?;
            let value: String = row.get("value")?;
            if value == "off" && !permit_unsafe_postgres() {
                return Err(Error::Invalid(format!(
                    "this PostgreSQL runs with {setting}=off and would lose what it has acknowledged: set {setting}=on"
                )));
            }
        }
        Ok(db)
    }

    async fn migrate(&self) -> Result<()> {
        let texts = [
            (1, "first", include_str!("../migrations/0001_first.sql")),
            (2, "stores", include_str!("../migrations/0002_stores.sql")),
            (3, "copies", include_str!("../migrations/0003_copies.sql")),
        ];
        let migrations: Vec<Migration> = texts
            .into_iter()
            .map(|(number, name, sql)| {
                Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
            })
            .collect();
        let migrator = Migrator { migrations: migrations.into(), ..Migrator::DEFAULT };
        match self {
            Self::Sqlite { writer, .. } => migrator.run(writer).await,
            Self::Postgres(pool) => migrator.run(pool).await,
        }
        .map_err(Error::Migration)
    }

    /// `sqlite` or `postgres`.
    pub(crate) fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// What a claiming subselect ends with, so that claimants do not wait for one another where several can write.
    pub(crate) fn skip_locked(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "",
            Self::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// What a read ends with whose rows must stay as they are until the transaction ends, where others can write meanwhile.
    pub(crate) fn for_share(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "",
            Self::Postgres(_) => " FOR SHARE",
        }
    }

    /// The database's own clock, by which leases run on every instance alike.
    pub(crate) async fn now(&self) -> Result<Instant> {
        let sql = match self {
            Self::Sqlite { .. } => "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS now",
            Self::Postgres(_) => "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now",
        };
        self.fetch_one(sql, params![]).await?.get("now")
    }

    /// All rows of a SELECT, from a reader.
    pub(crate) async fn fetch_all(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into().0;
        Ok(match self {
            Self::Sqlite { reader, .. } => Row::sqlite(query!(sql, params).fetch_all(reader).await?),
            Self::Postgres(pool) => Row::postgres(query!(sql, params).fetch_all(pool).await?),
        })
    }

    /// The first row of a SELECT, if there is one.
    pub(crate) async fn fetch_optional(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Option<Row>> {
        let sql = sql.into().0;
        Ok(match self {
            Self::Sqlite { reader, .. } => query!(sql, params).fetch_optional(reader).await?.map(Row::Sqlite),
            Self::Postgres(pool) => query!(sql, params).fetch_optional(pool).await?.map(Row::Postgres),
        })
    }

    /// The row of a SELECT that always has one.
    pub(crate) async fn fetch_one(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Row> {
        self.fetch_optional(sql, params).await?.ok_or(Error::Catalogue(sqlx::Error::RowNotFound))
    }

    /// One statement that changes something; says how many rows it touched.
    pub(crate) async fn execute(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<u64> {
        let sql = sql.into().0;
        Ok(match self {
            Self::Sqlite { writer, .. } => query!(sql, params).execute(writer).await?.rows_affected(),
            Self::Postgres(pool) => query!(sql, params).execute(pool).await?.rows_affected(),
        })
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, reader } => {
                reader.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Test databases run without fsync, for speed; nothing else may.
fn permit_unsafe_postgres() -> bool {
    cfg!(any(test, feature = "testing"))
}

/// A statement: a literal, or one that the search builder put together from literals.
pub(crate) struct Sql(pub(crate) sqlx::SqlStr);

impl From<&'static str> for Sql {
    fn from(sql: &'static str) -> Self {
        Self(sql.into_sql_str())
    }
}

impl From<String> for Sql {
    /// Callers build such text from their own literals and parameter numbers only.
    fn from(sql: String) -> Self {
        Self(AssertSqlSafe(sql).into_sql_str())
    }
}
