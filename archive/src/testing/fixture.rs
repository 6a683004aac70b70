//! An archive on a real database and a real disk, with two resellers, three tenants and four PBXs in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sqlx::Connection;

use super::TestClock;
use super::stores::{disk_store, open};
use crate::clock::Instant;
use crate::delivery::{Delivered, Delivery};
use crate::hash::Sha256;
use crate::id::RecordingId;
use crate::organisation::{CoreServer, PbxPlace, Tenant};
use crate::scope::{Actor, Scope};
use crate::sources::{NewSource, SourceClaim};
use crate::stores::StoreConfig;
use crate::verify::Depth;
use crate::words::{Direction, Leg};
use crate::{Archive, AuditRow, PurgeRound, Purged};

/// 2026-11-21T12:00:00Z: what the fixture's clock shows at first.
const START: Instant = Instant::from_millis(1_795_262_400_000);

/// An archive for one test. The clock stands at 2026-11-21T12:00:00Z until it is turned.
///
/// Resellers `north` (tenants `acme` in Europe/Berlin, `borealis` in UTC) and `south` (tenant `cobalt` in
/// America/New_York); PBXs `acme`, `acme-lab`, `borealis`, `cobalt`; tiers `basic` (30 days, mp3) and `small` (quota
/// 10,000 bytes); core server `core-1`; users `operator`, `reseller`, `tenant`, `pbx` (with tokens `<login>-token-…`, see
/// [`TestArchive::token`]) and `stranger` (the tenant cobalt); FTP accounts `ftp-<pbx>`; every password is
/// [`TestArchive::PASSWORD`].
#[derive(Debug)]
pub struct TestArchive {
    /// The archive.
    pub archive: Arc<Archive>,
    /// Its clock.
    pub clock: Arc<TestClock>,
    /// Its directory: `store/` is the disk store, `landing/` is for files to deliver.
    pub directory: tempfile::TempDir,
    pub(super) database_url: String,
    pub(super) stores: Vec<StoreConfig>,
}

/// A call whose recording a test wants archived.
#[derive(Clone, Debug)]
pub struct Call {
    /// What the path says of the PBX: a PBX's code, or something unknown.
    pub pbx: String,
    /// The call's own name.
    pub call_ref: String,
    /// Which side of it.
    pub leg: Leg,
    /// When it began; `None`: the path does not say.
    pub started_at: Option<Instant>,
    /// The calling number.
    pub caller: String,
    /// The called number.
    pub callee: String,
    /// What the recording's bytes are.
    pub bytes: Vec<u8>,
}

impl Call {
    /// A call of the PBX, begun at `started_at`, whose recording is `bytes`.
    pub fn new(pbx: &str, call_ref: &str, started_at: Instant, bytes: &[u8]) -> Self {
        Self {
            pbx: pbx.to_owned(),
            call_ref: call_ref.to_owned(),
            leg: Leg::Mixed,
            started_at: Some(started_at),
            caller: "101".to_owned(),
            callee: "+4930123456".to_owned(),
            bytes: bytes.to_vec(),
        }
    }
}

impl TestArchive {
    /// The password of every user and FTP account.
    pub const PASSWORD: &'static str = "correct horse battery";

    /// Its hash, made once: hashing it for every login of every test would take longer than the tests.
    pub const PASSWORD_HASH: &'static str =
        "$argon2id$v=19$m=19456,t=2,p=1$u0NipABu4uXhB/AhmkbkiQ$09HDl5t6XfstDHVvVMTNKdx/jkwgynr3LzUi+K8n2Bk";

    /// The bearer token of the user with that login.
    pub fn token(login: &str) -> String {
        format!("{login}-token-0123456789abcdef0123456789abcdef")
    }

