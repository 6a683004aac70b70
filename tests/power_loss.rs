//! The power fails while recordings arrive and while they are purged: what the disk had not promised to keep is gone,
//! and yet nothing that was acknowledged is lost, and nothing comes back.
//!
//! strace tells what Fonoteca did to its disk, and in which order; `disk` forgets of it what no `fsync` covers. What is
//! left is what a machine finds after the power came back.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{Engine, Fonoteca, files_under, now, tell};

mod disk;
mod trace;

use disk::Disk;

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";
const DAY: Duration = Duration::from_secs(86_400);

/// How often the power fails; `FONOTECA_POWER_FAILURES` says otherwise.
fn failures() -> usize {
    std::env::var("FONOTECA_POWER_FAILURES").map_or(12, |count| count.parse().expect("a number"))
}

/// Numbers that look random and are the same in each run.
fn dice(seed: usize) -> impl FnMut(usize) -> usize {
    let mut state = seed as u64;
    move |sides| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    }
}

/// What commands do to the disk, and the moments at which something ended.
fn watch(fonoteca: &Fonoteca, ahead: Duration, commands: &[&[&str]]) -> (Disk, Vec<usize>) {
    let root = fonoteca.directory.path().to_owned();
    let (mut disk, mut moments) = (Disk::of(&root), Vec::new());
    let outside = tempfile::tempdir().unwrap();
    let log = outside.path().join("trace");
    for arguments in commands {
        let output = trace::traced(&fonoteca.command_ahead(ahead, arguments), &log).output();
        let output = output.expect("run strace: `make setup` installs it");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        let steps = trace::read(&log, &root, moments.last().map_or(0, |last| last + 1));
        disk.replay(&steps);
        moments.extend(steps.iter().map(|step| step.ended));
    }
    (disk, moments)
}

/// A moment in each of as many equal parts as there are failures.
fn moment(moments: &[usize], failure: usize, dice: &mut impl FnMut(usize) -> usize) -> usize {
    let part = moments.len() / failures();
    moments[part * failure + dice(part)]
}

#[test]
fn fault_02_after_a_power_failure_while_recordings_arrive_each_is_archived_or_still_at_its_core_server() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    fonoteca.declare("after = { then = \"delete\", after_s = 0 }\n");
    fonoteca.run_ok(&["apply", &fonoteca.path("platform.toml")]);
    // A first run, so that the catalogue and its store are there; then the one in which the power fails.
    fonoteca.record("acme", GSM, now() - 7200, 0);
    fonoteca.collect_and_confirm();
    // Calls of after the enrolment: their sources leave the core server as soon as they are archived.
    let sources: Vec<PathBuf> = (1..=6).map(|n| fonoteca.record("acme", WAV, now() + 2, n)).collect();
    let (disk, moments) = watch(&fonoteca, Duration::ZERO, &[&["collect", "--once"], &["collect", "--once"]]);
    assert!(sources.iter().all(|source| !source.exists()), "the sources leave their core server");
    for failure in 0..failures() {
        let mut dice = dice(failure);
        let cut = moment(&moments, failure, &mut dice);
        disk.after_power_loss(cut, &mut dice, fonoteca.directory.path());
        let gone = sources.iter().filter(|source| !source.exists()).count();
        fonoteca.run_ok(&["collect", "--once"]);
        fonoteca.run_ok(&["collect", "--once"]);
        let report = fonoteca.run_ok(&["verify", "--deep"]);
        tell(&format!("the power failed after deed {cut}, {gone} sources were removed: {}", report.trim()));
        assert!(report.contains(": 0 findings"), "failure {failure}: {report}");
        assert!(report.starts_with("7 objects"), "failure {failure}: each recording once: {report}");
    }
    fonoteca.finish();
}

#[test]
fn fault_02_after_a_power_failure_while_recordings_are_purged_none_comes_back_and_none_is_half_gone() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    for n in 0..6 {
        fonoteca.record("acme", [WAV, GSM][n % 2], now() - 3600, n as u32);
    }
    fonoteca.collect_and_confirm();
    fonoteca.run_ahead(31 * DAY, &["rotate", "--once"]);
    let (disk, moments) = watch(&fonoteca, 33 * DAY, &[&["rotate", "--once"]]);
    assert_eq!(fonoteca.stored_objects().len(), 0);
    for failure in 0..failures() {
        let mut dice = dice(1_000 + failure);
        let cut = moment(&moments, failure, &mut dice);
        disk.after_power_loss(cut, &mut dice, fonoteca.directory.path());
        let left = files_under(&fonoteca.directory.path().join("store")).len();
        let report = fonoteca.run_ahead(33 * DAY, &["verify", "--deep"]);
        tell(&format!("the power failed after deed {cut}, {left} files were left: {}", report.trim()));
        fonoteca.run_ahead(34 * DAY, &["rotate", "--once"]);
        assert!(fonoteca.run_ok(&["verify", "--deep"]).contains(": 0 findings"), "failure {failure}");
        assert_eq!(fonoteca.stored_objects().len(), 0, "failure {failure}: what was purged is gone");
    }
    fonoteca.finish();
}
