//! `/api/v1/tiers`: the tiers that the caller may know of: the operator's, and those of its own reseller.

use archive::TierMove;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::Caller;
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::Parameters;

#[derive(Debug, Serialize)]
pub(crate) struct TierAnswer {
    id: String,
    code: String,
    /// `null`: the operator's.
    reseller: Option<String>,
    name: String,
    days: Option<u32>,
    quota_bytes: Option<u64>,
    quota_audio_ms: Option<u64>,
    quota_recordings: Option<u64>,
    format: String,
    bitrate_bps: u32,
    /// None: the first one configured.
    stores: Vec<String>,
    /// How many of the stores `archived` needs; `null`: all of them.
    copies: Option<u32>,
    moves: Vec<TierMove>,
}

pub(crate) async fn list(
    State(door): State<Door>,
    caller: Caller,
    parameters: Parameters,
) -> Answer<Listing<TierAnswer>> {
    let page = PageRequest::only(parameters)?;
    let tiers = door.archive.list_tiers(caller.scope).await?.into_iter().map(|tier| TierAnswer {
        id: tier.id.to_string(),
        code: tier.code,
        reseller: tier.reseller.map(|id| id.to_string()),
        name: tier.name,
        days: tier.days,
        quota_bytes: tier.quota.stored_bytes,
        quota_audio_ms: tier.quota.audio_ms,
        quota_recordings: tier.quota.recordings,
        format: tier.format,
        bitrate_bps: tier.bitrate_bps,
        stores: tier.stores,
        copies: tier.copies,
        moves: tier.moves,
    });
    Ok(Json(Listing::ascending(tiers.collect(), &page, |tier| tier.code.clone())))
}
