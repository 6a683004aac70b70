//! The guided tour: one recording, from a core server's spool to its tombstone, step by step.
//!
//! Each step names the code that does it; read them side by side.

use std::time::Duration;

use sha2::Digest;

use crate::harness::{Engine, Fonoteca, assert_lasts, manifest_seconds, now, on_both_engines};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const DAY: Duration = Duration::from_secs(86_400);

on_both_engines!(one_recording_all_the_way);

async fn one_recording_all_the_way(engine: Engine) {
    // A platform is declared: `commands/apply.rs`, then `archive/src/declaration.rs`.
    let fonoteca = Fonoteca::new(engine);

    // A core server finishes a recording. `collector` finds it, fetches it, transcodes it by `audio`, and delivers it
    // (`archive/src/deliver.rs`): bytes first, then one transaction.
    let source = fonoteca.record("acme", WAV, now() - 60, 1);
    let collected = fonoteca.run_ok(&["collect", "--once"]);
    assert!(collected.contains("1 archived"), "{collected}");
    assert!(source.exists(), "its core server keeps the source unless told otherwise");
    let objects = fonoteca.stored_objects();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].extension().unwrap(), "mp3");

    // Once more finds nothing to do: it is archived exactly once.
    assert!(fonoteca.run_ok(&["collect", "--once"]).contains("0 archived"));

    // The tenant sees it: `api/src`, by a statement that the scope is part of (`archive/src/search.rs`).
    let service = fonoteca.serve();
    let recording = service.recordings("tenant").await.remove(0);
    let id = recording["id"].as_str().unwrap().to_owned();
    assert_eq!((recording["caller"].as_str(), recording["callee"].as_str()), (Some("101"), Some("202")));
    assert_eq!(recording["direction"], "out");

    // It plays, in one piece or in parts (`archive/src/open.rs`).
    let audio = format!("/api/v1/recordings/{id}/audio");
    let whole = service.get("tenant", &audio).await.bytes().await.unwrap();
    let hash: String = sha2::Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(recording["audio_sha256"], hash);
    let file = fonoteca.directory.path().join("downloaded.mp3");
    std::fs::write(&file, &whole).unwrap();
    assert_lasts(&file, manifest_seconds(WAV));
    let client = reqwest::Client::new();
    let part = client
        .get(format!("{}{audio}", service.http))
        .bearer_auth(crate::harness::token("tenant"))
        .header("Range", "bytes=100-199")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), whole[100..200]);

    // The PBX's FTP account has the same bytes (`ftp/src/tree.rs`), and resumes where it was cut off.
    let mirror = fonoteca.directory.path().join("mirror");
    service.lftp_mirror("acme", &mirror);
    let mirrored = crate::harness::files_under(&mirror);
    assert_eq!(mirrored.len(), 1);
    assert_eq!(std::fs::read(&mirrored[0]).unwrap(), whole);
    let path = format!("/{}", mirrored[0].strip_prefix(&mirror).unwrap().display());
    let resumed = service.curl_ftp("acme", &path, &["--continue-at", "5000"]);
    assert_eq!(resumed.stdout, whole[5000..]);
    service.stop();

    // It began before its core server was enrolled: no rule touches it until an operator has agreed.
    fonoteca.run_ok(&["rotate", "--confirm", "core-1"]);

    // Thirty days later it is due (`rotation`), and says so before it goes.
    let preview = fonoteca.run_ahead(31 * DAY, &["rotate", "--once", "--dry-run"]);
    assert!(preview.contains(&id) && preview.contains("30 days"), "{preview}");
    assert_eq!(fonoteca.stored_objects().len(), 1);
    fonoteca.run_ahead(31 * DAY, &["rotate", "--once"]);
    assert_eq!(fonoteca.stored_objects().len(), 1, "expired, and still there for its grace period");
    let service = fonoteca.serve();
    assert_eq!(service.recordings("tenant").await.len(), 0, "invisible at once");
    assert_eq!(service.get("tenant", &audio).await.status(), 404);
    service.stop();

    // Somebody wants it back in time (`archive/src/expiry.rs`); then it goes for good (`archive/src/purge.rs`).
    fonoteca.run_ok(&["undelete", &id]);
    let service = fonoteca.serve();
    assert_eq!(service.recordings("tenant").await.len(), 1);
    service.stop();
    fonoteca.run_ahead(31 * DAY, &["rotate", "--once"]);
    fonoteca.run_ahead(33 * DAY, &["rotate", "--once"]);
    assert_eq!(fonoteca.stored_objects().len(), 0);

    // The core server still has the source. A purged recording does not come back.
    std::fs::rename(&source, source.with_file_name("again.wav")).unwrap();
    std::fs::rename(source.with_file_name("again.wav"), &source).unwrap();
    assert!(fonoteca.run_ok(&["collect", "--once"]).contains("0 archived"));
    fonoteca.finish();
}
