//! `/api/v1/tenants`: the tenants that the caller may see, by code.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct TenantAnswer {
    id: String,
    reseller: String,
    code: String,
    name: String,
    time_zone: String,
    tier: String,
    disabled: bool,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<TenantAnswer>> {
    let page = PageRequest::only(parameters)?;
    let tenants = door.archive.list_tenants(caller.scope).await?.into_iter().map(|tenant| TenantAnswer {
        id: tenant.id.to_string(),
        reseller: tenant.reseller.to_string(),
        code: tenant.code,
        name: tenant.name,
        time_zone: tenant.time_zone,
        tier: tenant.tier.to_string(),
        disabled: tenant.disabled,
    });
    Ok(Json(Listing::ascending(tenants.collect(), &page, |tenant| tenant.code.clone())))
}
