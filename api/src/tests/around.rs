//! What is around every request: ids, headers, deadlines, panics, and the answers to what there is not.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::testing::TestArchive;

use axum::Router;
use axum::body::Body;
use axum::routing::get;

use super::{Http, request};
use crate::config::Config;
use crate::door::Door;
use crate::routes::finish;

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let http = Http::start().await;
    for path in ["/nothing", "/api/v1", "/api/v1/recordings/", "/api/v2/recordings", "/metrics", "/healthz"] {
        http.get("operator", path).await.problem(404, "not_found");
    }
    let answer = http.delete("operator", "/api/v1/recordings").await;
    answer.problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    http.ask(request("BREW", "", "/api/v1/recordings", &[], Body::empty())).await.problem(405, "method_not_allowed");
    http.finish().await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_a_request_id() {
    let http = Http::start().await;
    for (path, login) in [("/", ""), ("/nothing", ""), ("/api/v1/recordings", ""), ("/api/v1/recordings", "tenant")] {
        let answer = http.get(login, path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("content-security-policy"), Some("default-src 'none'; frame-ancestors 'none'"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-request-id").map(str::len), Some(26), "{path}");
    }
    http.finish().await;
}

#[tokio::test]
async fn a_clean_request_id_comes_back_and_another_is_replaced() {
    let http = Http::start().await;
    let kept = http.get_with("", "/", &[("x-request-id", "abc-1")]).await;
    assert_eq!(kept.header("x-request-id"), Some("abc-1"));
    let replaced = http.get_with("", "/", &[("x-request-id", "a b\"c")]).await;
    assert_eq!(replaced.header("x-request-id").map(str::len), Some(26));
    http.finish().await;
}

#[tokio::test]
async fn the_page_at_the_root_says_what_this_is() {
    let http = Http::start().await;
    let page = http.get("", "/").await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    assert!(text.contains("Fonoteca") && text.contains("/api/v1"), "{text}");
    http.finish().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_object_is_refused() {
    let http = Http::start().await;
    let json = [("content-type", "application/json; charset=utf-8")];
    let post =
        |headers: &[(&str, &str)], body: String| request("POST", "tenant", "/api/v1/holds", headers, body.into());
    let large = format!("{{\"matter\": \"{}\"}}", "x".repeat(70_000));
    http.ask(post(&json, large)).await.problem(413, "body_too_large");
    for body in ["", "[]", "{", "\"text\"", "{\"matter\": \"a\"} x"] {
        http.ask(post(&json, body.to_owned())).await.problem(400, "bad_body");
    }
    http.ask(post(&[], "{}".to_owned())).await.problem(415, "unsupported_media_type");
    http.ask(post(&[("content-type", "text/plain")], "{}".to_owned())).await.problem(415, "unsupported_media_type");
    http.finish().await;
}

#[tokio::test]
async fn a_panic_is_a_500_and_what_takes_too_long_a_503() {
    async fn panics() {
        panic!("a text that must not leave");
    }
    let mut http = Http::start().await;
    let config = Config { request_timeout: Duration::from_millis(20), ..Config::default() };
    let routes = Router::new()
        .route("/panics", get(panics))
        .route("/never", get(|| async { std::future::pending::<()>().await }));
    http.router = finish(routes, Door::new(Arc::clone(&http.t.archive), &config));
    let panicked = http.get("", "/panics").await;
    panicked.problem(500, "internal");
    assert!(!String::from_utf8_lossy(&panicked.body).contains("must not leave"));
    let late = http.get("", "/never").await;
    late.problem(503, "timeout");
    assert!(late.header("retry-after").is_some());
    http.finish().await;
}

#[tokio::test]
async fn the_address_in_the_audit_is_the_client_behind_a_trusted_proxy_only() {
    let mut http = Http::start().await;
    let id = http.record("acme", "1.1", b"audio").await;
    let config = Config { trusted_proxies: vec!["10.0.0.0/8".parse().expect("network")], ..Config::default() };
    http.router = crate::routes::router_of(Door::new(Arc::clone(&http.t.archive), &config));
    let path = format!("/api/v1/recordings/{id}/audio");
    let forwarded = [("x-forwarded-for", "198.51.100.7")];
    for peer in ["10.0.0.1", "203.0.113.9"] {
        let answer = http.ask_from(peer, request("GET", "tenant", &path, &forwarded, Body::empty())).await;
        assert_eq!(answer.status, 200);
        http.t.clock.advance(Duration::from_secs(1));
    }
    http.t.archive.flush_reads().await.expect("flush");
    let rows = http.get("tenant", "/api/v1/audit").await;
    assert_eq!(rows.each("address"), ["203.0.113.9", "198.51.100.7"]);
    http.finish().await;
}

/// Where a test's log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_the_route_and_the_request_id_but_no_number_token_or_password() {
    let http = Http::start().await;
    // A place in the code that is first reached by another test, without a subscriber, would stay silent here too: all of
    // them are known before there is one.
    http.get_with("tenant", "/api/v1/recordings", &[]).await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let id = [("x-request-id", "request-1")];
    http.get_with("tenant", "/api/v1/recordings?number=%2B4930123456", &id).await;
    let body = serde_json::json!({ "login": "tenant", "password": TestArchive::PASSWORD });
    let token = http.post("", "/api/v1/tokens", &body).await.json()["token"].as_str().expect("token").to_owned();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).expect("UTF-8");
    assert!(text.contains("request.id=request-1") && text.contains("GET /api/v1/recordings with 200"), "{text}");
    assert!(text.contains("POST /api/v1/tokens with 201"), "{text}");
    for secret in ["4930123456", "number", TestArchive::PASSWORD, &token, &TestArchive::token("tenant")] {
        assert!(!text.contains(secret), "{secret} is in the log:\n{text}");
    }
    http.finish().await;
}
