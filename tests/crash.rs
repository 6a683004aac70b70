//! Killed anywhere, started again: nothing is lost, nothing is doubled.

use std::time::Duration;

use crate::harness::{Engine, Fonoteca, lengthen, now, on_both_engines, tell};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";
const DAY: Duration = Duration::from_secs(86_400);

/// Every state on the way in, before and after the step that ends it.
const ARRIVING: [&str; 7] =
    ["fetched", "spooled", "transcoded", "object row written", "object put", "recording committed", "delivered"];
/// Every state on the way out.
const LEAVING: [&str; 3] = ["expired", "purge begun", "objects dropped"];
/// Every state on the way from store to store.
const MOVING: [&str; 4] = ["moves begun", "copy row written", "copies put", "copies live"];

/// Every step of an upload in parts.
const UPLOADING: [&str; 3] = ["part put", "parts put", "upload completed"];

on_both_engines!(
    fault_01_killed_at_each_step_of_an_upload_in_parts_the_recording_is_there_once,
    fault_01_killed_at_each_step_of_arriving_nothing_is_lost_or_doubled,
    fault_01_and_28_killed_at_each_step_of_leaving_the_next_run_goes_on,
    fault_01_killed_at_each_step_of_moving_the_next_run_goes_on,
    fault_01_killed_while_serving_the_next_process_goes_on,
);

async fn fault_01_killed_at_each_step_of_arriving_nothing_is_lost_or_doubled(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    for (n, point) in ARRIVING.into_iter().enumerate() {
        let source = fonoteca.record("acme", WAV, now() - 3600, 2 * n as u32);
        fonoteca.record("borealis", GSM, now() - 3600, 2 * n as u32 + 1);
        assert!(fonoteca.run_until_killed_at(point, Duration::ZERO, &["collect", "--once"]), "never came by {point}");
        tell(&format!("{engine:?}: killed at \"{point}\""));
        assert!(source.exists(), "killed at {point}: the source is gone");
        fonoteca.run_ok(&["collect", "--once"]);
        let service = fonoteca.serve();
        assert_eq!(service.recordings("operator").await.len(), 2 * (n + 1), "killed at {point}");
        service.stop();
        assert!(fonoteca.run_ok(&["verify", "--deep"]).contains(": 0 findings"), "killed at {point}");
    }
    let landing = crate::harness::files_under(&fonoteca.directory.path().join("data/landing"));
    assert_eq!(landing, Vec::<std::path::PathBuf>::new(), "nothing is left in the landing zone");
    fonoteca.finish();
}

async fn fault_01_killed_at_each_step_of_an_upload_in_parts_the_recording_is_there_once(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    fonoteca.configure_bucket();
    for (n, point) in UPLOADING.into_iter().enumerate() {
        // Nobody's PBX: kept as it came, in the first store, in three parts.
        let source = fonoteca.record("stray", WAV, now() - 3600, n as u32);
        let bytes = lengthen(&source, 1200 + n as u32);
        assert!(fonoteca.run_until_killed_at(point, Duration::ZERO, &["collect", "--once"]), "never came by {point}");
        tell(&format!("{engine:?}: killed at \"{point}\""));
        assert!(source.exists(), "killed at {point}: the source is gone");
        assert!(fonoteca.run_ok(&["verify", "--deep"]).contains(": 0 findings"), "killed at {point}");
        fonoteca.run_ok(&["collect", "--once"]);
        let service = fonoteca.serve();
        let recordings = service.recordings("operator").await;
        assert_eq!(recordings.len(), n + 1, "killed at {point}");
        let sizes = recordings.iter().map(|recording| recording["size_bytes"].as_u64().unwrap());
        assert_eq!(sizes.filter(|size| *size == bytes.len() as u64).count(), 1, "killed at {point}");
        for recording in recordings.iter().filter(|it| it["size_bytes"] == bytes.len()) {
            let audio = format!("/api/v1/recordings/{}/audio", recording["id"].as_str().unwrap());
            let heard = service.get("operator", &audio).await.bytes().await.unwrap();
            assert!(heard == bytes, "killed at {point}: it is not what was recorded");
        }
        service.stop();
        assert!(fonoteca.run_ok(&["verify", "--deep"]).contains(": 0 findings"), "killed at {point}");
    }
    let stores: serde_json::Value = serde_json::from_str(&fonoteca.run_ok(&["stores", "--json"])).unwrap();
    let bucket = stores["stores"].as_array().unwrap().iter().find(|it| it["name"] == "bucket").unwrap();
    assert_eq!(bucket["recordings"], UPLOADING.len(), "none of them is counted twice");
    fonoteca.finish();
}

