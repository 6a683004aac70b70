//! Downloads: ranges, conditions, headers, and their rows in the audit.

use axum::body::Body;
use serde_json::json;

use super::{Http, request};

const AUDIO: &[u8] = b"0123456789abcdefghij";

async fn start() -> (Http, String) {
    let http = Http::start().await;
    let id = http.record("acme", "1.1", AUDIO).await;
    let path = format!("/api/v1/recordings/{id}/audio");
    (http, path)
}

#[tokio::test]
async fn a_whole_download_says_everything_about_itself() {
    let (http, path) = start().await;
    let answer = http.get("pbx", &path).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, AUDIO));
    let recording = http.get("pbx", path.trim_end_matches("/audio")).await.json();
    let sha256 = recording["audio_sha256"].as_str().expect("hash");
    let file_name = recording["file_name"].as_str().expect("name");
    for (name, value) in [
        ("content-type", "audio/mpeg"),
        ("content-length", "20"),
        ("accept-ranges", "bytes"),
        ("etag", &format!("\"{sha256}\"")),
        ("last-modified", "Sat, 21 Nov 2026 12:00:00 GMT"),
        ("content-disposition", &format!("attachment; filename=\"{file_name}\"")),
        ("cache-control", "private, no-store"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    assert!(answer.header("repr-digest").expect("digest").starts_with("sha-256=:"));
    assert_eq!(answer.header("content-range"), None);
    http.finish().await;
}

#[tokio::test]
async fn head_answers_the_headers_of_get_and_is_no_download() {
    let (http, path) = start().await;
    let get = http.get("tenant", &path).await;
    for range in [&[][..], &[("range", "bytes=3-5")]] {
        let head = http.ask(request("HEAD", "tenant", &path, range, Body::empty())).await;
        assert_eq!(head.status, 200);
        assert!(head.body.is_empty());
        let without_id = |headers: &axum::http::HeaderMap| {
            let mut headers = headers.clone();
            headers.remove("x-request-id");
            headers
        };
        assert_eq!(without_id(&head.headers), without_id(&get.headers));
    }
    assert_eq!(http.audited("recording.download").await.len(), 1, "the GET");
    http.finish().await;
}

#[tokio::test]
async fn fault_33_every_single_range_is_answered_as_the_rfc_says() {
    let (http, path) = start().await;
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, Some("bytes 0-0/20"), &AUDIO[..1]),
        ("bytes=5-9", 206, Some("bytes 5-9/20"), &AUDIO[5..10]),
        ("bytes=15-", 206, Some("bytes 15-19/20"), &AUDIO[15..]),
        ("bytes=15-400", 206, Some("bytes 15-19/20"), &AUDIO[15..]),
        ("bytes=-1", 206, Some("bytes 19-19/20"), &AUDIO[19..]),
        ("bytes=-400", 206, Some("bytes 0-19/20"), AUDIO),
        ("bytes=0-", 206, Some("bytes 0-19/20"), AUDIO),
        ("bytes=0-1,3-4", 200, None, AUDIO),
        ("bytes=", 200, None, AUDIO),
        ("bytes=9-5", 200, None, AUDIO),
        ("garbage", 200, None, AUDIO),
        ("", 200, None, AUDIO),
    ] {
        let answer = http.get_with("tenant", &path, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), content_range, "{range}");
        assert_eq!(answer.header("content-length"), Some(&*body.len().to_string()), "{range}");
    }
    for range in ["bytes=20-", "bytes=20-30", "bytes=-0", "bytes=99999999999999999999-"] {
        let answer = http.get_with("tenant", &path, &[("range", range)]).await;
        answer.problem(416, "range_not_satisfiable");
        assert_eq!(answer.header("content-range"), Some("bytes */20"), "{range}");
    }
    http.finish().await;
}

