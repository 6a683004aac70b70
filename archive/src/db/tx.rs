//! A transaction: short, and never open while bytes move.

use futures_util::stream::{BoxStream, StreamExt};
use sqlx::{Postgres, Sqlite, Transaction};

use super::{Row, Sql, Value, query};
use crate::error::{Error, Result};

/// An open transaction; dropped without [`Tx::commit`], it is undone.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    pub(crate) async fn fetch_all(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = sql.into().noted(&params).0;
        Ok(match self {
            Self::Sqlite(tx) => Row::sqlite(query!(sql, params).fetch_all(&mut **tx).await?),
            Self::Postgres(tx) => Row::postgres(query!(sql, params).fetch_all(&mut **tx).await?),
        })
    }

    pub(crate) async fn fetch_optional(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<Option<Row>> {
        let sql = sql.into().noted(&params).0;
        Ok(match self {
            Self::Sqlite(tx) => query!(sql, params).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
            Self::Postgres(tx) => query!(sql, params).fetch_optional(&mut **tx).await?.map(Row::Postgres),
        })
    }

    /// The rows of a SELECT, one after the other: for tables that no memory holds.
    pub(crate) fn stream(&mut self, sql: impl Into<Sql>) -> BoxStream<'_, Result<Row>> {
        let sql = sql.into().0;
        match self {
            Self::Sqlite(tx) => {
                sqlx::query(sql).fetch(&mut **tx).map(|row| row.map(Row::Sqlite).map_err(Error::from)).boxed()
            }
            Self::Postgres(tx) => {
                sqlx::query(sql).fetch(&mut **tx).map(|row| row.map(Row::Postgres).map_err(Error::from)).boxed()
            }
        }
    }

    /// One statement; says how many rows it touched.
    pub(crate) async fn execute(&mut self, sql: impl Into<Sql>, params: Vec<Value>) -> Result<u64> {
        let sql = sql.into().noted(&params).0;
        Ok(match self {
            Self::Sqlite(tx) => query!(sql, params).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => query!(sql, params).execute(&mut **tx).await?.rows_affected(),
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
