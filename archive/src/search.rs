//! Searching: the one place where a statement is put together, from literals and parameter numbers.
//!
//! Pages are sought (`(started_at, id)` beyond the last one seen), never counted, so page 1,000 costs what page 1 does.

use std::fmt;
use std::str::FromStr;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Value, params};
use crate::error::{Error, Result};
use crate::id::{CoreServerId, PbxId, RecordingId};
use crate::recording::{RECORDING_COLUMNS, Recording};
use crate::scope::Scope;
use crate::words::{Direction, Leg};

/// The most that one page holds.
const MAX_PAGE: u32 = 1000;

/// What to search for; everything that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Of this PBX.
    pub pbx: Option<PbxId>,
    /// By this core server.
    pub core_server: Option<CoreServerId>,
    /// Begun at or after.
    pub from: Option<Instant>,
    /// Begun before.
    pub until: Option<Instant>,
    /// This number called, or was called.
    pub number: Option<String>,
    /// This number called.
    pub caller: Option<String>,
    /// This number was called.
    pub callee: Option<String>,
    /// Which way the call went.
    pub direction: Option<Direction>,
    /// Which side of the call.
    pub leg: Option<Leg>,
    /// The core server's own name for the call.
    pub call_ref: Option<String>,
    /// At least this long.
    pub min_duration_ms: Option<u64>,
    /// At most this long.
    pub max_duration_ms: Option<u64>,
    /// Newest or oldest first.
    pub order: Order,
}

/// Which end of time a page begins at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    #[default]
    NewestFirst,
    /// Oldest first.
    OldestFirst,
}

/// The place after the last recording of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    started_at: Instant,
    id: RecordingId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.started_at.millis(), self.id)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::Invalid("cursor is not one that a list has answered with".to_owned());
        let (millis, id) = text.rsplit_once('-').ok_or_else(invalid)?;
        Ok(Self {
            started_at: Instant::from_millis(millis.parse().map_err(|_| invalid())?),
            id: id.parse().map_err(|_| invalid())?,
        })
    }
}

/// One page of recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The recordings.
    pub items: Vec<Recording>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<Cursor>,
}

impl Archive {
    /// One page of the visible recordings that the scope reaches and the search fits.
    pub async fn search(&self, scope: Scope, search: &Search, after: Option<Cursor>, limit: u32) -> Result<Page> {
        let limit = limit.clamp(1, MAX_PAGE);
        let (sql, params) = statement(scope, search, after, limit);
        let rows = self.db.fetch_all(sql, params).await?;
        let mut items = rows.iter().map(Recording::from_row).collect::<Result<Vec<_>>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(|last| Cursor { started_at: last.started_at, id: last.id });
        Ok(Page { items, next })
    }

    /// Does the scope reach any visible recording begun at or after `from` and before `until`?
    pub async fn has_recordings(&self, scope: Scope, from: Instant, until: Instant) -> Result<bool> {
        let mut params = params![from, until];
        let condition = scope.condition(&mut params);
        let sql = format!(
            "SELECT 1 AS one
             FROM recordings
             WHERE state = 'archived' AND started_at >= $1 AND started_at < $2 AND {condition}
             LIMIT 1"
        );
        Ok(self.db.fetch_optional(sql, params).await?.is_some())
    }
}

fn statement(scope: Scope, search: &Search, after: Option<Cursor>, limit: u32) -> (String, Vec<Value>) {
    let mut params = params![];
    let mut sql = format!(
        "SELECT {RECORDING_COLUMNS} FROM recordings WHERE state = 'archived' AND {}",
        scope.condition(&mut params)
    );
    let mut and = |template: &str, value: Value| {
        params.push(value);
        sql.push_str(" AND ");
        sql.push_str(&template.replace('?', &format!("${}", params.len())));
    };
    if let Some(pbx) = search.pbx {
        and("pbx_id = ?", pbx.into());
    }
    if let Some(core_server) = search.core_server {
        and("core_server_id = ?", core_server.into());
    }
    if let Some(from) = search.from {
        and("started_at >= ?", from.into());
    }
    if let Some(until) = search.until {
        and("started_at < ?", until.into());
    }
    if let Some(number) = &search.number {
        and("(caller = ? OR callee = ?)", number.into());
    }
    if let Some(caller) = &search.caller {
        and("caller = ?", caller.into());
    }
    if let Some(callee) = &search.callee {
        and("callee = ?", callee.into());
    }
    if let Some(direction) = search.direction {
        and("direction = ?", direction.into());
    }
    if let Some(leg) = search.leg {
        and("leg = ?", leg.into());
    }
    if let Some(call_ref) = &search.call_ref {
        and("call_ref = ?", call_ref.into());
    }
    if let Some(min) = search.min_duration_ms {
        and("duration_ms >= ?", min.into());
    }
    if let Some(max) = search.max_duration_ms {
        and("duration_ms <= ?", max.into());
    }
    let (beyond, direction) = match search.order {
        Order::NewestFirst => ("<", "DESC"),
        Order::OldestFirst => (">", "ASC"),
    };
    if let Some(Cursor { started_at, id }) = after {
        params.extend(params![started_at, id]);
        let n = params.len();
        sql.push_str(&format!(" AND (started_at, id) {beyond} (${}, ${n})", n - 1));
    }
    // One more than asked tells whether there is a next page.
    sql.push_str(&format!(" ORDER BY started_at {direction}, id {direction} LIMIT {}", limit + 1));
    (sql, params)
}