#[tokio::test]
async fn fault_33_conditions_spare_what_the_caller_has_and_never_join_two_recordings() {
    let (http, path) = start().await;
    let etag = http.get("tenant", &path).await.header("etag").expect("etag").to_owned();
    let date = "Sat, 21 Nov 2026 12:00:00 GMT";
    let other = "\"0000\"";
    for (headers, status, length) in [
        (vec![("if-none-match", etag.as_str())], 304, 0),
        (vec![("if-none-match", other)], 200, 20),
        (vec![("if-modified-since", date)], 304, 0),
        (vec![("if-match", other)], 412, 0),
        (vec![("range", "bytes=5-9"), ("if-range", &etag)], 206, 5),
        (vec![("range", "bytes=5-9"), ("if-range", date)], 206, 5),
        (vec![("range", "bytes=5-9"), ("if-range", other)], 200, 20),
        (vec![("range", "bytes=90-"), ("if-range", other)], 200, 20),
        (vec![("range", "bytes=5-9"), ("if-none-match", &etag)], 304, 0),
    ] {
        let answer = http.get_with("tenant", &path, &headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 412 {
            answer.problem(412, "precondition_failed");
        } else {
            assert_eq!(answer.body.len(), length, "{headers:?}");
            assert_eq!(answer.header("etag"), Some(etag.as_str()), "{headers:?}");
        }
    }
    http.finish().await;
}

#[tokio::test]
async fn every_download_is_one_row_of_the_audit() {
    let (http, path) = start().await;
    http.get("tenant", &path).await;
    http.get_with("tenant", &path, &[("range", "bytes=5-9")]).await;
    http.get_with("tenant", &path, &[("range", "bytes=90-")]).await;
    http.get_with("tenant", &path, &[("if-none-match", "*")]).await;
    http.get("stranger", &path).await.problem(404, "not_found");
    let mut rows = http.audited("recording.download").await;
    rows.sort_by_key(|row| row["offset"].as_u64());
    for row in &mut rows {
        let pbx = row.as_object_mut().and_then(|row| row.remove("pbx"));
        assert!(pbx.is_some_and(|pbx| pbx.is_string()), "and says of which PBX");
    }
    assert_eq!(
        rows,
        [json!({ "bytes": 20, "offset": 0, "complete": true }), json!({ "bytes": 5, "offset": 5, "complete": true })]
    );
    let seen = http.get("tenant", "/api/v1/audit").await.items();
    assert_eq!(seen.len(), 2, "the tenant sees who listened");
    assert!(seen.iter().all(|row| path.contains(row["target"].as_str().expect("target"))), "{seen:?}");
    assert_eq!(http.get("pbx", "/api/v1/audit").await.items(), seen, "and so does the user of the PBX");
    assert!(http.get("stranger", "/api/v1/audit").await.items().is_empty());
    http.finish().await;
}

#[tokio::test]
async fn audio_that_cannot_be_read_is_a_problem_and_no_download() {
    let (http, path) = start().await;
    let store = http.t.directory.path().join("store");
    let aside = http.t.directory.path().join("aside");
    std::fs::rename(&store, &aside).expect("take the store away");
    let answer = http.get("tenant", &path).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains("store") && !text.contains(".mp3"), "internal text left: {text}");
    std::fs::rename(&aside, &store).expect("bring it back");
    assert_eq!(http.get("tenant", &path).await.status, 200);
    assert_eq!(http.audited("recording.download").await.len(), 1);
    http.finish().await;
}

#[tokio::test]
async fn the_waveform_is_its_peaks_and_duration() {
    let (http, path) = start().await;
    let answer = http.get("pbx", &path.replace("/audio", "/waveform")).await;
    assert_eq!(answer.json(), json!({ "peaks": [1, 2, 3], "duration_ms": 10_000 }));
    let waveform = path.replace("/audio", "/waveform");
    let refused = http.get("pbx", &format!("{waveform}?format=wav")).await.problem(400, "unknown_field");
    assert_eq!(refused["field"], "format");
    http.finish().await;
}
