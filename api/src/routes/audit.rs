//! `/api/v1/audit`: who did what, as far as it concerns the caller's recordings.

use archive::AuditId;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct AuditAnswer {
    id: String,
    at: String,
    principal: String,
    address: Option<String>,
    action: String,
    tenant: Option<String>,
    pbx: Option<String>,
    target: Option<String>,
    detail: Value,
    /// Its place in the chain; `null` for the moment until it is sealed.
    seal_number: Option<i64>,
}

/// Newest first.
pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<AuditAnswer>> {
    let page = PageRequest::only(parameters)?;
    let before = page.cursor_id::<AuditId>()?;
    let rows = door.archive.list_audit(caller.scope, before, page.limit + 1).await?;
    let answers = rows.into_iter().map(|row| AuditAnswer {
        id: row.id.to_string(),
        at: row.at.to_string(),
        principal: row.principal,
        address: row.address,
        action: row.action,
        tenant: row.tenant.map(|id| id.to_string()),
        pbx: row.pbx.map(|id| id.to_string()),
        target: row.target,
        detail: serde_json::from_str(&row.detail).unwrap_or_default(),
        seal_number: row.seal_number,
    });
    Ok(Json(Listing::cut(answers.collect(), &page, |row| row.id.clone())))
}
