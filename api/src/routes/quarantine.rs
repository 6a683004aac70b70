//! `/api/v1/quarantine`: sources that could not be archived, with their reason, for operators.

use std::collections::HashMap;

use archive::{CoreServerId, Source, SourceId, SourceState};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use crate::caller::{Caller, Id};
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::{NoParameters, Parameters};
use crate::problem::Problem;

#[derive(Debug, Serialize)]
pub(crate) struct QuarantineAnswer {
    /// The source.
    id: String,
    core_server: String,
    core_server_name: Option<String>,
    size_bytes: u64,
    code: Option<String>,
    detail: Option<String>,
    attempts: u32,
}

impl QuarantineAnswer {
    fn of(source: Source, names: &HashMap<CoreServerId, String>) -> Self {
        Self {
            id: source.id.to_string(),
            core_server: source.core_server.to_string(),
            core_server_name: names.get(&source.core_server).cloned(),
            size_bytes: source.listed.size_bytes,
            code: source.error_code,
            detail: source.error_detail,
            attempts: source.attempts,
        }
    }
}

/// Oldest first.
pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<QuarantineAnswer>> {
    caller.require_operator()?;
    let page = PageRequest::only(parameters)?;
    let (state, one_more) = (SourceState::Quarantined, page.limit + 1);
    let sources = match page.cursor_id::<SourceId>()? {
        Some(after) => door.archive.list_sources_after(state, after, one_more).await?,
        None => door.archive.list_sources(state, one_more).await?,
    };
    let servers = door.archive.list_core_servers().await?;
    let names = servers.into_iter().map(|server| (server.id, server.name)).collect();
    let answers = sources.into_iter().map(|source| QuarantineAnswer::of(source, &names));
    Ok(Json(Listing::cut(answers.collect(), &page, |source| source.id.clone())))
}

/// Has the source tried again.
pub(crate) async fn retry(
    State(door): State<Door>,
    caller: Caller,
    Id(source): Id<SourceId>,
    _: NoParameters,
) -> Result<StatusCode, Problem> {
    door.archive.retry_quarantined(&caller.actor, source).await?;
    Ok(StatusCode::NO_CONTENT)
}
