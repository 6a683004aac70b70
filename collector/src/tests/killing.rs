//! The process is killed, at each step in turn, and started anew: nothing is lost, nothing is doubled.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use archive::{Archive, Options, SourceState, StoreConfig};

use super::rig::{Rig, wav};
use crate::{Collector, Config};

const DIRECTORY: &str = "FONOTECA_TEST_KILL_IN";
const STEPS: [&str; 7] =
    ["fetched", "spooled", "transcoded", "object row written", "object put", "recording committed", "delivered"];

/// What is killed: not a test of its own, but a process of the test below.
#[tokio::test]
async fn a_process_that_is_to_be_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let url = format!("sqlite:{}", directory.join("catalogue.db").display());
    let store = StoreConfig {
        name: "disk".to_owned(),
        url: directory.join("store").to_str().unwrap().to_owned(),
        options: vec![],
    };
    let archive = Arc::new(Archive::open(Options::new(url, vec![store], "test-1")).await.unwrap());
    let collector = Collector::new(archive, Config::default(), directory.join("landing-zone")).unwrap();
    collector.collect_once(None).await.unwrap();
}

#[tokio::test]
async fn fault_01_killed_at_any_step_and_started_anew_each_recording_is_archived_once() {
    for step in STEPS {
        let rig = Rig::start().await;
        rig.put("acme/1795246782.1.wav", &wav(1, 300));
        rig.put("acme/1795246782.2.wav", &wav(1, 400));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "tests::killing::a_process_that_is_to_be_killed"])
            .env(DIRECTORY, rig.t.directory.path())
            .env("FONOTECA_CRASH_AT", step);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(!output.status.success(), "{step}: was not killed");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("crashed at {step}")), "{step}");

        // The killed process went by the machine's clock, which may well be ahead of the test's.
        rig.t.clock.advance(Duration::from_secs(10 * 365 * 86_400));
        rig.collect().await;
        assert_eq!(rig.recordings().await.len(), 2, "{step}");
        assert_eq!(rig.sources(SourceState::Done).await.len(), 2, "{step}");
        rig.finish().await;
    }
}