    /// On SQLite, in a file.
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let url = format!("sqlite:{}", directory.path().join("catalogue.db").display());
        Self::start_in(directory, url, Vec::new()).await
    }

    /// On SQLite, with more stores beside `disk`.
    pub async fn start_with(more: Vec<StoreConfig>) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let url = format!("sqlite:{}", directory.path().join("catalogue.db").display());
        Self::start_in(directory, url, more).await
    }

    /// On PostgreSQL, in a database of its own on the server that `FONOTECA_TEST_POSTGRES` names.
    pub async fn start_on_postgres() -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        Self::start_in(directory, new_postgres_database().await, Vec::new()).await
    }

    /// As [`TestArchive::start`], in memory: for hundreds of rounds that need not wait for a disk.
    pub async fn start_in_memory() -> Self {
        let directory = directory_in_memory();
        let url = format!("sqlite:{}", directory.path().join("catalogue.db").display());
        Self::start_in(directory, url, Vec::new()).await
    }

    /// As [`TestArchive::start_on_postgres`], with its store in memory.
    pub async fn start_in_memory_on_postgres() -> Self {
        Self::start_in(directory_in_memory(), new_postgres_database().await, Vec::new()).await
    }

    async fn start_in(directory: tempfile::TempDir, database_url: String, more: Vec<StoreConfig>) -> Self {
        let clock = Arc::new(TestClock::at(START));
        let stores: Vec<_> = std::iter::once(disk_store(&directory, "disk", "store")).chain(more).collect();
        let archive = open(&stores, &database_url, "test-1", &clock).await.expect("open the archive");
        let test = Self { archive, clock, directory, database_url, stores };
        test.archive.apply(&Actor::command_line(), &test.declaration()).await.expect("apply the platform");
        test
    }

    /// Where its catalogue is.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The same archive on another catalogue, which must be of the same stores.
    pub async fn reopen_at(&self, database_url: &str) -> Arc<Archive> {
        open(&self.stores, database_url, "test-1", &self.clock).await.expect("open the archive")
    }

    /// A little of everything: two recordings that stay (one of them held), one expired, one purged, one source
    /// spooled, and the audit of it all. Nothing waits to be flushed or purged.
    pub async fn work(&self) {
        let (place, hour) = (self.place("acme").await, Duration::from_secs(3600));
        let end = Instant::from_millis(i64::MAX);
        let mut ids = Vec::new();
        for n in 0..4 {
            ids.push(self.record(&Call::new("acme", &n.to_string(), self.now(), b"some audio")).await);
        }
        let expire = async |id| {
            let expired =
                self.archive.expire(place.tenant, place.pbx, &[id], end, crate::ExpiryReason::Days, hour).await;
            assert_eq!(expired.expect("expire").recordings, 1);
        };
        expire(ids[0]).await;
        self.clock.advance(2 * hour);
        assert_eq!(self.purge().await.recordings, 1);
        expire(ids[1]).await;
        let hold = crate::NewHold {
            tenant: place.tenant,
            matter: "a matter".to_owned(),
            recording: Some(ids[2]),
            pbx: None,
            number: None,
            from: None,
            until: None,
        };
        self.archive.set_hold(&Actor::command_line(), &hold).await.expect("hold");
        self.spool(&Call::new("acme", "spooled", self.now(), b"more audio")).await;
        let run = self.archive.start_run("rotation").await.expect("start a run");
        self.archive.finish_run(&Actor::system("rotation"), run, "rotation", "{}", &[]).await.expect("finish it");
        self.archive.note_read(&Actor::command_line(), "recording.download", Some(place.tenant), None, &json!({}));
        self.archive.flush_reads().await.expect("flush the reads");
        self.archive.seal_audit().await.expect("seal the audit");
        self.archive.retire_instance().await.expect("give the leases back");
    }

    /// Another instance on the same catalogue and store.
    pub async fn another_instance(&self, name: &str) -> Arc<Archive> {
        self.open_again(name).await.expect("open the archive")
    }

    /// As [`TestArchive::another_instance`], by a clock that shows `now`.
    pub async fn another_instance_at(&self, name: &str, now: Instant) -> Arc<Archive> {
        let clock = Arc::new(TestClock::at(now));
        open(&self.stores, &self.database_url, name, &clock).await.expect("open the archive")
    }

    /// As [`TestArchive::another_instance`], which may not be able to start.
    pub async fn open_again(&self, name: &str) -> crate::Result<Arc<Archive>> {
        open(&self.stores, &self.database_url, name, &self.clock).await
    }

    /// The platform described above, as it is applied.
    pub fn declaration(&self) -> crate::Declaration {
        let user = |login: &str, role: &str, of: Option<&str>| json!({ "login": login, "role": role, "of": of, "password_hash": Self::PASSWORD_HASH, "token": Self::token(login) });
        let account =
            |pbx: &str| json!({ "login": format!("ftp-{pbx}"), "pbx": pbx, "password_hash": Self::PASSWORD_HASH });
        serde_json::from_value(json!({
            "resellers": [
                { "code": "north", "name": "North Telecom" },
                { "code": "south", "name": "South Voice" },
            ],
            "tiers": [
                { "code": "basic", "name": "30 days", "days": 30, "format": "mp3" },
                { "code": "small", "name": "10 kB", "quota": 10_000, "format": "mp3", "stores": ["disk"] },
            ],
            "tenants": [
                { "code": "acme", "name": "Acme", "reseller": "north", "tier": "basic", "time_zone": "Europe/Berlin" },
                { "code": "borealis", "name": "Borealis", "reseller": "north", "tier": "basic" },
                { "code": "cobalt", "name": "Cobalt", "reseller": "south", "tier": "basic",
                  "time_zone": "America/New_York" },
            ],
            "pbxs": [
                { "code": "acme", "name": "Acme", "tenant": "acme" },
                { "code": "acme-lab", "name": "Acme's laboratory", "tenant": "acme", "tier": "small" },
                { "code": "borealis", "name": "Borealis", "tenant": "borealis" },
                { "code": "cobalt", "name": "Cobalt", "tenant": "cobalt" },
            ],
            "core_servers": [{ "name": "core-1", "spool": self.directory.path().join("spool"), "layout": "asterisk" }],
            "users": [
                user("operator", "operator", None),
                user("reseller", "reseller", Some("north")),
                user("tenant", "tenant", Some("acme")),
                user("pbx", "pbx", Some("acme")),
                user("stranger", "tenant", Some("cobalt")),
            ],
            "ftp_accounts": [account("acme"), account("acme-lab"), account("borealis"), account("cobalt")],
        }))
        .expect("the platform is well formed")
    }

    /// Has the recordings of the PBX `acme-lab` stored in the store of that name alone.
    pub async fn store_in(&self, store: &str) {
        let declaration = serde_json::from_value(json!({
            "tiers": [{ "code": "small", "name": "10 kB", "quota": 1_000_000_000, "format": "mp3", "stores": [store] }],
        }));
        let declaration = declaration.expect("the tier is well formed");
        self.archive.apply(&Actor::command_line(), &declaration).await.expect("apply the tier");
    }

    /// Now, by the test's clock.
    pub fn now(&self) -> Instant {
        crate::Clock::now(&*self.clock)
    }

    /// The core server `core-1`.
    pub async fn core_server(&self) -> CoreServer {
        self.archive.list_core_servers().await.expect("core servers").remove(0)
    }

    /// The PBX with that code.
    pub async fn place(&self, code: &str) -> PbxPlace {
        let server = self.core_server().await;
        self.archive.find_place(server.id, code).await.expect("find the PBX").expect("the PBX is there")
    }

    /// The tenant with that code.
    pub async fn tenant(&self, code: &str) -> Tenant {
        let tenants = self.archive.list_tenants(Scope::Platform).await.expect("tenants");
        tenants.into_iter().find(|tenant| tenant.code == code).expect("the tenant is there")
    }

    /// Lists the call's source, claims it and spools it.
    pub async fn spool(&self, call: &Call) -> SourceClaim {
        let server = self.core_server().await;
        let path = format!("{}/{}-{}-{}.wav", call.pbx, call.call_ref, call.leg, Sha256::of(&call.bytes));
        let listed = NewSource {
            path: path.into(),
            size_bytes: call.bytes.len() as u64,
            mtime: self.now(),
            pbx_token: call.pbx.clone(),
            call_ref: call.call_ref.clone(),
            leg: call.leg,
            direction: Direction::Out,
            caller: call.caller.clone(),
            callee: call.callee.clone(),
            started_at: call.started_at,
        };
        self.archive.discover(server.id, &[listed]).await.expect("discover");
        let claims = self.archive.claim_sources(server.id, Duration::from_secs(60), 1).await.expect("claim the source");
        let [claim] = <[SourceClaim; 1]>::try_from(claims).expect("one source waits");
        self.archive.mark_spooled(&claim, Sha256::of(&call.bytes)).await.expect("mark spooled");
        claim
    }

    /// What is to be delivered for a spooled source: its bytes as they are.
    pub async fn delivery(&self, claim: SourceClaim, call: &Call) -> Delivery {
        let server = self.core_server().await;
        let place = self.archive.find_place(server.id, &call.pbx).await.expect("find the PBX");
        let id = self.archive.new_recording_id(&claim);
        let file = self.directory.path().join(format!("landing-{id}"));
        std::fs::write(&file, &call.bytes).expect("write the file to deliver");
        Delivery {
            claim,
            core_server: server,
            place,
            id,
            file,
            size_bytes: call.bytes.len() as u64,
            sha256: Sha256::of(&call.bytes),
            source_sha256: Sha256::of(&call.bytes),
            format: "mp3".to_owned(),
            content_type: "audio/mpeg".to_owned(),
            bitrate_bps: 32_000,
            sample_rate: 8000,
            channels: 1,
            duration_ms: 10_000,
            source_format: "wav/pcm_s16le".to_owned(),
            kept_original: false,
            quality: "{}".to_owned(),
            flags: vec![],
            peaks: vec![1, 2, 3],
        }
    }

    /// Brings the call's recording all the way into the archive.
    pub async fn deliver(&self, call: &Call) -> Delivered {
        let claim = self.spool(call).await;
        let delivery = self.delivery(claim, call).await;
        self.archive.deliver(&delivery).await.expect("deliver")
    }

    /// As [`TestArchive::deliver`], for a recording that must be new.
    pub async fn record(&self, call: &Call) -> RecordingId {
        match self.deliver(call).await {
            Delivered::Archived(id) => id,
            other => panic!("expected a new recording, got {other:?}"),
        }
    }

    /// Purges up to ten recordings whose grace period is over.
    pub async fn purge(&self) -> Purged {
        self.archive.purge_batch(&mut PurgeRound::default(), 10).await.expect("purge")
    }

    /// How many recordings were purged so far.
    pub async fn count_tombstones(&self) -> u64 {
        let row = self.archive.db.fetch_one("SELECT count(*) AS n FROM tombstones", vec![]).await;
        row.and_then(|row| row.get("n")).expect("count the tombstones")
    }

    /// The file of the recording in the disk store.
    pub fn stored_file(&self, id: RecordingId) -> PathBuf {
        self.stored_file_in("store", id)
    }

    /// The file of the recording in the store whose directory has that name.
    pub fn stored_file_in(&self, directory: &str, id: RecordingId) -> PathBuf {
        let mut directories = vec![self.directory.path().join(directory)];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("list the store") {
                let entry = entry.expect("list the store");
                if entry.path().is_dir() {
                    directories.push(entry.path());
                } else if entry.file_name().to_string_lossy().starts_with(&id.to_string()) {
                    return entry.path();
                }
            }
        }
        panic!("no object of recording {id}");
    }

    /// Every row of the audit about `action`, newest first, with the reads that were noted so far.
    pub async fn audited(&self, action: &str) -> Vec<AuditRow> {
        self.archive.flush_reads().await.expect("flush the reads");
        let mut rows = self.archive.list_audit(Scope::Platform, None, 1000).await.expect("list the audit");
        rows.retain(|row| row.action == action);
        rows
    }

    /// The end of every test: catalogue and stores agree, down to the last byte.
    pub async fn finish(self) {
        let report = self.archive.verify(Depth::Deep).await.expect("verify");
        assert_eq!(report.findings, vec![], "catalogue and stores disagree");
        self.archive.close().await.expect("close");
    }
}

fn directory_in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("temporary directory in memory")
}

/// A new database on the test server; `make test` starts one and says where.
pub(crate) async fn new_postgres_database() -> String {
    let server = std::env::var("FONOTECA_TEST_POSTGRES")
        .expect("FONOTECA_TEST_POSTGRES is not set: run the tests by `make test`, which starts a PostgreSQL for them");
    let name = format!("fonoteca_{:032x}", rand::random::<u128>());
    let mut connection = sqlx::PgConnection::connect(&server).await.expect("connect to the test PostgreSQL");
    let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(sql).execute(&mut connection).await.expect("create a database");
    let (base, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{base}/{name}")
}
