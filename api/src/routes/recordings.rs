//! `/api/v1/recordings`: searching, and one recording.

use std::collections::BTreeMap;

use archive::{CoreServerId, Cursor, Direction, Error, Leg, Order, PbxId, Recording, RecordingId, Scope, Search};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use crate::caller::{Caller, Id};
use crate::door::Door;
use crate::listing::{Answer, Listing, PageRequest};
use crate::parameters::{NoParameters, Parameters};
use crate::problem::Problem;

/// A recording, as it is answered. Durations are milliseconds of audio, sizes bytes, instants RFC 3339 in UTC.
#[derive(Debug, Serialize)]
pub(crate) struct RecordingAnswer {
    id: String,
    tenant: Option<String>,
    pbx: Option<String>,
    pbx_code: Option<String>,
    core_server: String,
    /// The core server's own name for the call: what the parameter `call` searches for.
    call: String,
    call_id: String,
    leg: &'static str,
    direction: &'static str,
    caller: String,
    callee: String,
    started_at: String,
    duration_ms: u64,
    file_name: String,
    format: String,
    content_type: String,
    bitrate_bps: u32,
    sample_rate: u32,
    channels: u32,
    source_format: String,
    kept_original: bool,
    size_bytes: u64,
    audio_sha256: String,
    source_sha256: String,
    tier: Option<String>,
    retain_from: String,
    retain_until: Option<String>,
    lock_mode: &'static str,
    quality: Value,
    flags: Vec<String>,
    archived_at: String,
    /// Only of one recording, not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<bool>,
    /// What the core server's path said of the PBX: only for operators, who assign by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pbx_token: Option<String>,
}

impl RecordingAnswer {
    fn of(recording: Recording, pbx_code: Option<String>, scope: Scope) -> Self {
        Self {
            id: recording.id.to_string(),
            tenant: recording.tenant.map(|id| id.to_string()),
            pbx: recording.pbx.map(|id| id.to_string()),
            pbx_code,
            core_server: recording.core_server.to_string(),
            call: recording.call_ref,
            call_id: recording.call.to_string(),
            leg: recording.leg.as_str(),
            direction: recording.direction.as_str(),
            caller: recording.caller,
            callee: recording.callee,
            started_at: recording.started_at.to_string(),
            duration_ms: recording.duration_ms,
            file_name: recording.file_name,
            format: recording.format,
            content_type: recording.content_type,
            bitrate_bps: recording.bitrate_bps,
            sample_rate: recording.sample_rate,
            channels: recording.channels,
            source_format: recording.source_format,
            kept_original: recording.kept_original,
            size_bytes: recording.size_bytes,
            audio_sha256: recording.audio_sha256.to_string(),
            source_sha256: recording.source_sha256.to_string(),
            tier: recording.tier.map(|id| id.to_string()),
            retain_from: recording.retain_from.to_string(),
            retain_until: recording.retain_until.map(|at| at.to_string()),
            lock_mode: recording.lock_mode.as_str(),
            quality: serde_json::from_str(&recording.quality).unwrap_or_default(),
            flags: recording.flags,
            archived_at: recording.archived_at.to_string(),
            held: None,
            pbx_token: matches!(scope, Scope::Platform).then_some(recording.pbx_token),
        }
    }
}

/// One page of the recordings that fit every parameter.
pub(crate) async fn search(
    State(door): State<Door>,
    caller: Caller,
    mut parameters: Parameters,
) -> Answer<Listing<RecordingAnswer>> {
    let page = PageRequest::take(&mut parameters)?;
    let after = page.cursor_id::<Cursor>()?;
    let pbx = parameters.text("pbx")?;
    let core_server = parameters.text("core_server")?;
    let mut search = read_search(&mut parameters)?;
    parameters.finish()?;
    if let Some(pbx) = pbx {
        search.pbx = Some(door.archive.find_pbx(caller.scope, &pbx).await?.ok_or(Error::NotFound("PBX"))?.id);
    }
    if let Some(core_server) = core_server {
        search.core_server = Some(get_core_server(&door, caller.scope, &core_server).await?);
    }
    let found = door.archive.search(caller.scope, &search, after, page.limit).await?;
    let codes = pbx_codes(&door, caller.scope, &found.items).await?;
    let answer = |recording: Recording| {
        let code = recording.pbx.and_then(|pbx| codes.get(&pbx).cloned());
        RecordingAnswer::of(recording, code, caller.scope)
    };
    let next = found.next.map(|cursor| cursor.to_string());
    Ok(Json(Listing { items: found.items.into_iter().map(answer).collect(), next }))
}

fn read_search(parameters: &mut Parameters) -> Result<Search, Problem> {
    let order = match parameters.text("order")?.as_deref() {
        None | Some("newest") => Order::NewestFirst,
        Some("oldest") => Order::OldestFirst,
        Some(_) => return Err(Problem::invalid("order", "newest or oldest")),
    };
    Ok(Search {
        pbx: None,
        core_server: None,
        from: parameters.instant("from")?,
        until: parameters.instant("until")?,
        number: parameters.number("number")?,
        caller: parameters.number("caller")?,
        callee: parameters.number("callee")?,
        direction: parameters.parsed::<Direction>("direction", "in, out, internal or unknown")?,
        leg: parameters.parsed::<Leg>("leg", "mixed, caller or callee")?,
        call_ref: parameters.text("call")?,
        min_duration_ms: parameters.seconds_as_ms("min_duration_s")?,
        max_duration_ms: parameters.seconds_as_ms("max_duration_s")?,
        order,
    })
}

/// A core server by id for everybody (recordings carry it), by name only for operators, who know the names.
async fn get_core_server(door: &Door, scope: Scope, name_or_id: &str) -> Result<CoreServerId, Problem> {
    if scope == Scope::Platform {
        let servers = door.archive.list_core_servers().await?;
        if let Some(server) = servers.iter().find(|server| server.name == name_or_id) {
            return Ok(server.id);
        }
    }
    Ok(name_or_id.parse()?)
}

/// The codes of the PBXs that the recordings are of.
async fn pbx_codes(door: &Door, scope: Scope, recordings: &[Recording]) -> Result<BTreeMap<PbxId, String>, Problem> {
    let mut codes = BTreeMap::new();
    for pbx in recordings.iter().filter_map(|recording| recording.pbx) {
        if !codes.contains_key(&pbx) {
            let found = door.archive.find_pbx(scope, &pbx.to_string()).await?;
            codes.extend(found.map(|found| (pbx, found.code)));
        }
    }
    Ok(codes)
}

/// One recording, and whether a legal hold keeps it.
pub(crate) async fn show(
    State(door): State<Door>,
    caller: Caller,
    Id(id): Id<RecordingId>,
    _: NoParameters,
) -> Answer<RecordingAnswer> {
    let recording = door.archive.get_recording(caller.scope, id).await?;
    let held = door.archive.is_held(id).await?;
    let mut codes = pbx_codes(&door, caller.scope, std::slice::from_ref(&recording)).await?;
    let code = recording.pbx.and_then(|pbx| codes.remove(&pbx));
    Ok(Json(RecordingAnswer { held: Some(held), ..RecordingAnswer::of(recording, code, caller.scope) }))
}
