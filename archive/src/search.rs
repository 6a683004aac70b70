//! Searching: the one place where a statement is put together, from literals and parameter numbers.
//!
//! Pages are sought (`(started_at, id)` beyond the last one seen), never counted, so page 1,000 costs what page 1 does.
//! Every statement is made of arms: each walks one index in the page's own order (a tenant's, a PBX's, a number's), and
//! the engine merges them, so that a reseller's page of many tenants costs a page and a step for each tenant. What no
//! index has (direction, leg, duration) is looked at on the way.

use std::fmt;
use std::str::FromStr;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Db, Value, params};
use crate::error::{Error, Result};
use crate::id::{CoreServerId, PbxId, RecordingId, ResellerId, TenantId};
use crate::recording::{RECORDING_COLUMNS, Recording};
use crate::scope::Scope;
use crate::words::{Direction, Leg};

/// The most that one page holds.
const MAX_PAGE: u32 = 1000;
/// Tenants asked for in one statement: SQLite takes 500 arms, and each must be planned.
const TENANTS: usize = 50;

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

#[cfg(test)]
impl Cursor {
    pub(crate) fn at(started_at: Instant, id: RecordingId) -> Self {
        Self { started_at, id }
    }
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
        let owners = match scope {
            Scope::Reseller(id) if search.pbx.is_none() => {
                self.tenants_of(id).await?.into_iter().map(Scope::Tenant).collect()
            }
            scope => vec![scope],
        };
        let mut items = Vec::new();
        for owners in owners.chunks(TENANTS) {
            let (sql, params) = statement(&self.db, owners, search, after, limit);
            let rows = self.db.fetch_all(sql, params).await?;
            items.extend(rows.iter().map(Recording::from_row).collect::<Result<Vec<_>>>()?);
        }
        if owners.len() > TENANTS {
            items.sort_by_key(|it| (it.started_at, it.id));
            if search.order == Order::NewestFirst {
                items.reverse();
            }
        }
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items.last().filter(|_| more).map(|last| Cursor { started_at: last.started_at, id: last.id });
        Ok(Page { items, next })
    }

    /// The reseller's tenants.
    pub(crate) async fn tenants_of(&self, reseller: ResellerId) -> Result<Vec<TenantId>> {
        let sql = "SELECT id FROM tenants WHERE reseller_id = $1";
        self.db.fetch_all(sql, params![reseller]).await?.iter().map(|row| row.get("id")).collect()
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

/// One page of what the owners have between them, in the order of time.
fn statement(db: &Db, owners: &[Scope], search: &Search, after: Option<Cursor>, limit: u32) -> (String, Vec<Value>) {
    let mut params = params![];
    // Either number: an arm for each, of which the second leaves out what the first has.
    let numbers: &[&str] = match search.number {
        Some(_) => &["caller = ?", "callee = ? AND caller <> ?"],
        None => &[""],
    };
    // An index gives the whole platform's in order, those that are guarded apart.
    let is_everybodys = search.pbx.is_none() && search.call_ref.is_none() && !by_number(search);
    let guarded: &[&str] = match owners {
        [Scope::Platform] if is_everybodys => &["AND guarded = 0", "AND guarded = 1"],
        _ => &[""],
    };
    let mut arms = Vec::new();
    for owner in owners {
        for guarded in guarded {
            for number in numbers {
                arms.push(arm((*owner, guarded, number), search, after, &mut params));
            }
        }
    }
    let order = match search.order {
        Order::NewestFirst => "started_at DESC, id DESC",
        Order::OldestFirst => "started_at ASC, id ASC",
    };
    // One more than asked tells whether there is a next page.
    (db.merge(&arms, order, limit + 1), params)
}

/// What one owner has: of one number, where one is asked for; of the platform, what is guarded or what is not.
fn arm(
    (owner, guarded, number): (Scope, &str, &str),
    search: &Search,
    after: Option<Cursor>,
    params: &mut Vec<Value>,
) -> String {
    let mut sql = format!("SELECT {RECORDING_COLUMNS} FROM recordings WHERE state = 'archived' {guarded}");
    match (owner, search.pbx) {
        (Scope::Platform, _) => {}
        // Whose the PBX is, is asked of the PBX: a recording's own tenant beside its PBX would look like a second
        // condition to a planner, and make it expect a few rows where there are many.
        (Scope::Tenant(_) | Scope::Reseller(_), Some(pbx)) => {
            params.push(pbx.into());
            let n = params.len();
            let condition = owner.condition(params);
            sql.push_str(&format!(" AND EXISTS (SELECT 1 FROM pbxs WHERE id = ${n} AND {condition})"));
        }
        _ => sql.push_str(&format!(" AND {}", owner.condition(params))),
    }
    let mut and = |template: &str, value: Value| {
        params.push(value);
        sql.push_str(" AND ");
        sql.push_str(&template.replace('?', &format!("${}", params.len())));
    };
    if let Some(pbx) = search.pbx {
        and("pbx_id = ?", pbx.into());
    }
    if let Some(pbx) = search.pbx.or(match owner {
        Scope::Pbx(pbx) => Some(pbx),
        _ => None,
    }) && by_number(search)
    {
        // The index of numbers has the tenant, not the PBX.
        and("tenant_id = (SELECT p.tenant_id FROM pbxs p WHERE p.id = ?)", pbx.into());
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
    if let Some(wanted) = &search.number {
        and(number, wanted.into());
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
    if let Some(Cursor { started_at, id }) = after {
        let beyond = match search.order {
            Order::NewestFirst => "<",
            Order::OldestFirst => ">",
        };
        params.extend(params![started_at, id]);
        let n = params.len();
        sql.push_str(&format!(" AND (started_at, id) {beyond} (${}, ${n})", n - 1));
    }
    sql
}

fn by_number(search: &Search) -> bool {
    search.number.is_some() || search.caller.is_some() || search.callee.is_some()
}
