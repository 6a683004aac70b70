//! `/api/v1/resellers`: the resellers that the caller may see, by code.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct ResellerAnswer {
    id: String,
    code: String,
    name: String,
    disabled: bool,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<ResellerAnswer>> {
    let page = PageRequest::only(parameters)?;
    let resellers = door.archive.list_resellers(caller.scope).await?.into_iter().map(|reseller| ResellerAnswer {
        id: reseller.id.to_string(),
        code: reseller.code,
        name: reseller.name,
        disabled: reseller.disabled,
    });
    Ok(Json(Listing::ascending(resellers.collect(), &page, |reseller| reseller.code.clone())))
}
