//! The fields of a JSON body: each taken by its name, and what is left over refused by its name, as in a query.

use archive::Instant;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde_json::{Map, Value};

use crate::parameters::{check_text, read_instant};
use crate::problem::Problem;

/// The fields not yet taken.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(Problem::not_json());
        }
        let body = Bytes::from_request(request, state).await.map_err(unreadable)?;
        serde_json::from_slice(&body).map(Self).map_err(|_| Problem::bad_body())
    }
}

fn unreadable(rejection: BytesRejection) -> Problem {
    match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::body_too_large(),
        _ => Problem::bad_body(),
    }
}

impl Fields {
    /// What is there and not null.
    fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A text, taken as it is: for secrets, whose characters are nobody's business.
    pub(crate) fn secret(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::invalid(name, "this must be a text")),
        }
    }

    /// A text without control characters.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        self.secret(name)?.map(|text| check_text(name, text)).transpose()
    }

    /// A whole number from 0 on.
    pub(crate) fn whole(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| Problem::invalid(name, "this must be a whole number, 0 or more"))
    }

    /// An instant or a day.
    pub(crate) fn instant(&mut self, name: &str) -> Result<Option<Instant>, Problem> {
        self.text(name)?.map(|text| read_instant(name, &text)).transpose()
    }

    /// A list of texts, at most so many.
    pub(crate) fn texts(&mut self, name: &str, most: usize) -> Result<Option<Vec<String>>, Problem> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let texts: Option<Vec<String>> = match value {
            Value::Array(values) if values.len() <= most => {
                values.into_iter().map(|value| value.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        texts.map(Some).ok_or_else(|| Problem::invalid(name, format!("this must be a list of at most {most} texts")))
    }

    /// There must be nothing left.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        self.0.keys().next().map_or(Ok(()), |name| Err(Problem::unknown(name)))
    }
}
