//! Stopping while somebody listens: what was heard by then stands in the audit, however soon the end comes.

use futures_util::StreamExt;

use crate::harness::{Engine, Fonoteca, Running, now, token};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";

/// A service that has a recording which is too long for the buffers between us, and a listener who has begun with it.
async fn with_a_listener(fonoteca: &Fonoteca) -> (Running, impl Sized + use<>) {
    // Nobody's PBX: kept as it came.
    let path = fonoteca.record("stray", WAV, now() - 3600, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let audio = bytes.split_off(44);
    let length: u32 = 40_000_000;
    bytes[4..8].copy_from_slice(&(length + 36).to_le_bytes());
    bytes[40..44].copy_from_slice(&length.to_le_bytes());
    bytes.extend(audio.iter().copied().cycle().take(length as usize));
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, &bytes).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();

    let service = fonoteca.serve();
    let recording = service.wait_for_recordings("operator", 1).await.remove(0);
    let audio = format!("{}/api/v1/recordings/{}/audio", service.http, recording["id"].as_str().unwrap());
    let answer = reqwest::Client::new().get(audio).bearer_auth(token("operator")).send().await.unwrap();
    let mut heard = answer.bytes_stream();
    heard.next().await.unwrap().unwrap();
    (service, heard)
}

fn assert_audited(fonoteca: &Fonoteca) {
    let rows = fonoteca.run_ok(&["audit", "list", "--json"]);
    assert_eq!(rows.matches("recording.download").count(), 1, "{rows}");
    assert!(rows.replace(' ', "").contains(r#""complete":false"#), "{rows}");
}

#[tokio::test]
async fn a_second_signal_cuts_off_who_listens_and_the_audit_has_what_was_heard() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let (service, listener) = with_a_listener(&fonoteca).await;
    service.signal("-TERM");
    service.wait_for_log("stopping: every part");
    service.stop();
    drop(listener);
    assert_audited(&fonoteca);
    fonoteca.finish();
}

#[tokio::test]
async fn whoever_listens_beyond_the_time_to_stop_is_cut_off_and_the_audit_has_what_was_heard() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let text = std::fs::read_to_string(fonoteca.path("fonoteca.toml")).unwrap();
    std::fs::write(fonoteca.path("fonoteca.toml"), format!("shutdown_timeout = \"100 ms\"\n{text}")).unwrap();
    let (service, listener) = with_a_listener(&fonoteca).await;
    service.stop();
    drop(listener);
    assert_audited(&fonoteca);
    fonoteca.finish();
}
