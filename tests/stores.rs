//! Several stores, from outside: copies, moves while somebody listens, and a store that died.

use std::time::Duration;

use crate::harness::{Engine, Fonoteca, now, on_both_engines};

const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";
const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const DAY: Duration = Duration::from_secs(86_400);

on_both_engines!(
    copies_follow_and_a_move_is_noticed_by_nobody,
    a_store_that_died_is_declared_lost_and_replaced_by_an_empty_one,
);

async fn copies_follow_and_a_move_is_noticed_by_nobody(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    fonoteca.configure_stores(&["disk", "second", "third"]);
    fonoteca.declare_tier(&["disk", "second"], "copies = 1\nmoves = [{ after_days = 10, to = [\"third\"] }]");
    fonoteca.record("acme", WAV, now() - 60, 1);
    fonoteca.collect_and_confirm();
    let service = fonoteca.serve();
    let waiting = async || {
        let metrics = reqwest::get(format!("{}/metrics", service.operations)).await.unwrap().text().await.unwrap();
        metrics.lines().any(|line| line == "fonoteca_copies_waiting{why=\"copy\",store=\"\"} 0")
    };
    let copied = || fonoteca.run_ok(&["stores"]).contains("second: ready, 1 recordings");
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while !copied() {
        assert!(std::time::Instant::now() < deadline, "the copy did not follow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(waiting().await);
    let id = service.recordings("tenant").await[0]["id"].as_str().unwrap().to_owned();
    let audio = format!("/api/v1/recordings/{id}/audio");
    let before = service.get("tenant", &audio).await;
    let tag = before.headers()["etag"].clone();
    let bytes = before.bytes().await.unwrap();
    let names = String::from_utf8(service.curl_ftp("acme", "/", &["--ssl-reqd", "--list-only"]).stdout).unwrap();
    fonoteca.run_ahead(11 * DAY, &["rotate", "--once"]);
    assert!(fonoteca.run_ok(&["stores"]).contains("third: ready, 1 recordings"));
    let after = service.get("tenant", &audio).await;
    assert_eq!(after.headers()["etag"], tag);
    assert_eq!(after.bytes().await.unwrap(), bytes);
    let listed = service.curl_ftp("acme", "/", &["--ssl-reqd", "--list-only"]).stdout;
    assert_eq!(String::from_utf8(listed).unwrap(), names);
    service.stop();
    fonoteca.finish();
}

async fn a_store_that_died_is_declared_lost_and_replaced_by_an_empty_one(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    fonoteca.configure_stores(&["disk", "second"]);
    fonoteca.declare_tier(&["second"], "");
    fonoteca.record("acme", GSM, now() - 60, 1);
    fonoteca.collect_and_confirm();
    fonoteca.declare_tier(&["second", "disk"], "");
    fonoteca.record("acme", WAV, now() - 50, 2);
    fonoteca.collect_and_confirm();

    std::fs::remove_dir_all(fonoteca.path("second")).unwrap();
    let shown = fonoteca.run(&["stores"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.status.code(), Some(1));
    assert!(text.contains("disk: ready, 1 recordings") && text.contains("second: down, 2 recordings"), "{text}");
    assert_eq!(fonoteca.run(&["stores", "lost", "no-such"]).status.code(), Some(2));
    let foretold = fonoteca.run_ok(&["stores", "lost", "second"]);
    assert!(foretold.contains("2 recordings have a copy in store second; 1 of them have no other one"), "{foretold}");
    assert!(foretold.contains("nothing was changed"), "{foretold}");
    let lost = fonoteca.run_ok(&["stores", "lost", "second", "--confirm"]);
    assert!(lost.contains("it is listed as second-lost-"), "{lost}");

    // Restarted as it was, nothing is read or written where it was: that may be its bare mount point.
    std::fs::remove_dir(fonoteca.path("second")).expect("empty, made by those who looked before it was lost");
    let alone = fonoteca.run(&["rotate", "--once"]);
    let text = String::from_utf8(alone.stdout).unwrap();
    assert!(text.contains("1 have no sound copy left"), "{text}");
    assert_eq!(alone.status.code(), Some(1));
    let complaint = String::from_utf8(alone.stderr).unwrap();
    assert_eq!(
        complaint.matches("starting without a store: store second: it was declared lost").count(),
        1,
        "{complaint}"
    );
    assert!(!std::path::Path::new(&fonoteca.path("second")).exists());
    // An empty disk takes its place: what has another copy is copied to it again.
    assert!(fonoteca.run_ok(&["stores", "replace", "second"]).contains("takes the lost one's place"));
    let repaired = fonoteca.run_ok(&["rotate", "--once"]);
    assert!(repaired.contains("repaired 1 recordings"), "{repaired}");
    let shown = fonoteca.run_ok(&["stores"]);
    assert!(shown.contains("second: ready, 1 recordings"), "{shown}");
    assert!(shown.contains(": lost, 1 recordings") && shown.contains("1 recordings wait (lost)"), "{shown}");
    let listed = fonoteca.run(&["stores", "lost-recordings"]);
    let gone = String::from_utf8(listed.stdout).unwrap();
    assert_eq!((listed.status.code(), gone.lines().count()), (Some(1), 1), "{gone}");
    let found = fonoteca.run(&["verify", "--deep"]);
    let findings = String::from_utf8(found.stdout).unwrap();
    assert!(findings.contains(&format!("recording {} has no live object", gone.trim())), "{findings}");
    assert!(findings.contains(": 1 findings"), "{findings}");

    let service = fonoteca.serve();
    assert_eq!(service.recordings("tenant").await.len(), 2, "nothing is deleted");
    for recording in service.recordings("tenant").await {
        let id = recording["id"].as_str().unwrap();
        let answer = service.get("tenant", &format!("/api/v1/recordings/{id}/audio")).await;
        assert_eq!(answer.status().is_success(), id != gone.trim(), "{id}: {}", answer.status());
    }
    service.stop();
}
