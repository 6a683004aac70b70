//! Several instances on one catalogue: real processes that race, die, sleep, and are told to stop.

use std::time::{Duration, Instant};

use crate::harness::{Engine, Fonoteca, PATIENCE, lengthen, now};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";
const DAY: Duration = Duration::from_secs(86_400);
/// What is lost is soon known to be: the shortest times that the configuration takes.
const HASTY: &str = "lease = \"10 s\"\nlost_after = \"1 s\"\nfirst_retry = \"1 s\"\n";

/// A catalogue in PostgreSQL, and the configurations of the instances `a` and `b` on it.
fn platform() -> Fonoteca {
    let fonoteca = Fonoteca::new(Engine::Postgres);
    for name in ["a", "b"] {
        fonoteca.configure_another(name, HASTY);
    }
    fonoteca
}

fn record(fonoteca: &Fonoteca, count: u32) {
    for n in 0..count {
        fonoteca.record("acme", [WAV, GSM][n as usize % 2], now() - 3600, n);
    }
}

/// Waits until the statement gives what is expected.
async fn wait_until(fonoteca: &Fonoteca, sql: &str, expected: &str) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while fonoteca.psql(sql) != expected {
        assert!(Instant::now() < deadline, "{sql}: {}, not {expected}", fonoteca.psql(sql));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

const ARCHIVED: &str = "SELECT count(*) FROM recordings WHERE state = 'archived'";

#[tokio::test]
async fn fault_22_two_instances_race_for_sources_and_for_rotation_and_each_recording_comes_and_goes_once() {
    let fonoteca = platform();
    record(&fonoteca, 24);
    let (a, b) = (fonoteca.serve_as("a", ""), fonoteca.serve_as("b", ""));
    a.wait_for_recordings("operator", 24).await;
    assert_eq!(b.recordings("operator").await.len(), 24, "one catalogue");
    let metrics = reqwest::get(format!("{}/metrics", a.operations)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\nfonoteca_instances 2\n"), "{metrics}");
    assert_eq!(fonoteca.stored_objects().len(), 24, "each once");
    a.stop();
    b.stop();
    fonoteca.run_ok(&["rotate", "--confirm", "core-1"]);
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let fonoteca = &fonoteca;
            scope.spawn(move || fonoteca.run_ahead_as(name, 31 * DAY, &["rotate", "--once"]));
        }
    });
    assert_eq!(fonoteca.psql("SELECT count(*) FROM recordings WHERE state = 'expired'"), "24");
    assert_eq!(fonoteca.psql("SELECT sum(recordings) FROM usage WHERE class = 'grace'"), "24", "counted once");
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let fonoteca = &fonoteca;
            scope.spawn(move || fonoteca.run_ahead_as(name, 33 * DAY, &["rotate", "--once"]));
        }
    });
    assert_eq!(fonoteca.psql("SELECT count(*) FROM tombstones"), "24");
    assert_eq!(fonoteca.stored_objects().len(), 0);
    fonoteca.finish();
}

