//! A platform, a spool and a collector between them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use archive::testing::TestArchive;
use archive::{Actor, AfterArchive, CoreServer, Recording, Scope, Search, Source, SourceState};
use tokio_util::sync::CancellationToken;

use crate::lane::Lane;
use crate::{Collected, Collector, Config};

/// Where the real recordings are.
pub(super) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// A WAV file of 8 kHz mono whose audio differs with `pitch`.
pub(crate) fn wav(seconds: u32, pitch: u32) -> Vec<u8> {
    let samples = seconds * 8000;
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((36 + samples * 2).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    bytes.extend((samples * 2).to_le_bytes());
    for n in 0..samples {
        let angle = f64::from(n * pitch) / 8000.0 * std::f64::consts::TAU;
        bytes.extend(((angle.sin() * 8000.0) as i16).to_le_bytes());
    }
    bytes
}

pub(super) struct Rig {
    pub(super) t: TestArchive,
    pub(super) spool: PathBuf,
    pub(super) landing: PathBuf,
    pub(super) config: Config,
}

impl Rig {
    pub(super) async fn start() -> Self {
        Self::start_on(TestArchive::start().await)
    }

    pub(super) fn start_on(t: TestArchive) -> Self {
        let (spool, landing) = (t.directory.path().join("spool"), t.directory.path().join("landing-zone"));
        fs::create_dir(&spool).unwrap();
        let config = Config { workers: 2, scan_interval: Duration::from_millis(100), ..Config::default() };
        Self { t, spool, landing, config }
    }

    /// A collector such as a new process would have.
    pub(super) fn collector(&self) -> Collector {
        Collector::new(Arc::clone(&self.t.archive), self.config.clone(), self.landing.clone()).unwrap()
    }

    pub(super) async fn collect(&self) -> Collected {
        self.collector().collect_once(None).await.unwrap()
    }

    /// The lane of `core-1`, of a collector such as a new process would have.
    pub(super) async fn lane(&self) -> Arc<Lane> {
        let (lanes, _) = self.collector().begin_round().await.unwrap();
        lanes.into_iter().find(|lane| lane.server().core.name == "core-1").unwrap()
    }

    /// Lists the spool, and no more.
    pub(super) async fn scan(&self) {
        self.lane().await.scan(&CancellationToken::new()).await.unwrap();
    }

    /// Puts a file into the spool that has not changed for `age`.
    pub(super) fn put_aged(&self, path: &str, bytes: &[u8], age: Duration) -> PathBuf {
        self.put_into(&self.spool, path, bytes, age)
    }

    /// Puts a file into a spool, all at once: a collector may be running.
    pub(super) fn put_into(&self, spool: &Path, path: &str, bytes: &[u8], age: Duration) -> PathBuf {
        let file = spool.join(path);
        let hidden = file.with_file_name(".arriving");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&hidden, bytes).unwrap();
        self.age(&hidden, age);
        fs::rename(&hidden, &file).unwrap();
        file
    }

    /// Puts a file into the spool that has not changed for a day.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
        self.put_aged(path, bytes, Duration::from_secs(86_400))
    }

    /// Makes the file one that has not changed for `age`.
    pub(super) fn age(&self, file: &Path, age: Duration) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.t.now().millis() as u64);
        File::options().append(true).open(file).unwrap().set_modified(now - age).unwrap();
    }

    pub(super) async fn recordings(&self) -> Vec<Recording> {
        self.t.archive.search(Scope::Platform, &Search::default(), None, 200).await.unwrap().items
    }

    /// The recording of the call that began last.
    pub(super) async fn newest(&self) -> Option<Recording> {
        self.t.archive.search(Scope::Platform, &Search::default(), None, 1).await.unwrap().items.pop()
    }

    pub(super) async fn only_recording(&self) -> Recording {
        let [recording] = <[Recording; 1]>::try_from(self.recordings().await).expect("one recording");
        recording
    }

    pub(super) async fn sources(&self, state: SourceState) -> Vec<Source> {
        self.t.archive.list_sources(state, 100).await.unwrap()
    }

    /// Waits until so many sources lie in the landing zone.
    pub(super) async fn wait_for_spooled(&self, count: usize) {
        let spooled = async {
            while self.sources(SourceState::Spooled).await.len() < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), spooled).await.expect("spooled in time");
    }

    /// The codes of what is quarantined, in order.
    pub(super) async fn quarantined(&self) -> Vec<String> {
        let sources = self.sources(SourceState::Quarantined).await;
        let mut codes: Vec<String> = sources.into_iter().filter_map(|source| source.error_code).collect();
        codes.sort();
        codes
    }

    pub(super) fn landed(&self) -> usize {
        fs::read_dir(&self.landing).unwrap().count()
    }

    pub(super) async fn set_after(&self, after: AfterArchive) {
        let mut declaration = self.t.declaration();
        declaration.core_servers[0].after = after;
        self.t.archive.apply(&Actor::command_line(), &declaration).await.unwrap();
    }

    /// Adds a core server.
    pub(super) async fn add_core_server(&self, name: &str, spool: &Path, layout: &str) -> CoreServer {
        let mut declaration = self.t.declaration();
        let mut server = declaration.core_servers[0].clone();
        server.name = name.to_owned();
        server.spool = spool.to_owned();
        server.layout = layout.to_owned();
        declaration.core_servers.push(server);
        self.t.archive.apply(&Actor::command_line(), &declaration).await.unwrap();
        let servers = self.t.archive.list_core_servers().await.unwrap();
        servers.into_iter().find(|server| server.name == name).unwrap()
    }

    /// Takes the store away, as an unmounted disk would; and brings it back.
    pub(super) fn unmount_store(&self) {
        let store = self.t.directory.path().join("store");
        fs::rename(store.join("fonoteca-store.txt"), store.join("../marker")).unwrap();
    }

    pub(super) fn mount_store(&self) {
        let store = self.t.directory.path().join("store");
        fs::rename(store.join("../marker"), store.join("fonoteca-store.txt")).unwrap();
    }

    /// The end of every test: nothing is left in the landing zone but what waits there, and all agrees.
    pub(super) async fn finish(self) {
        let waiting = self.sources(SourceState::Spooled).await.len();
        assert_eq!(self.landed(), waiting, "leftovers in the landing zone");
        self.t.archive.sweep_objects(100).await.unwrap();
        self.t.finish().await;
    }
}
