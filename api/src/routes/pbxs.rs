//! `/api/v1/pbxs`: the PBXs that the caller may see, by code.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct PbxAnswer {
    id: String,
    tenant: String,
    code: String,
    name: String,
    /// `null`: its tenant's.
    tier: Option<String>,
    disabled: bool,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<PbxAnswer>> {
    let page = PageRequest::only(parameters)?;
    let pbxs = door.archive.list_pbxs(caller.scope).await?.into_iter().map(|pbx| PbxAnswer {
        id: pbx.id.to_string(),
        tenant: pbx.tenant.to_string(),
        code: pbx.code,
        name: pbx.name,
        tier: pbx.tier.map(|id| id.to_string()),
        disabled: pbx.disabled,
    });
    Ok(Json(Listing::ascending(pbxs.collect(), &page, |pbx| pbx.code.clone())))
}