#[tokio::test]
async fn fault_01_what_a_killed_instance_had_spooled_or_claimed_is_done_by_another() {
    let fonoteca = platform();
    record(&fonoteca, 6);
    fonoteca.serve_until_killed_at("a", "collector", "spooled");
    assert_ne!(fonoteca.psql("SELECT count(*) FROM sources WHERE state = 'spooled'"), "0", "it held some");
    let b = fonoteca.serve_as("b", "collector");
    wait_until(&fonoteca, ARCHIVED, "6").await;
    assert_eq!(fonoteca.psql("SELECT count(*) FROM sources WHERE state <> 'done'"), "0");
    b.stop();
    // The lost one comes back, and finds nothing left to do.
    let a = fonoteca.serve_as("a", "collector");
    let landing = fonoteca.directory.path().join("a/landing");
    let deadline = Instant::now() + PATIENCE;
    while !crate::harness::files_under(&landing).is_empty() {
        assert!(Instant::now() < deadline, "its landing zone is cleared");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    a.stop();
    assert_eq!(fonoteca.psql(ARCHIVED), "6");
    assert_eq!(fonoteca.stored_objects().len(), 6);
    fonoteca.finish();
}

#[tokio::test]
async fn an_instance_whose_catalogue_was_moved_while_it_slept_says_so_and_ends() {
    let fonoteca = platform();
    let sleeper = fonoteca.serve_as("a", "collector");
    sleeper.signal("-STOP");
    // As a move leaves it behind: a sleeper's lease is over after a quarter of a minute.
    fonoteca.psql("UPDATE compatibility SET moved_at = 1795262400000");
    record(&fonoteca, 1);
    sleeper.signal("-CONT");
    let log = sleeper.wait_for_end(1);
    let told =
        "this catalogue was moved to another database at 2026-11-21T12:00:00.000Z: set [database] url to that one";
    assert_eq!(log.matches(&format!("fonoteca: {told}")).count(), 1, "{log}");
    assert_eq!(fonoteca.psql("SELECT count(*) FROM sources WHERE lease_until > 0"), "0", "nothing was claimed");
    fonoteca.psql("UPDATE compatibility SET moved_at = NULL");
    fonoteca.run_ok(&["collect", "--once"]);
    assert_eq!(fonoteca.psql(ARCHIVED), "1");
    fonoteca.finish();
}

#[tokio::test]
async fn fault_23_an_instance_that_slept_beyond_its_lease_commits_nothing() {
    for point in ["fetched", "object put"] {
        let fonoteca = platform();
        record(&fonoteca, 1);
        let sleeper = fonoteca.serve_until_asleep_at("a", "collector", point);
        let b = fonoteca.serve_as("b", "collector");
        wait_until(&fonoteca, ARCHIVED, "1").await;
        let recording = fonoteca.psql("SELECT id FROM recordings");
        sleeper.signal("-CONT");
        // What it waited for while it slept may have been given up; then it is not even told that it lost the claim.
        sleeper.wait_for_one_of(&["lost the claim", "failed to put back"]);
        sleeper.stop();
        b.stop();
        assert_eq!(fonoteca.psql("SELECT id FROM recordings"), recording, "asleep at {point}");
        assert_eq!(fonoteca.psql("SELECT count(*) FROM objects WHERE state = 'live'"), "1");
        // What it had put already is nobody's, and goes.
        fonoteca.run_ok(&["rotate", "--once"]);
        assert_eq!(fonoteca.stored_objects().len(), 1, "asleep at {point}");
        fonoteca.finish();
    }
}

#[tokio::test]
async fn fault_37_what_cannot_be_finished_in_time_is_given_back_and_done_by_another() {
    let fonoteca = platform();
    let hasty = std::fs::read_to_string(fonoteca.path("a.toml")).unwrap();
    std::fs::write(fonoteca.path("a.toml"), format!("shutdown_timeout = \"50 ms\"\n{hasty}")).unwrap();
    let path = fonoteca.record("acme", WAV, now() - 3600, 1);
    // Two hours: long enough to be in work when the signal comes.
    lengthen(&path, 2 * 3600);
    let a = fonoteca.serve_as("a", "collector");
    wait_until(&fonoteca, "SELECT count(*) FROM sources WHERE state = 'spooled'", "1").await;
    let told = Instant::now();
    a.stop();
    assert!(told.elapsed() < Duration::from_secs(20), "within its time: {:?}", told.elapsed());
    assert_eq!(fonoteca.psql("SELECT count(*) FROM sources WHERE state = 'spooled' AND lease_until = 0"), "1");
    assert_eq!(fonoteca.psql("SELECT count(*) FROM leases WHERE until > extract(epoch FROM now()) * 1000"), "0");
    let b = fonoteca.serve_as("b", "collector");
    wait_until(&fonoteca, ARCHIVED, "1").await;
    b.stop();
    fonoteca.finish();
}

#[tokio::test]
async fn each_role_runs_alone_and_opens_its_own_doors_only() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    for (only, doors) in [
        ("collector", [false, false, false]),
        ("rotation", [false, false, false]),
        ("ftp", [false, false, true]),
        ("http", [true, true, false]),
        ("ftp,http", [true, true, true]),
    ] {
        std::fs::copy(fonoteca.path("fonoteca.toml"), fonoteca.path("alone.toml")).unwrap();
        let alone = fonoteca.serve_as("alone", only);
        let open = [&alone.http, &alone.operations, &alone.ftp].map(|address| !address.is_empty());
        assert_eq!(open, doors, "{only}");
        alone.stop();
    }
    // One collects, another rotates, a third shows: the roles make up a whole.
    let fonoteca = platform();
    record(&fonoteca, 2);
    fonoteca.configure_another("c", HASTY);
    let parts = [fonoteca.serve_as("a", "collector"), fonoteca.serve_as("b", "rotation")];
    let door = fonoteca.serve_as("c", "http,ftp");
    door.wait_for_recordings("operator", 2).await;
    wait_until(&fonoteca, "SELECT count(*) > 0 FROM runs WHERE finished_at IS NOT NULL", "t").await;
    parts.into_iter().for_each(crate::harness::Running::stop);
    door.stop();
    fonoteca.finish();
}
