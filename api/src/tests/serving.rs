//! The listeners: real sockets, real clients, stopping.

use std::sync::Arc;
use std::time::Duration;

use archive::Archive;
use archive::testing::{Call, TestArchive};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Config, HttpServer};

/// Nothing here takes this long unless it hangs.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// A door on sockets of its own.
struct Serving {
    api: String,
    operations: String,
    stop: CancellationToken,
    at_once: CancellationToken,
    tasks: TaskTracker,
}

fn local() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().expect("address"),
        operations_listen: "127.0.0.1:0".parse().expect("address"),
        ..Config::default()
    }
}

impl Serving {
    async fn start(archive: &Arc<Archive>, config: Config) -> Self {
        let server = HttpServer::bind(Arc::clone(archive), config).await.expect("bind");
        let (api, operations) = (server.local_addr().to_string(), server.operations_addr().to_string());
        let (stop, at_once, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(server.run(stop.clone(), at_once.clone()));
        tasks.close();
        Self { api, operations, stop, at_once, tasks }
    }

    /// Opens a connection and asks for the recording; answers the connection when the body has begun.
    async fn begin_download(&self, id: archive::RecordingId) -> TcpStream {
        let mut stream = TcpStream::connect(&self.api).await.expect("connect");
        let request = format!(
            "GET /api/v1/recordings/{id}/audio HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n",
            TestArchive::token("tenant")
        );
        stream.write_all(request.as_bytes()).await.expect("send");
        let mut begin = [0; 1000];
        stream.read_exact(&mut begin).await.expect("the answer begins");
        assert!(begin.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begin));
        stream
    }

    async fn stopped(&self) {
        timeout(DEADLINE, self.tasks.wait()).await.expect("the server stops");
    }

    async fn finish(self) {
        self.stop.cancel();
        self.stopped().await;
    }
}

