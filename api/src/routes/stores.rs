//! `/api/v1/stores`: the stores and what is in them, for operators.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct StoreAnswer {
    id: String,
    name: String,
    recordings: u64,
    stored_bytes: u64,
    is_configured: bool,
    /// Why it does not answer.
    failure: Option<String>,
    lost_at: Option<String>,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<StoreAnswer>> {
    caller.require_operator()?;
    let page = PageRequest::only(parameters)?;
    let stores = door.archive.list_stores(caller.scope).await?.into_iter().map(|store| StoreAnswer {
        id: store.id.to_string(),
        name: store.name,
        recordings: store.recordings,
        stored_bytes: store.stored_bytes,
        is_configured: store.is_configured,
        failure: store.failure,
        lost_at: store.lost_at.map(|at| at.to_string()),
    });
    Ok(Json(Listing::ascending(stores.collect(), &page, |store| store.name.clone())))
}
