//! The catalogue from outside: moved, damaged, read-only, and a PostgreSQL that dies under the work.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use futures_util::StreamExt;

use crate::harness::{Engine, Fonoteca, PASSWORD, PATIENCE, lengthen, now, token};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";

#[tokio::test]
async fn a_catalogue_is_moved_to_postgres_and_the_work_goes_on_there() {
    let mut fonoteca = Fonoteca::new(Engine::Sqlite);
    for n in 0..4 {
        fonoteca.record("acme", [WAV, GSM][n % 2], now() - 3600, n as u32);
    }
    let service = fonoteca.serve();
    service.wait_for_recordings("operator", 4).await;
    let from = format!("sqlite:{}", fonoteca.path("data/catalogue.db"));
    let new_database = crate::harness::new_postgres_database();
    let told = fonoteca.run(&["migrate", "--from", &from, "--to", &new_database]);
    let complaint = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.code() == Some(2) && complaint.contains("a password on the command line"), "{complaint}");
    std::fs::write(fonoteca.path("database-url"), format!("{new_database}\n")).unwrap();
    let to = format!("file:{}", fonoteca.path("database-url"));
    let refused = fonoteca.run(&["migrate", "--from", &from, "--to", &to]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{complaint}");
    assert!(complaint.contains("at work on the catalogue"), "{complaint}");
    service.stop();

    let arguments = ["migrate", "--from", &from, "--to", &to];
    // Cut off at the end: once more finds that all of it is there.
    assert!(fonoteca.run_until_killed_at("catalogue copied", std::time::Duration::ZERO, &arguments));
    let told = fonoteca.run_ok(&arguments);
    assert!(told.contains("recordings: 4 rows") && told.contains("set [database] url"), "{told}");
    let left = fonoteca.run(&["verify"]);
    let complaint = String::from_utf8(left.stderr).unwrap();
    assert!(complaint.contains("was moved to another database"), "{complaint}");

    fonoteca.use_database(&new_database);
    assert!(fonoteca.run_ok(&["migrate"]).contains("the postgres catalogue is up to date"));
    assert!(fonoteca.run_ok(&["verify", "--deep"]).contains(": 0 findings"));
    fonoteca.record("acme", WAV, now() - 1800, 9);
    let service = fonoteca.serve();
    service.wait_for_recordings("operator", 5).await;
    service.stop();
    fonoteca.finish();
}

/// Runs a command as somebody who may only read what the files' modes let everybody read.
fn run_as_nobody(fonoteca: &Fonoteca, arguments: &[&str]) -> std::process::Output {
    let program = env!("CARGO_BIN_EXE_fonoteca");
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = if is_root { Command::new("setpriv") } else { Command::new(program) };
    if is_root {
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", program]);
    }
    command.args(arguments).env("FONOTECA_CONFIG", fonoteca.path("fonoteca.toml")).output().unwrap()
}

#[tokio::test]
async fn fault_25_a_catalogue_that_can_only_be_read_or_is_damaged_is_refused_with_one_line() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let catalogue = fonoteca.directory.path().join("data/catalogue.db");
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(fonoteca.directory.path(), 0o755);
    mode(&fonoteca.directory.path().join("data"), 0o777);
    mode(&catalogue, 0o444);
    let refused = run_as_nobody(&fonoteca, &["verify"]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), complaint.lines().count()), (Some(2), 1), "{complaint}");
    assert!(complaint.contains("catalogue.db can only be read"), "{complaint}");
    mode(&catalogue, 0o644);

    let whole = std::fs::read(&catalogue).unwrap();
    std::fs::write(&catalogue, [b"garbage".repeat(100), whole[700..].to_vec()].concat()).unwrap();
    let refused = fonoteca.run(&["serve"]);
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), complaint.lines().count()), (Some(2), 1), "{complaint}");
    assert!(complaint.contains("catalogue.db is damaged or no catalogue"), "{complaint}");
    std::fs::write(&catalogue, whole).unwrap();
    fonoteca.finish();
}

// What a power cut left at the end of the write-ahead log was never acknowledged.
#[tokio::test]
async fn fault_25_a_torn_end_of_the_write_ahead_log_loses_nothing_that_was_archived() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    fonoteca.record("acme", WAV, now() - 3600, 1);
    let service = fonoteca.serve();
    service.wait_for_recordings("operator", 1).await;
    service.kill();
    let log = fonoteca.directory.path().join("data/catalogue.db-wal");
    let mut torn = std::fs::read(&log).expect("a killed process leaves its log");
    torn.extend(b"half a page that never".repeat(100));
    std::fs::write(&log, torn).unwrap();
    fonoteca.record("acme", GSM, now() - 3600, 2);
    let service = fonoteca.serve();
    service.wait_for_recordings("operator", 2).await;
    service.stop();
    fonoteca.finish();
}

/// A PostgreSQL of the test's own.
struct OwnPostgres {
    url: String,
}

impl OwnPostgres {
    fn script(arguments: &[&str]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/services/postgres");
        let output = Command::new(script).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn start() -> Self {
        Self { url: Self::script(&["start"]) }
    }

    fn crash(&self) {
        Self::script(&["crash", &self.url]);
    }

    fn resume(&self) {
        Self::script(&["resume", &self.url]);
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        Self::script(&["stop", &self.url]);
    }
}

#[tokio::test]
async fn fault_24_a_postgres_that_dies_in_the_middle_stops_nobody_who_listens_and_the_work_goes_on_after_it() {
    let postgres = OwnPostgres::start();
    let fonoteca = Fonoteca::on_database(&postgres.url);
    // Nobody's PBX: kept as it came, and too long for the buffers between us.
    let long = fonoteca.record("stray", WAV, now() - 3600, 1);
    let bytes = lengthen(&long, 2500);
    let service = fonoteca.serve();
    let recording = service.wait_for_recordings("operator", 1).await.remove(0);
    let audio = format!("{}/api/v1/recordings/{}/audio", service.http, recording["id"].as_str().unwrap());
    let answer = reqwest::Client::new().get(audio).bearer_auth(token("operator")).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(bytes.len() as u64));
    let mut stream = answer.bytes_stream();
    let mut heard = stream.next().await.unwrap().unwrap().to_vec();
    for n in 0..12 {
        fonoteca.record("acme", [WAV, GSM][n % 2], now() - 3600, 10 + n as u32);
    }
    service.wait_for_log("archived recording");
    postgres.crash();

    while let Some(block) = stream.next().await {
        heard.extend(block.unwrap());
    }
    assert!(heard == bytes, "who listens hears it to the end");
    let refused = service.get("operator", "/api/v1/recordings").await;
    assert_eq!(refused.status(), 503, "not possible at the moment");
    let login = format!("acme:{PASSWORD}");
    let ftp = Command::new("curl")
        .args(["--silent", "--verbose", "--insecure", "--max-time", &PATIENCE.as_secs().to_string()])
        .args(["--user", &login, &format!("{}/", service.ftp)])
        .output()
        .unwrap();
    let talk = String::from_utf8_lossy(&ftp.stderr).into_owned();
    assert!(!ftp.status.success() && talk.lines().any(|line| line.starts_with("< 4")), "try again later: {talk}");

    postgres.resume();
    service.wait_for_recordings("operator", 13).await;
    service.stop();
    assert_eq!(fonoteca.stored_objects().len(), 13);
    fonoteca.finish();
}
