//! What happens around every request: an id, a deadline, a floor under panics, the headers that every answer carries,
//! one line of log and the metrics.

use std::panic::AssertUnwindSafe;

use archive::RequestId;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

use crate::door::Door;
use crate::problem::Problem;
use crate::request::{RequestContext, X_REQUEST_ID};

/// What every answer carries, whatever it is.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Answers the request within its deadline, and notes that it was answered. The log names the route, never the path or
/// the query.
pub(crate) async fn observe(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let new_id = || RequestId::new(door.archive.clock().now()).to_string();
    let context = RequestContext::of(&request, &door.trusted_proxies, new_id);
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", request.id = %context.id);
    request.extensions_mut().insert(context.clone());

    let mut response = answer(&door, request, next).instrument(span.clone()).await;

    finish_headers(response.headers_mut(), &context);
    let elapsed = began.elapsed();
    let status = response.status().as_u16();
    let labels = [("route", route.clone()), ("method", method.to_owned()), ("status", status.to_string())];
    metrics::counter!("fonoteca_http_requests_total", &labels).increment(1);
    metrics::histogram!("fonoteca_http_request_seconds", &labels[..2]).record(elapsed.as_secs_f64());
    let address = context.address.map(|address| address.to_string()).unwrap_or_default();
    let elapsed_ms = elapsed.as_millis();
    span.in_scope(|| tracing::info!(status, elapsed_ms, address, "answered {method} {route} with {status}"));
    response
}

async fn answer(door: &Door, request: Request, next: Next) -> Response {
    let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
    match timeout(door.request_timeout, answering).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("panicked while answering");
            Problem::internal().into_response()
        }
        Err(_) => {
            tracing::warn!("gave up answering: it took too long");
            Problem::timeout().into_response()
        }
    }
}

fn finish_headers(headers: &mut HeaderMap, context: &RequestContext) {
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        headers.insert(X_REQUEST_ID, id);
    }
}

/// The method as a label: a stranger's invention must not make a new time series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
