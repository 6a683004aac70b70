//! A transaction: short, and never open while bytes move.

use futures_util::stream::{BoxStream, StreamExt};
use sqlx::sqlite::SqliteConnection;
use sqlx::{PgConnection, Postgres, Sqlite, Transaction};

use super::writer::Member;
use super::{Row, Sql, Value, come_by, query};
use crate::error::{Error, Result};
use crate::fail::Operation;

/// An open transaction; dropped without [`Tx::commit`], it is undone.
pub(crate) enum Tx {
    Sqlite(Member),
    SqliteSnapshot(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// What it is open on.
enum On<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgres(&'a mut PgConnection),
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<()> {
        come_by(Operation::Statement)?;
        match self {
            Self::Sqlite(member) => member.commit().await?,
            Self::SqliteSnapshot(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        come_by(Operation::StatementAnswer)
    }

    fn on(&mut self) -> On<'_> {
        match self {
            Self::Sqlite(member) => On::Sqlite(member.connection()),
            Self::SqliteSnapshot(tx) => On::Sqlite(tx),
            Self::Postgres(tx) => On::Postgres(tx),
        }
    }

    pub(crate) async fn fetch_all(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into().noted(&params)?.0;
        Ok(match self.on() {
            On::Sqlite(connection) => Row::sqlite(query!(sql, params).fetch_all(connection).await?),
            On::Postgres(connection) => Row::postgres(query!(sql, params).fetch_all(connection).await?),
        })
    }

    pub(crate) async fn fetch_optional(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Option<Row>> {
        let sql = sql.into().noted(&params)?.0;
        Ok(match self.on() {
            On::Sqlite(connection) => query!(sql, params).fetch_optional(connection).await?.map(Row::Sqlite),
            On::Postgres(connection) => query!(sql, params).fetch_optional(connection).await?.map(Row::Postgres),
        })
    }

    /// The rows of a SELECT, one after the other: for tables that no memory holds.
    pub(crate) fn stream(&mut self, sql: impl Into<Sql>) -> BoxStream<'_, Result<Row>> {
        let sql = sql.into().0;
        match self.on() {
            On::Sqlite(connection) => {
                sqlx::query(sql).fetch(connection).map(|row| row.map(Row::Sqlite).map_err(Error::from)).boxed()
            }
            On::Postgres(connection) => {
                sqlx::query(sql).fetch(connection).map(|row| row.map(Row::Postgres).map_err(Error::from)).boxed()
            }
        }
    }

    /// One statement; says how many rows it touched.
    pub(crate) async fn execute(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<u64> {
        let sql = sql.into().noted(&params)?.0;
        Ok(match self.on() {
            On::Sqlite(connection) => query!(sql, params).execute(connection).await?.rows_affected(),
            On::Postgres(connection) => query!(sql, params).execute(connection).await?.rows_affected(),
        })
    }

    /// One statement that must change exactly one row: the guard of every state change.
    ///
    /// # Errors
    /// [`Error::Conflict`] with `what` when the row was not in the state that the statement expects.
    pub(crate) async fn change_one(
        &mut self,
        what: &'static str,
        sql: impl Into<Sql>,
        params: Vec<Value>,
    ) -> Result<()> {
        match self.execute(sql, params).await? {
            1 => Ok(()),
            _ => Err(Error::Conflict(what)),
        }
    }
}
