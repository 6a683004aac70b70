//! Every failure that leaves the door, as problem+json (RFC 9457) with a stable `code`. Internal text never leaves: what
//! an operator must know of it is logged here, once.

use std::borrow::Cow;

use axum::Json;
use axum::http::header::{CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// The media type of every failure.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// How much of a name that a stranger chose is repeated to it.
const MAX_ECHO: usize = 64;

/// A failure, as it leaves the door.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    field: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), field: None, headers: Vec::new() }
    }

    fn at(mut self, field: &str) -> Self {
        self.field = Some(field.chars().take(MAX_ECHO).collect());
        self
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A parameter or a field of the body has a value that cannot be used; `detail` says what would be one.
    pub(crate) fn invalid(field: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_value", detail).at(field)
    }

    /// There is no such parameter or field here.
    pub(crate) fn unknown(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unknown_field", "this is not a parameter or field of this request")
            .at(field)
    }

    /// A field that must be there is not.
    pub(crate) fn missing(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "missing_field", "this field is required").at(field)
    }

    /// The query string cannot be read.
    pub(crate) fn bad_query() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", "the query string cannot be read")
    }

    /// The body is not a JSON object.
    pub(crate) fn bad_body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_body", "the body must be one JSON object")
    }

    /// The body is not said to be JSON.
    pub(crate) fn not_json() -> Self {
        let detail = "send the body as application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// The body is larger than any request needs.
    pub(crate) fn body_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large")
    }

    /// There is no such route.
    pub(crate) fn no_route() -> Self {
        archive::Error::NotFound("route").into()
    }

    /// The route does not take this method.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this route does not take this method")
    }

    /// No bearer token was sent (RFC 6750 section 3.1: then the challenge carries no error).
    pub(crate) fn no_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "send a bearer token")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fonoteca\""))
    }

    /// A bearer token was sent that is not good, or no longer.
    pub(crate) fn bad_token() -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"fonoteca\", error=\"invalid_token\"");
        let detail = "the bearer token is unknown, expired or revoked";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).with(WWW_AUTHENTICATE, challenge)
    }

    /// Login and password do not fit, or the address has failed too often: the two look the same.
    pub(crate) fn wrong_credentials() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "wrong_credentials", "login and password do not fit")
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"fonoteca\""))
    }

    /// The caller's role may not do this, to whatever.
    pub(crate) fn forbidden(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The range lies beyond the recording (RFC 9110 section 15.5.17).
    pub(crate) fn range_not_satisfiable(size_bytes: u64) -> Self {
        let size = HeaderValue::try_from(format!("bytes */{size_bytes}")).expect("digits make a header");
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", "the range lies beyond the recording")
            .with(CONTENT_RANGE, size)
    }

    /// `If-Match` or `If-Unmodified-Since` does not hold.
    pub(crate) fn precondition_failed() -> Self {
        let detail = "the recording is not the one that the request's condition names";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
    }

    /// The recording cannot be had in the format that was asked for.
    pub(crate) fn not_convertible(detail: String) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not_convertible", detail)
    }

    /// As many recordings are being converted as may be.
    pub(crate) fn too_many_conversions() -> Self {
        let detail = "too many recordings are being converted: try again later, or take it as it is kept";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_conversions", detail)
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// The request took too long.
    pub(crate) fn timeout() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the request took too long")
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// Something that trying again may cure.
    pub(crate) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "not possible at the moment: try again later")
            .with(RETRY_AFTER, HeaderValue::from_static("5"))
    }

    /// A fault of ours.
    pub(crate) fn internal() -> Self {
        let detail = "something is wrong on this side; the log has more under the answer's X-Request-Id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<archive::Error> for Problem {
    fn from(error: archive::Error) -> Self {
        use archive::Error;
        match error {
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", error.to_string()),
            Error::Forbidden(_) => Self::new(StatusCode::FORBIDDEN, "forbidden", error.to_string()),
            Error::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", error.to_string()),
            Error::Invalid(text) => Self::new(StatusCode::BAD_REQUEST, "invalid", text),
            // It may be repaired, but not by asking again in a moment: so no Retry-After.
            Error::Damaged(id) => {
                tracing::error!(recording.id = %id, "asked for recording {id}, of which no sound copy is left");
                let detail = "this recording's audio is damaged in the archive, and not served until it is repaired";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "recording_damaged", detail)
            }
            error if error.is_transient() || matches!(error, Error::Moved(_)) => {
                tracing::warn!(%error, "answered that it is not possible at the moment");
                Self::unavailable()
            }
            error => {
                tracing::error!(%error, "answered with a fault of ours");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": format!("urn:fonoteca:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Some(field) = self.field {
            body["field"] = field.into();
        }
        let mut response = (self.status, Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        response.headers_mut().extend(self.headers);
        response
    }
}
