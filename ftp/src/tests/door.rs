//! A running server for a test.

use std::net::SocketAddr;
use std::time::Duration;

use archive::testing::{Call, TestArchive};
use archive::{AuditRow, RecordingId, Scope};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Client;
use crate::{Config, FtpServer, PortRange, TlsMode};

/// The longest that anything in a test may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// An archive with a door.
pub(super) struct Door {
    pub(super) t: TestArchive,
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    pub(super) at_once: CancellationToken,
    server: TaskTracker,
}

/// Any free port, and no TLS: what most tests are not about.
pub(super) fn clear() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        passive_ports: PortRange::ANY,
        tls: TlsMode::Off,
        ..Config::default()
    }
}

impl Door {
    /// Opens a door to a new archive.
    pub(super) async fn open(config: Config) -> Self {
        Self::open_before(TestArchive::start().await, config).await
    }

    /// Opens a door to that archive.
    pub(super) async fn open_before(t: TestArchive, config: Config) -> Self {
        let server = FtpServer::bind(t.archive.clone(), config, t.directory.path()).await.unwrap();
        let (address, stop, tracker) = (server.local_addr(), CancellationToken::new(), TaskTracker::new());
        let at_once = CancellationToken::new();
        tracker.spawn(server.run(stop.clone(), at_once.clone()));
        tracker.close();
        Self { t, address, stop, at_once, server: tracker }
    }

    /// A client that is connected, and nothing more.
    pub(super) async fn connect(&self) -> Client {
        let mut client = Client::connect(self.address).await;
        assert_eq!(client.reply().await.code, 220);
        client
    }

    /// A client that has logged in as the PBX's account.
    pub(super) async fn log_in(&self, pbx: &str) -> Client {
        let mut client = self.connect().await;
        client.log_in(&format!("ftp-{pbx}"), TestArchive::PASSWORD).await;
        client
    }

    /// Archives a recording of the PBX, begun now, and says under which path it is listed.
    pub(super) async fn record(&self, pbx: &str, bytes: &[u8]) -> (RecordingId, String) {
        let call = Call::new(pbx, &format!("{:p}-{}", bytes, bytes.len()), self.t.now(), bytes);
        let id = self.t.record(&call).await;
        let recording = self.t.archive.get_recording(Scope::Platform, id).await.unwrap();
        (id, format!("/2026/11/21/{}", recording.file_name))
    }

    /// Every audit row of that action, oldest first.
    pub(super) async fn audit(&self, action: &str) -> Vec<AuditRow> {
        let mut rows = self.t.audited(action).await;
        rows.reverse();
        rows
    }

    /// Waits until the server has stopped by itself.
    pub(super) async fn stopped(&self) {
        tokio::time::timeout(DEADLINE, self.server.wait()).await.expect("the server stops");
    }

    /// The end of every test.
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.stopped().await;
        self.t.finish().await;
    }
}
