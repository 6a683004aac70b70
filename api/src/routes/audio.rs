//! `/api/v1/recordings/{id}/audio`: the bytes of a recording, whole or from any offset, or converted to another format.

use std::sync::{Arc, OnceLock};

use archive::{AudioReader, Recording, RecordingId};
use audio::Format;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
    LAST_MODIFIED,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::caller::{Caller, Id};
use crate::conditions::{Validators, Verdict};
use crate::conversion::{Conversion, file_name, kept_format};
use crate::digest::repr_digest;
use crate::disposition::attachment;
use crate::door::Door;
use crate::download::{Download, read_ahead};
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::range::Wanted;

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// GET: the bytes, or those of one range; with `format`, of a conversion. Each answer with bytes is one row of the audit,
/// written when it is over.
pub(crate) async fn download(
    State(door): State<Door>,
    caller: Caller,
    Id(id): Id<RecordingId>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = asked_format(parameters)?;
    let audio = door.archive.open_audio(caller.scope, id).await?;
    if let Some(format) = conversion_to(format, &audio.recording) {
        return convert(&door, caller, audio, format, &headers).await;
    }
    let size = audio.recording.size_bytes;
    let validators = Validators::of(&audio.recording);
    match validators.judge(&headers) {
        Verdict::Failed => return Err(Problem::precondition_failed()),
        Verdict::NotModified => return Ok(not_modified(&validators)),
        Verdict::Go => {}
    }
    let (offset, length, range) = match validators.wanted(&headers, size) {
        Wanted::Whole => (0, size, None),
        Wanted::Part { first, last } => (first, last - first + 1, Some(format!("bytes {first}-{last}/{size}"))),
        Wanted::Unsatisfiable => return Err(Problem::range_not_satisfiable(size)),
    };
    let (first, rest) = read_ahead(audio.read(offset, length)).await?;
    let download = Download {
        archive: door.archive,
        actor: caller.actor,
        tenant: audio.recording.tenant,
        pbx: audio.recording.pbx,
        recording: id,
        offset,
        length: Arc::new(OnceLock::from(length)),
        format: None,
        sent: 0,
        _in_progress: door.downloads.token(),
    };
    let mut response = Response::new(download.into_body(first, rest));
    *response.headers_mut() = headers_of(&audio.recording, &validators, length);
    if let Some(range) = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        put(response.headers_mut(), CONTENT_RANGE, range);
    }
    Ok(response)
}

/// HEAD: the headers of a GET without a range (RFC 9110 section 14.2 defines ranges for GET only).
pub(crate) async fn describe(
    State(door): State<Door>,
    caller: Caller,
    Id(id): Id<RecordingId>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = asked_format(parameters)?;
    let recording = door.archive.get_recording(caller.scope, id).await?;
    if let Some(format) = conversion_to(format, &recording) {
        // Whether it can be converted is seen only by trying.
        check_conditions(&headers)?;
        // A body of no known length: one of none would be said to have 0 bytes.
        let body = Body::from_stream(futures_util::stream::empty::<Result<bytes::Bytes, std::io::Error>>());
        return Ok((headers_of_conversion(&recording, format), body).into_response());
    }
    let validators = Validators::of(&recording);
    match validators.judge(&headers) {
        Verdict::Failed => Err(Problem::precondition_failed()),
        Verdict::NotModified => Ok(not_modified(&validators)),
        Verdict::Go => Ok((headers_of(&recording, &validators, recording.size_bytes), Body::empty()).into_response()),
    }
}

fn asked_format(mut parameters: Parameters) -> Result<Option<Format>, Problem> {
    let format = parameters.parsed("format", "mp3, opus, flac or wav")?;
    parameters.finish()?;
    Ok(format)
}

/// What to convert it to: what is kept in the format that is asked for is answered as it is.
fn conversion_to(asked: Option<Format>, recording: &Recording) -> Option<Format> {
    asked.filter(|&format| kept_format(recording) != Some(format))
}

/// The whole recording in another format. It has no length until it is made, no entity tag (another encoder makes other
/// bytes) and no ranges: a `Range` is passed over (RFC 9110 section 14.2).
async fn convert(
    door: &Door,
    caller: Caller,
    audio: AudioReader,
    format: Format,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    check_conditions(headers)?;
    let recording = audio.recording.clone();
    let in_progress = door.downloads.token();
    let conversion = Conversion::start(door, audio, format).await?;
    let download = Download {
        archive: Arc::clone(&door.archive),
        actor: caller.actor,
        tenant: recording.tenant,
        pbx: recording.pbx,
        recording: recording.id,
        offset: 0,
        length: Arc::clone(&conversion.length),
        format: Some(format),
        sent: 0,
        _in_progress: in_progress,
    };
    let first = Some(conversion.first.clone());
    let mut response = Response::new(download.into_body(first, conversion.rest()));
    *response.headers_mut() = headers_of_conversion(&recording, format);
    Ok(response)
}

/// What has no entity tag matches none (RFC 9110 section 13.1.1).
fn check_conditions(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(IF_MATCH) {
        Some(tags) if tags.as_bytes() != b"*" => Err(Problem::precondition_failed()),
        _ => Ok(()),
    }
}

fn headers_of_conversion(recording: &Recording, format: Format) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    put(&mut headers, CONTENT_DISPOSITION, attachment(&file_name(recording, format)));
    headers
}

fn headers_of(recording: &Recording, validators: &Validators, length: u64) -> HeaderMap {
    let mut headers = validators_of(validators);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    put(&mut headers, CONTENT_TYPE, recording.content_type.clone());
    put(&mut headers, CONTENT_LENGTH, length.to_string());
    put(&mut headers, CONTENT_DISPOSITION, attachment(&recording.file_name));
    put(&mut headers, REPR_DIGEST, repr_digest(&recording.audio_sha256));
    headers
}

fn validators_of(validators: &Validators) -> HeaderMap {
    let mut headers = HeaderMap::new();
    put(&mut headers, ETAG, validators.etag.clone());
    if let Some(date) = validators.last_modified() {
        put(&mut headers, LAST_MODIFIED, date);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers
}

/// 304 carries what a caller needs to know that it still has the right one (RFC 9110 section 15.4.5).
fn not_modified(validators: &Validators) -> Response {
    (StatusCode::NOT_MODIFIED, validators_of(validators)).into_response()
}

/// Sets the header, unless the catalogue has something there that no header can carry.
fn put(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}