async fn fault_01_and_28_killed_at_each_step_of_leaving_the_next_run_goes_on(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    for (n, point) in LEAVING.into_iter().enumerate() {
        fonoteca.record("acme", WAV, now() - 3600, 2 * n as u32);
        fonoteca.record("acme", GSM, now() - 3600, 2 * n as u32 + 1);
        fonoteca.collect_and_confirm();
        assert_eq!(fonoteca.stored_objects().len(), 2);
        // Rotation's clock never goes back: a step later each time.
        let due = (31 + 10 * n as u32) * DAY;
        if point != "expired" {
            fonoteca.run_ahead(due, &["rotate", "--once"]);
        }
        let ahead = if point == "expired" { due } else { due + 2 * DAY };
        assert!(fonoteca.run_until_killed_at(point, ahead, &["rotate", "--once"]), "never came by {point}");
        tell(&format!("{engine:?}: killed at \"{point}\""));
        assert!(fonoteca.run_ok(&["verify", "--deep"]).contains(": 0 findings"), "killed at {point}");
        fonoteca.run_ahead(due + 3 * DAY, &["rotate", "--once"]);
        fonoteca.run_ahead(due + 5 * DAY, &["rotate", "--once"]);
        assert_eq!(fonoteca.stored_objects().len(), 0, "killed at {point}");
    }
    fonoteca.finish();
}

async fn fault_01_killed_at_each_step_of_moving_the_next_run_goes_on(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    fonoteca.configure_stores(&["disk", "second"]);
    fonoteca.declare_tier(&["disk"], "moves = [{ after_days = 10, to = [\"second\"] }]");
    for (n, point) in MOVING.into_iter().enumerate() {
        fonoteca.record("acme", WAV, now() - 3600, 2 * n as u32);
        fonoteca.record("borealis", GSM, now() - 3600, 2 * n as u32 + 1);
        fonoteca.collect_and_confirm();
        // Rotation's clock never goes back: a step later each time.
        let due = (11 + 11 * n as u32) * DAY;
        assert!(fonoteca.run_until_killed_at(point, due, &["rotate", "--once"]), "never came by {point}");
        tell(&format!("{engine:?}: killed at \"{point}\""));
        assert!(fonoteca.run_ok(&["verify", "--deep"]).contains(": 0 findings"), "killed at {point}");
        fonoteca.run_ahead(due, &["rotate", "--once"]);
        let stores: serde_json::Value = serde_json::from_str(&fonoteca.run_ok(&["stores", "--json"])).unwrap();
        let held = ["disk", "second"].map(|name| {
            let store = stores["stores"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
            store["recordings"].as_u64().unwrap()
        });
        assert_eq!(held, [0, 2 * (n as u64 + 1)], "killed at {point}");
        assert_eq!(stores["copies_waiting"], serde_json::json!([]), "killed at {point}");
    }
    let service = fonoteca.serve();
    assert_eq!(service.recordings("operator").await.len(), 2 * MOVING.len());
    service.stop();
    fonoteca.finish();
}

async fn fault_01_killed_while_serving_the_next_process_goes_on(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    for n in 0..12 {
        fonoteca.record(["acme", "borealis", "cobalt"][n % 3], [WAV, GSM][n % 2], now() - 3600, n as u32);
    }
    let service = fonoteca.serve();
    service.wait_for_log("archived recording");
    service.kill();
    let service = fonoteca.serve();
    service.wait_for_recordings("operator", 12).await;
    service.stop();
    assert!(fonoteca.run_ok(&["collect", "--once"]).contains("0 archived"));
    fonoteca.finish();
}
