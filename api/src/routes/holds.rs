//! `/api/v1/holds`: legal holds. Setting and releasing one is not for PBX users.

use archive::{Error, Hold, HoldId, NewHold, PbxId, RecordingId, Scope, TenantId};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::caller::{Caller, Id};
use crate::door::Door;
use crate::fields::Fields;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::{NoParameters, Parameters};
use crate::problem::Problem;

#[derive(Debug, Serialize)]
pub(crate) struct HoldAnswer {
    id: String,
    tenant: String,
    matter: String,
    recording: Option<String>,
    pbx: Option<String>,
    number: Option<String>,
    from: Option<String>,
    until: Option<String>,
    set_at: String,
    set_by: String,
    released_at: Option<String>,
}

impl From<Hold> for HoldAnswer {
    fn from(hold: Hold) -> Self {
        Self {
            id: hold.id.to_string(),
            tenant: hold.rule.tenant.to_string(),
            matter: hold.rule.matter,
            recording: hold.rule.recording.map(|id| id.to_string()),
            pbx: hold.rule.pbx.map(|id| id.to_string()),
            number: hold.rule.number,
            from: hold.rule.from.map(|at| at.to_string()),
            until: hold.rule.until.map(|at| at.to_string()),
            set_at: hold.set_at.to_string(),
            set_by: hold.set_by,
            released_at: hold.released_at.map(|at| at.to_string()),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct NewHoldAnswer {
    id: String,
}

/// Newest first, released ones included.
pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<HoldAnswer>> {
    let page = PageRequest::only(parameters)?;
    let holds = door.archive.list_holds(caller.scope).await?.into_iter().map(HoldAnswer::from);
    Ok(Json(Listing::descending(holds.collect(), &page, |hold| hold.id.clone())))
}

/// Sets a hold on whatever fits all of `recording`, `pbx`, `number`, `from` and `until`. Whose it is follows from
/// `tenant`, else from the PBX, the caller, or the recording.
pub(crate) async fn set(
    State(door): State<Door>,
    caller: Caller,
    _: NoParameters,
    mut fields: Fields,
) -> Result<(StatusCode, Json<NewHoldAnswer>), Problem> {
    caller.require_more_than_pbx()?;
    let matter = fields.text("matter")?.ok_or_else(|| Problem::missing("matter"))?;
    let (tenant, pbx, recording) = (fields.text("tenant")?, fields.text("pbx")?, fields.text("recording")?);
    let (number, from, until) = (fields.text("number")?, fields.instant("from")?, fields.instant("until")?);
    fields.finish()?;
    let pbx = match pbx {
        Some(pbx) => Some(door.archive.find_pbx(caller.scope, &pbx).await?.ok_or(Error::NotFound("PBX"))?),
        None => None,
    };
    let recording: Option<RecordingId> = recording.map(|id| id.parse()).transpose()?;
    let tenant = match (tenant, &pbx, caller.scope, recording) {
        (Some(tenant), ..) => get_tenant(&door, caller.scope, &tenant).await?,
        (None, Some(pbx), ..) => pbx.tenant,
        (None, None, Scope::Tenant(tenant), _) => tenant,
        (None, None, scope, Some(recording)) => door
            .archive
            .get_recording(scope, recording)
            .await?
            .tenant
            .ok_or_else(|| Problem::invalid("recording", "this is unassigned: no rule reaches it, so it stays"))?,
        (None, None, _, None) => return Err(Problem::missing("tenant")),
    };
    let pbx: Option<PbxId> = pbx.map(|pbx| pbx.id);
    let hold = NewHold { tenant, matter, recording, pbx, number, from, until };
    let id = door.archive.set_hold(&caller.actor, &hold).await?;
    Ok((StatusCode::CREATED, Json(NewHoldAnswer { id: id.to_string() })))
}

async fn get_tenant(door: &Door, scope: Scope, code_or_id: &str) -> Result<TenantId, Problem> {
    let id: Option<TenantId> = code_or_id.parse().ok();
    let tenants = door.archive.list_tenants(scope).await?;
    let found = tenants.into_iter().find(|tenant| tenant.code == code_or_id || Some(tenant.id) == id);
    Ok(found.ok_or(Error::NotFound("tenant"))?.id)
}

/// Releases a hold; others that reach the same recordings stay.
pub(crate) async fn release(
    State(door): State<Door>,
    caller: Caller,
    Id(hold): Id<HoldId>,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    caller.require_more_than_pbx()?;
    door.archive.release_hold(&caller.actor, hold).await?;
    Ok(StatusCode::NO_CONTENT)
}
