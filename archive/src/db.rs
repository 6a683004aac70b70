//! The catalogue's database: SQLite or PostgreSQL behind one small interface, so that every statement is written once.
//!
//! Statements use `$1`, `$2` … on both engines and only numbers (BIGINT), texts and bytes: what both mean the same by. SQLite has one writer connection whose transactions begin IMMEDIATE (a deferred one that reads and then
//! writes fails as busy, and no time-out cures that) and `synchronous=FULL`; a PostgreSQL that does not wait for its
//! disk is refused.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, Postgres, SqlSafeStr, Transaction};

use crate::clock::Instant;
use crate::error::{Error, Result};
use crate::fail::{Operation, fail_point};

#[cfg(test)]
pub(crate) mod plans;
mod row;
pub(crate) mod schema;
#[cfg(test)]
mod tests;
mod tx;
mod value;
mod writer;

pub(crate) use row::{Column, Row};
pub(crate) use tx::Tx;
pub(crate) use value::{Kind, Value};
use writer::Writer;

/// Connections unless the configuration says otherwise: of an SQLite catalogue the readers beside the one writer.
const SQLITE_CONNECTIONS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long to wait for a free connection before the call fails as transient.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// An open database.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    Sqlite { writer: Writer, reader: SqlitePool },
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
    /// Opens `url` (`sqlite:PATH` or `postgres://…`) with that many connections and brings its schema up to date.
    pub(crate) async fn open(url: &str, connections: Option<u32>) -> Result<Self> {
        Self::open_knowing(url, connections, schema::MIGRATIONS).await
    }

    /// As [`Db::open`], as the program that knew these migrations.
    async fn open_knowing(
        url: &str,
        connections: Option<u32>,
        known: &[(i64, &'static str, &'static str)],
    ) -> Result<Self> {
        let db = Self::connect(url, connections).await?;
        schema::migrate(&db, known).await?;
        Ok(db)
    }

    /// Opens `url` as it is.
    pub(crate) async fn connect(url: &str, connections: Option<u32>) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = Path::new(path.trim_start_matches("//"));
            Self::open_sqlite(path, connections.unwrap_or(SQLITE_CONNECTIONS))
                .await
                .map_err(|error| explain_sqlite(path, error))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Self::open_postgres(url, connections.unwrap_or(POSTGRES_CONNECTIONS)).await
        } else {
            Err(Error::Invalid("database url must begin with \"sqlite:\" or \"postgres://\"".to_owned()))
        }
    }

    async fn open_sqlite(path: &Path, connections: u32) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let writer = Writer::new(options.clone());
        // A file that can only be read opens all the same, and begins transactions: better known now than at the first
        // recording.
        let mut connection = writer.connect().await?;
        let mut probe = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("CREATE TABLE can_be_written (one BIGINT)").execute(&mut *probe).await?;
        probe.rollback().await?;
        connection.close().await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.read_only(true).create_if_missing(false));
        Ok(Self::Sqlite { writer, reader })
    }

    async fn open_postgres(url: &str, connections: u32) -> Result<Self> {
        let pool =
            PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT).connect(url).await?;
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

    /// One page, in that order, of what several SELECTs have between them, each of which an index gives in that order.
    ///
    /// SQLite merges them as they are. PostgreSQL does so only if each is a page itself: else it may find that reading all
    /// of them and sorting is no more work, and on a grown catalogue that is a mistake.
    pub(crate) fn merge(&self, arms: &[String], order: &str, limit: u32) -> String {
        let end = format!("ORDER BY {order} LIMIT {limit}");
        match (self, arms) {
            (Self::Sqlite { .. }, _) | (_, [_]) => format!("{} {end}", arms.join(" UNION ALL ")),
            (Self::Postgres(_), _) => {
                let pages: Vec<String> = arms.iter().map(|arm| format!("({arm} {end})")).collect();
                format!("{} {end}", pages.join(" UNION ALL "))
            }
        }
    }

    /// The database's own clock, by which leases run on every instance alike.
    pub(crate) async fn now(&self) -> Result<Instant> {
        self.fetch_one(format!("SELECT {} AS now", self.now_sql()), params![]).await?.get("now")
    }

    /// That clock within a statement, in milliseconds: spares asking for it before.
    pub(crate) fn now_sql(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
            Self::Postgres(_) => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        }
    }

    /// All rows of a SELECT, from a reader.
    pub(crate) async fn fetch_all(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into().noted(&params)?.0;
        Ok(match self {
            Self::Sqlite { reader, .. } => Row::sqlite(query!(sql, params).fetch_all(reader).await?),
            Self::Postgres(pool) => Row::postgres(query!(sql, params).fetch_all(pool).await?),
        })
    }

    /// The first row of a SELECT, if there is one.
    pub(crate) async fn fetch_optional(&self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Option<Row>> {
        let sql = sql.into().noted(&params)?.0;
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
        match self {
            Self::Sqlite { .. } => {
                let mut tx = self.begin().await?;
                let touched = tx.execute(sql, params).await?;
                tx.commit().await?;
                Ok(touched)
            }
            Self::Postgres(pool) => {
                let sql = sql.into().noted(&params)?.0;
                let touched = query!(sql, params).execute(pool).await?.rows_affected();
                come_by(Operation::StatementAnswer)?;
                Ok(touched)
            }
        }
    }

    /// One statement that must change exactly one row, which it names by its key: the guard of a state change that is no
    /// part of a larger one.
    ///
    /// # Errors
    /// [`Error::Conflict`] with `what` when the row was not in the state that the statement expects.
    pub(crate) async fn change_one(&self, what: &'static str, sql: impl Into<Sql>, params: Vec<Value>) -> Result<()> {
        match self.execute(sql, params).await? {
            1 => Ok(()),
            _ => Err(Error::Conflict(what)),
        }
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self) -> Result<Tx> {
        come_by(Operation::Statement)?;
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin().await?),
            Self::Postgres(pool) => Tx::Postgres(begin_whole(pool, "BEGIN").await?),
        })
    }

    /// Begins a transaction that only reads, and sees the catalogue as it is now until it ends.
    pub(crate) async fn begin_snapshot(&self) -> Result<Tx> {
        come_by(Operation::Statement)?;
        Ok(match self {
            // A deferred one: what it sees is fixed by its first read.
            Self::Sqlite { reader, .. } => Tx::SqliteSnapshot(reader.begin().await?),
            Self::Postgres(pool) => {
                Tx::Postgres(begin_whole(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
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

/// Begins a transaction, also where nobody waits for it any longer: then it is undone at once. sqlx 0.9 knows of a
/// transaction only when its BEGIN was answered. Given up before that, its connection would go back to the pool with a
/// transaction open that nobody ends: what others then commit on it would be told as committed, and might never be.
async fn begin_whole(pool: &PgPool, begin: &'static str) -> Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    #[expect(clippy::disallowed_methods, reason = "it ends with one answer; closing the pool waits for its connection")]
    let begun = tokio::spawn(async move { pool.begin_with(begin).await });
    Ok(begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))?)
}

/// Fails when a test has this operation fail: as a connection does that breaks.
fn come_by(operation: Operation) -> Result<()> {
    fail_point(operation).map_err(|error| Error::Catalogue(sqlx::Error::Io(error)))
}

/// Says what is wrong with the file, where SQLite's words alone would leave one guessing.
fn explain_sqlite(path: &Path, error: Error) -> Error {
    let Error::Catalogue(sqlx::Error::Database(database)) = &error else { return error };
    let path = path.display();
    // The lowest byte of SQLite's code tells the kind.
    match database.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
        Some(8) => Error::Invalid(format!(
            "the catalogue {path} can only be read: let the user that Fonoteca runs as write to it and its directory"
        )),
        Some(11 | 26) => Error::Invalid(format!(
            "the catalogue {path} is damaged or no catalogue: keep a copy of it, and bring back the newest backup"
        )),
        Some(14) => Error::Invalid(format!("the catalogue {path} cannot be opened: {database}")),
        _ => error,
    }
}

/// Test databases run without fsync, for speed; nothing else may.
fn permit_unsafe_postgres() -> bool {
    cfg!(any(test, feature = "testing"))
}

/// A statement: a literal, or one that the search builder put together from literals.
pub(crate) struct Sql(pub(crate) sqlx::SqlStr);

impl Sql {
    /// Tests look at how the engine goes about each statement, and have some fail.
    pub(crate) fn noted(self, params: &[Value]) -> Result<Self> {
        #[cfg(test)]
        plans::note(self.0.as_str(), params);
        #[cfg(not(test))]
        let _ = params;
        come_by(Operation::Statement)?;
        Ok(self)
    }
}

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
