//! Tests of the door, on a real archive: most through the router, those of connections through a socket.

mod access;
mod around;
mod audio;
mod changes;
mod conversion;
mod isolation;
mod moves;
mod search;
mod serving;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use archive::RecordingId;
use archive::testing::{Call, TestArchive};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use serde_json::Value;
use tower::ServiceExt;

use crate::Config;
use crate::connection::Peer;
use crate::door::Door;
use crate::routes::router_of;

/// An archive with the door in front of it.
struct Http {
    t: TestArchive,
    router: Router,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("an ASCII header"))
    }

    /// Asserts that it is a problem of that status and code, and answers it.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((self.status.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:fonoteca:problem:{code}"));
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }

    /// The items of a list.
    #[track_caller]
    fn items(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["items"].as_array().expect("items").clone()
    }

    /// One field of each item of a list.
    #[track_caller]
    fn each(&self, field: &str) -> Vec<String> {
        self.items().iter().map(|item| item[field].as_str().expect(field).to_owned()).collect()
    }
}

impl Http {
    async fn start() -> Self {
        Self::before(TestArchive::start().await)
    }

    /// The door in front of that archive.
    fn before(t: TestArchive) -> Self {
        let router = router_of(Door::new(Arc::clone(&t.archive), &Config::default()));
        Self { t, router }
    }

    /// A recording of the PBX, begun now, whose audio is `bytes`.
    async fn record(&self, pbx: &str, call_ref: &str, bytes: &[u8]) -> RecordingId {
        self.t.record(&Call::new(pbx, call_ref, self.t.now(), bytes)).await
    }

    /// Asks as somebody from 192.0.2.1.
    async fn ask(&self, request: Request<Body>) -> Answered {
        self.ask_from("192.0.2.1", request).await
    }

    async fn ask_from(&self, address: &str, mut request: Request<Body>) -> Answered {
        let address: IpAddr = address.parse().expect("an address");
        request.extensions_mut().insert(ConnectInfo(Peer(SocketAddr::new(address, 50_000))));
        let response = self.router.clone().oneshot(request).await.expect("the router always answers");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a whole body");
        Answered { status: parts.status, headers: parts.headers, body }
    }

    /// GET as the user of that login.
    async fn get(&self, login: &str, path: &str) -> Answered {
        self.ask(request("GET", login, path, &[], Body::empty())).await
    }

    /// GET with headers.
    async fn get_with(&self, login: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
        self.ask(request("GET", login, path, headers, Body::empty())).await
    }

    async fn post(&self, login: &str, path: &str, body: &Value) -> Answered {
        self.ask(with_json("POST", login, path, body)).await
    }

    async fn delete(&self, login: &str, path: &str) -> Answered {
        self.ask(request("DELETE", login, path, &[], Body::empty())).await
    }

    /// What the audit says of `action`, newest first: the details, with what was read noted too.
    async fn audited(&self, action: &str) -> Vec<Value> {
        let rows = self.t.audited(action).await;
        rows.iter().map(|row| serde_json::from_str(&row.detail).expect("JSON")).collect()
    }

    async fn finish(self) {
        self.t.finish().await;
    }
}

/// A request with the token of the user of that login; with none where the login is empty.
fn request(method: &str, login: &str, path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !login.is_empty() {
        request = request.header("authorization", format!("Bearer {}", TestArchive::token(login)));
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a well-formed request")
}

fn with_json(method: &str, login: &str, path: &str, body: &Value) -> Request<Body> {
    request(method, login, path, &[("content-type", "application/json")], Body::from(body.to_string()))
}
