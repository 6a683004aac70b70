//! Rotation, from outside: by days, by quota to the byte, and what a hold stops.

use std::time::Duration;

use crate::harness::{Engine, Fonoteca, now, on_both_engines};

const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";
const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const DAY: Duration = Duration::from_secs(86_400);

on_both_engines!(
    days_rotate_what_is_older_and_nothing_else,
    a_quota_rotates_the_oldest_to_the_byte,
    a_hold_between_expiry_and_purge_saves_the_recording,
    what_is_older_than_the_enrolment_waits_for_the_operator,
    changed_days_and_quotas_are_shown_before_they_are_chosen,
);

fn ids(recordings: &[serde_json::Value]) -> Vec<String> {
    recordings.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

async fn days_rotate_what_is_older_and_nothing_else(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    let start = now() - 60;
    fonoteca.record("acme", GSM, start, 1);
    fonoteca.record("acme", WAV, start + 30, 2);
    fonoteca.collect_and_confirm();
    let service = fonoteca.serve();
    let newest_first = ids(&service.recordings("tenant").await);
    service.stop();
    // Thirty days and a half minute after the first began: the first is due, the second is not.
    let ahead = 30 * DAY - Duration::from_secs((now() - start) as u64) + Duration::from_secs(15);
    let preview = fonoteca.run_ahead(ahead, &["rotate", "--once", "--dry-run"]);
    assert!(preview.contains(&newest_first[1]) && !preview.contains(&newest_first[0]), "{preview}");
    fonoteca.run_ahead(ahead, &["rotate", "--once"]);
    let service = fonoteca.serve();
    assert_eq!(ids(&service.recordings("tenant").await), newest_first[..1]);
    service.stop();
    fonoteca.finish();
}

async fn a_quota_rotates_the_oldest_to_the_byte(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    for n in 0..4 {
        fonoteca.record("acme", GSM, now() - 600 + 10 * n, n as u32);
    }
    fonoteca.record("borealis", GSM, now() - 700, 9);
    fonoteca.collect_and_confirm();
    let service = fonoteca.serve();
    let recordings = service.recordings("tenant").await;
    service.stop();
    let sizes: Vec<u64> = recordings.iter().map(|it| it["size_bytes"].as_u64().unwrap()).collect();
    let newest_first = ids(&recordings);
    let quota = |bytes: u64| {
        fonoteca.declare(&format!("[[pbxs]]\ncode = \"acme\"\nname = \"acme\"\ntenant = \"acme\"\nquota = {bytes}\n"));
        fonoteca.run_ok(&["apply", &fonoteca.path("platform.toml"), "--for", "existing"]);
    };
    let visible = async || {
        let service = fonoteca.serve();
        let seen = ids(&service.recordings("tenant").await);
        assert_eq!(service.recordings("operator").await.len(), seen.len() + 1, "the neighbour keeps its own");
        service.stop();
        seen
    };
    let ahead = 8 * DAY;
    // Within the minimum age nothing goes, however much there is.
    quota(1);
    fonoteca.run_ok(&["rotate", "--once"]);
    assert_eq!(visible().await, newest_first);
    // Exactly full is not over.
    quota(sizes.iter().sum());
    fonoteca.run_ahead(ahead, &["rotate", "--once"]);
    assert_eq!(visible().await, newest_first);
    // One byte less, and the oldest goes; only that.
    quota(sizes.iter().sum::<u64>() - 1);
    let preview = fonoteca.run_ahead(ahead, &["rotate", "--once", "--dry-run"]);
    assert!(preview.contains(&newest_first[3]) && !preview.contains(&newest_first[2]), "{preview}");
    fonoteca.run_ahead(ahead, &["rotate", "--once"]);
    assert_eq!(visible().await, newest_first[..3]);
    quota(1);
    fonoteca.run_ahead(ahead, &["rotate", "--once"]);
    assert_eq!(visible().await, Vec::<String>::new());
    fonoteca.finish();
}

async fn changed_days_and_quotas_are_shown_before_they_are_chosen(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    for n in 0..2 {
        fonoteca.record("acme", GSM, now() - 600 + 10 * n, n as u32);
    }
    fonoteca.collect_and_confirm();
    let days = |days: u32| {
        fonoteca.declare(&format!("[[pbxs]]\ncode = \"acme\"\nname = \"acme\"\ntenant = \"acme\"\ndays = {days}\n"));
    };
    let file = fonoteca.path("platform.toml");
    days(9);
    let ahead = 10 * DAY;
    let asked = fonoteca.run_ahead_to_end(ahead, &["apply", &file]);
    assert_eq!(asked.status.code(), Some(2));
    let shown = String::from_utf8(asked.stdout).unwrap();
    assert!(shown.starts_with("PBX acme: 30 days → 9 days\n--for new: the next rotation would take out 0 "), "{shown}");
    assert!(shown.contains("--for existing: the next rotation would take out 2 recordings, "), "{shown}");
    assert!(shown.contains("  acme: 2 recordings, ") && shown.contains(" of calls begun from 2"), "{shown}");
    assert!(
        String::from_utf8(asked.stderr).unwrap().contains("nothing was changed: say by --for new or --for existing")
    );
    // What is shown beforehand is the same, and changes nothing either.
    assert!(fonoteca.run_ahead(ahead, &["apply", &file, "--dry-run"]).contains(&shown));

    fonoteca.run_ahead(ahead, &["apply", &file, "--for", "new"]);
    assert!(fonoteca.run_ahead(ahead, &["rotate", "--once"]).starts_with("expired 0 recordings"));
    days(8);
    fonoteca.run_ahead(ahead, &["apply", &file, "--for", "existing"]);
    assert!(fonoteca.run_ahead(ahead, &["rotate", "--once"]).starts_with("acme: 2 recordings "));
    fonoteca.finish();
}

async fn a_hold_between_expiry_and_purge_saves_the_recording(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    fonoteca.record("acme", GSM, now() - 600, 1);
    fonoteca.record("acme", WAV, now() - 500, 2);
    fonoteca.collect_and_confirm();
    let service = fonoteca.serve();
    let newest_first = ids(&service.recordings("tenant").await);
    service.stop();
    fonoteca.run_ahead(31 * DAY, &["rotate", "--once"]);
    let held = &newest_first[1];
    let hold = ["hold", "--tenant", "acme", "--matter", "a dispute", "--recording", held];
    let answer = fonoteca.run_ok(&hold);
    let hold = answer.split_whitespace().nth(1).unwrap().to_owned();
    fonoteca.run_ahead(33 * DAY, &["rotate", "--once"]);
    let service = fonoteca.serve();
    assert_eq!(&ids(&service.recordings("tenant").await), &newest_first[1..], "the held one is back, the other gone");
    service.stop();
    assert_eq!(fonoteca.stored_objects().len(), 1);
    fonoteca.run_ok(&["release", &hold]);
    fonoteca.run_ahead(33 * DAY, &["rotate", "--once"]);
    fonoteca.run_ahead(35 * DAY, &["rotate", "--once"]);
    assert_eq!(fonoteca.stored_objects().len(), 0);
    fonoteca.finish();
}

async fn what_is_older_than_the_enrolment_waits_for_the_operator(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    fonoteca.record("acme", GSM, now() - 400 * 86_400, 1);
    fonoteca.run_ok(&["collect", "--once"]);
    fonoteca.run_ahead(40 * DAY, &["rotate", "--once"]);
    let service = fonoteca.serve();
    assert_eq!(service.recordings("tenant").await.len(), 1);
    service.stop();
    fonoteca.run_ok(&["rotate", "--confirm", "core-1"]);
    fonoteca.run_ahead(40 * DAY, &["rotate", "--once"]);
    let service = fonoteca.serve();
    assert_eq!(service.recordings("tenant").await.len(), 0);
    service.stop();
    fonoteca.finish();
}
