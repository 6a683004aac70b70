//! `/api/v1/recordings/{id}/waveform`: the peaks that a player draws.

use archive::RecordingId;
use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::caller::{Caller, Id};
use crate::door::Door;
use crate::listing::Answer;
use crate::parameters::NoParameters;

#[derive(Debug, Serialize)]
pub(crate) struct WaveformAnswer {
    /// A peak per bucket, 0 to 255; the buckets are equally long.
    peaks: Vec<u8>,
    duration_ms: u64,
}

pub(crate) async fn show(
    State(door): State<Door>,
    caller: Caller,
    Id(id): Id<RecordingId>,
    _: NoParameters,
) -> Answer<WaveformAnswer> {
    let recording = door.archive.get_recording(caller.scope, id).await?;
    Ok(Json(WaveformAnswer { peaks: recording.peaks, duration_ms: recording.duration_ms }))
}
