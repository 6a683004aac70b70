//! How an engine goes about the archive's statements: they are noted as they run, then explained.

use std::cell::RefCell;

use super::{Db, Row, Value};
use crate::error::Result;

tokio::task_local! {
    static NOTED: RefCell<Vec<(String, Vec<Value>)>>;
}

/// Notes a statement, where somebody wants to know.
pub(super) fn note(sql: &str, params: &[Value]) {
    let _ = NOTED.try_with(|noted| noted.borrow_mut().push((sql.to_owned(), params.to_vec())));
}

/// Does the work; says what it ran.
pub(crate) async fn noting<T>(work: impl Future<Output = T>) -> (T, Vec<(String, Vec<Value>)>) {
    NOTED
        .scope(RefCell::default(), async {
            let done = work.await;
            (done, NOTED.with(RefCell::take))
        })
        .await
}

/// How the engine goes about a statement.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What it says, line by line.
    pub(crate) lines: Vec<String>,
    /// Rows that it read from tables and indexes, those that it threw away included. PostgreSQL counts them.
    pub(crate) rows_read: u64,
    /// Pages that it touched. PostgreSQL counts them.
    pub(crate) buffers: u64,
}

impl Plan {
    /// Tables that it reads from one end to the other, and not by an index.
    pub(crate) fn whole_tables(&self) -> Vec<&str> {
        let after = |line: &'_ str, word: &str| line.split_once(word).map(|(_, rest)| rest.to_owned());
        self.lines
            .iter()
            .filter(|line| {
                let sequential = after(line, "Seq Scan on ").is_some();
                // What the statement itself has put together is no table.
                let is_made = |it: &str| self.lines.iter().any(|line| line.strip_prefix("MATERIALIZE ") == Some(it));
                let scanned = line.strip_prefix("SCAN ").is_some_and(|it| !it.contains(" USING ") && !is_made(it));
                sequential || scanned
            })
            .map(String::as_str)
            .collect()
    }

    /// Does it sort, instead of reading in order?
    pub(crate) fn sorts(&self) -> bool {
        self.lines.iter().any(|line| line.contains("USE TEMP B-TREE"))
    }
}

/// Explains a statement. PostgreSQL carries it out to see what it costs, and undoes it.
pub(crate) async fn explain(db: &Db, sql: &str, params: Vec<Value>) -> Result<Plan> {
    let mut tx = db.begin().await?;
    let (prefix, column) = match db {
        Db::Sqlite { .. } => ("EXPLAIN QUERY PLAN ", "detail"),
        Db::Postgres(_) => ("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF) ", "QUERY PLAN"),
    };
    let rows = tx.fetch_all(format!("{prefix}{sql}"), params).await?;
    let lines = rows.iter().map(|row: &Row| row.get::<String>(column)).collect::<Result<Vec<_>>>()?;
    let mut plan = Plan { lines, ..Plan::default() };
    let (mut loops, mut buffers) = (0.0, None);
    for line in &plan.lines {
        let number = |word: &str| -> Option<f64> {
            let rest = line.split_once(word)?.1;
            rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?.parse().ok()
        };
        if let Some(times) = number(" loops=") {
            loops = times;
            if line.contains("Scan") && !line.contains("Subquery Scan") && !line.contains("Bitmap Index Scan") {
                plan.rows_read += (number("actual rows=").unwrap_or(0.0) * loops) as u64;
            }
        }
        if line.contains("Rows Removed by") {
            plan.rows_read += (number(": ").unwrap_or(0.0) * loops) as u64;
        }
        // The first line of buffers is that of the whole statement.
        if line.contains("Buffers:") && buffers.is_none() {
            buffers = Some((number("hit=").unwrap_or(0.0) + number("read=").unwrap_or(0.0)) as u64);
        }
    }
    plan.buffers = buffers.unwrap_or(0);
    drop(tx);
    Ok(plan)
}

mod grown;
mod tests;
