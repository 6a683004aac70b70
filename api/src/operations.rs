//! The operations listener: is it alive, is it ready, what does it count. It asks for no token, so it listens where
//! strangers do not come.

use std::sync::Arc;
use std::time::Duration;

use archive::Archive;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::time::timeout;

use crate::metrics::{Figures, metrics_recorder};
use crate::problem::Problem;

/// How long a check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// The media type of Prometheus's text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Operations {
    archive: Arc<Archive>,
    figures: Arc<Figures>,
}

/// The routes of the operations listener.
pub(crate) fn operations_router(archive: Arc<Archive>) -> Router {
    let figures = Arc::new(Figures::new(Arc::clone(&archive)));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(|| async { Problem::no_route() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .with_state(Operations { archive, figures })
}

/// The catalogue and a store can be reached; names the stores that cannot, which stop nothing but what is for them.
async fn ready(State(operations): State<Operations>) -> Result<String, Problem> {
    match timeout(CHECK_TIMEOUT, operations.archive.check_ready()).await {
        Ok(Ok(lacking)) => {
            let lacking: String = lacking.iter().map(|error| format!("{error}\n")).collect();
            Ok(format!("ready\n{lacking}"))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready");
            Err(Problem::unavailable())
        }
        Err(_) => {
            tracing::warn!("not ready: the catalogue or a store does not answer");
            Err(Problem::timeout())
        }
    }
}

/// What was counted, and what the catalogue says; when that cannot be asked, what was counted alone.
async fn metrics(State(operations): State<Operations>) -> impl IntoResponse {
    let mut text = metrics_recorder().render();
    match operations.figures.render().await {
        Ok(figures) => text.push_str(&figures),
        Err(error) => tracing::warn!(%error, "failed to ask the catalogue for metrics"),
    }
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], text)
}
