//! `/api/v1/core-servers`: the core servers, for operators.

use archive::AfterArchive;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct CoreServerAnswer {
    id: String,
    name: String,
    spool: String,
    layout: String,
    pattern: Option<String>,
    time_zone: String,
    after: AfterArchive,
    enrolled_at: String,
    confirmed_at: Option<String>,
    disabled: bool,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<CoreServerAnswer>> {
    caller.require_operator()?;
    let page = PageRequest::only(parameters)?;
    let servers = door.archive.list_core_servers().await?.into_iter().map(|server| CoreServerAnswer {
        id: server.id.to_string(),
        name: server.name,
        spool: server.spool.to_string_lossy().into_owned(),
        layout: server.layout,
        pattern: server.pattern,
        time_zone: server.time_zone,
        after: server.after,
        enrolled_at: server.enrolled_at.to_string(),
        confirmed_at: server.confirmed_at.map(|at| at.to_string()),
        disabled: server.disabled,
    });
    Ok(Json(Listing::ascending(servers.collect(), &page, |server| server.name.clone())))
}