/// A recording larger than what sockets and blocks hold, so that its download is not over before it is read.
async fn large_recording(t: &TestArchive) -> archive::RecordingId {
    let bytes: Vec<u8> = (0..32 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    t.record(&Call::new("acme", "1.1", t.now(), &bytes)).await
}

/// The details of the first download in the audit, once it is there.
async fn audited_download(t: &TestArchive) -> serde_json::Value {
    let look = async {
        loop {
            if let Some(row) = t.audited("recording.download").await.first() {
                return serde_json::from_str(&row.detail).expect("JSON");
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, look).await.expect("the download is audited")
}

#[tokio::test]
async fn a_client_downloads_a_large_recording_whole_and_in_parts() {
    let t = TestArchive::start().await;
    let id = large_recording(&t).await;
    let serving = Serving::start(&t.archive, local()).await;
    let client = reqwest::Client::new();
    let url = format!("http://{}/api/v1/recordings/{id}/audio", serving.api);
    let get = || client.get(&url).bearer_auth(TestArchive::token("tenant"));
    let whole = get().send().await.expect("GET").bytes().await.expect("body");
    let recording = t.archive.get_recording(archive::Scope::Platform, id).await.expect("recording");
    assert_eq!(archive::Sha256::of(&whole), recording.audio_sha256);
    let tail = get().header("range", "bytes=30000000-").send().await.expect("GET");
    assert_eq!(tail.status(), 206);
    assert_eq!(tail.bytes().await.expect("body"), whole.slice(30_000_000..));
    let head = client.head(&url).bearer_auth(TestArchive::token("tenant")).send().await.expect("HEAD");
    assert_eq!(head.headers()["content-length"], whole.len().to_string().as_str());
    serving.finish().await;
    t.finish().await;
}

#[tokio::test]
async fn a_download_aborted_midway_is_audited_as_incomplete() {
    let t = TestArchive::start().await;
    let id = large_recording(&t).await;
    let serving = Serving::start(&t.archive, local()).await;
    drop(serving.begin_download(id).await);
    let detail = audited_download(&t).await;
    assert_eq!((&detail["complete"], &detail["offset"]), (&json!(false), &json!(0)));
    let bytes = detail["bytes"].as_u64().expect("bytes");
    assert!((1..32 * 1024 * 1024).contains(&bytes), "{bytes}");
    serving.finish().await;
    t.finish().await;
}

#[tokio::test]
async fn fault_37_stopping_lets_a_download_finish_within_the_grace() {
    let t = TestArchive::start().await;
    let id = large_recording(&t).await;
    let serving = Serving::start(&t.archive, local()).await;
    let mut stream = serving.begin_download(id).await;
    serving.stop.cancel();
    let mut rest = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("in time").expect("read");
    assert!(rest.len() > 32 * 1024 * 1024 - 1000, "{}", rest.len());
    serving.stopped().await;
    assert_eq!(audited_download(&t).await["complete"], true);
    TcpStream::connect(&serving.api).await.expect_err("no more connections");
    t.finish().await;
}

#[tokio::test]
async fn fault_37_stopping_cuts_a_client_that_does_not_read_and_still_audits_it() {
    for (grace, at_once) in [(Duration::from_millis(50), false), (Duration::from_secs(86_400), true)] {
        let t = TestArchive::start().await;
        let id = large_recording(&t).await;
        let serving = Serving::start(&t.archive, Config { shutdown_grace: grace, ..local() }).await;
        let stream = serving.begin_download(id).await;
        serving.stop.cancel();
        if at_once {
            serving.at_once.cancel();
        }
        serving.stopped().await;
        t.archive.flush_reads().await.expect("flush");
        assert_eq!(audited_download(&t).await["complete"], false);
        drop(stream);
        t.finish().await;
    }
}

#[tokio::test]
async fn fault_33_a_connection_that_stands_still_is_closed() {
    let t = TestArchive::start().await;
    let config =
        Config { request_timeout: Duration::from_millis(50), stall_timeout: Duration::from_millis(100), ..local() };
    let serving = Serving::start(&t.archive, config).await;
    let mut silent = TcpStream::connect(&serving.api).await.expect("connect");
    silent.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.expect("send half a request");
    let mut rest = Vec::new();
    // An end or a reset, whichever the kernel makes of it; only not for ever.
    timeout(DEADLINE, silent.read_to_end(&mut rest)).await.expect("the connection is closed").ok();
    serving.finish().await;
    t.finish().await;
}

#[tokio::test]
async fn fault_33_connections_beyond_the_most_wait_for_their_turn() {
    let t = TestArchive::start().await;
    let serving = Serving::start(&t.archive, Config { max_connections: 1, ..local() }).await;
    let mut first = TcpStream::connect(&serving.api).await.expect("connect");
    first.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("send");
    let mut begin = [0; 12];
    first.read_exact(&mut begin).await.expect("answered");
    let mut second = TcpStream::connect(&serving.api).await.expect("the kernel's queue takes it");
    second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("send");
    timeout(Duration::from_millis(100), second.read_exact(&mut begin)).await.expect_err("the first is still there");
    drop(first);
    timeout(DEADLINE, second.read_exact(&mut begin)).await.expect("its turn").expect("answered");
    assert_eq!(&begin, b"HTTP/1.1 200");
    serving.finish().await;
    t.finish().await;
}

#[tokio::test]
async fn the_operations_listener_tells_health_readiness_and_metrics() {
    let t = TestArchive::start().await;
    let call = Call::new("acme", "1.1", t.now(), b"audio");
    let id = t.record(&call).await;
    let claim = t.spool(&Call { call_ref: "1.2".into(), ..call }).await;
    t.archive.quarantine(&claim, "not-audio", "no known format").await.expect("quarantine");
    let serving = Serving::start(&t.archive, local()).await;
    let client = reqwest::Client::new();
    let api = |path: &str| {
        client.get(format!("http://{}{path}", serving.api)).bearer_auth(TestArchive::token("tenant")).send()
    };
    api(&format!("/api/v1/recordings/{id}/audio")).await.expect("GET").bytes().await.expect("body");
    assert_eq!(api("/metrics").await.expect("GET").status(), 404, "not where strangers are");
    let operations = async |path: &str| {
        let answer = client.get(format!("http://{}{path}", serving.operations)).send().await.expect("GET");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(operations("/healthz").await.0, 200);
    assert_eq!(operations("/readyz").await.0, 200);
    let (status, text) = operations("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "fonoteca_sources_waiting{core_server=\"core-1\",state=\"quarantined\"} 1",
        "fonoteca_sources_waiting{core_server=\"core-1\",state=\"discovered\"} 0",
        "fonoteca_sources_waiting_seconds{core_server=\"core-1\",state=\"discovered\"} 0",
        "fonoteca_rotation_finished_seconds 0",
        "fonoteca_recordings{tier=\"basic\",store=\"disk\",class=\"live\"} 1",
        "fonoteca_stored_bytes{tier=\"basic\",store=\"disk\",class=\"live\"} 5",
        "fonoteca_audio_seconds{tier=\"basic\",store=\"disk\",class=\"live\"} 10",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} is not in:\n{text}");
    }
    // The recorder is the process's, so other tests may have counted too.
    let counted = |prefix: &str| text.lines().any(|line| line.starts_with(prefix));
    assert!(counted("fonoteca_http_requests_total{route=\"/api/v1/recordings/{id}/audio\",method=\"GET\""), "{text}");
    assert!(counted("fonoteca_http_request_seconds_bucket{route=\"/api/v1/recordings/{id}/audio\""), "{text}");
    assert!(counted("fonoteca_http_sent_bytes_total"), "{text}");
    assert!(!text.contains(&id.to_string()) && !text.contains("acme"), "{text}");

    let store = t.directory.path().join("store");
    let aside = t.directory.path().join("aside");
    std::fs::rename(&store, &aside).expect("take the store away");
    let (status, text) = operations("/readyz").await;
    assert_eq!((status, text.contains("\"code\":\"unavailable\"")), (503, true), "{text}");
    assert_eq!(operations("/healthz").await.0, 200);
    std::fs::rename(&aside, &store).expect("bring it back");
    assert_eq!(operations("/readyz").await.0, 200);
    assert_eq!(operations("/nothing").await.0, 404);
    serving.finish().await;
    t.finish().await;
}

#[tokio::test]
async fn an_address_in_use_is_one_clear_line() {
    let t = TestArchive::start().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = taken.local_addr().expect("address");
    let config = Config { operations_listen: address, ..local() };
    let error = HttpServer::bind(Arc::clone(&t.archive), config).await.expect_err("in use").to_string();
    assert!(error.contains(&address.to_string()) && error.contains("operations_listen"), "{error}");
    assert!(!error.contains('\n'), "{error}");
    let config = Config { max_connections: 0, ..local() };
    let error = HttpServer::bind(Arc::clone(&t.archive), config).await.expect_err("invalid").to_string();
    assert!(error.contains("max_connections"), "{error}");
    t.finish().await;
}
