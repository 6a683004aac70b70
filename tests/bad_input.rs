//! What is wrong is said clearly, and harms nothing else.

use std::net::TcpListener;

use crate::harness::{Engine, Fonoteca, assert_lasts, fixture, manifest_seconds, now};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const CUT: &str = "asterisk-22/monitor/acme/2026/11/21/out-122-121-20261121-074121-1795246881.46.wav";
const HEADER_ONLY: &str = "asterisk-22/monitor/cobalt/2026/11/21/out-308-307-20261121-074004-1795246804.34.wav";

/// Runs a command that must not even begin: one line of complaint, exit code 2.
fn refused(fonoteca: &Fonoteca, arguments: &[&str]) -> String {
    let output = fonoteca.run(arguments);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert_eq!(complaint.trim_end().lines().count(), 1, "one clear line: {complaint}");
    complaint
}

#[tokio::test]
async fn a_broken_recording_is_kept_or_quarantined_with_its_reason_and_stops_no_other() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let begun = now() - 600;
    fonoteca.record("acme", WAV, begun, 1);
    let empty = fonoteca.record("acme", WAV, begun, 2);
    std::fs::write(&empty, b"").unwrap();
    let text = fonoteca.record("acme", WAV, begun, 3);
    std::fs::write(&text, b"this is no recording at all, it only says so in its name").unwrap();
    let header = fonoteca.record("acme", HEADER_ONLY, begun, 4);
    let cut = fonoteca.record("acme", CUT, begun, 5);
    // A WAV file of a codec that nobody here decodes: its tag says so.
    let foreign = fonoteca.record("acme", WAV, begun, 6);
    let mut foreign_bytes = std::fs::read(&foreign).unwrap();
    foreign_bytes[20..22].copy_from_slice(&0x2000_u16.to_le_bytes());
    std::fs::write(&foreign, &foreign_bytes).unwrap();
    let half = fonoteca.record("acme", WAV, begun, 7);
    let whole = std::fs::read(fixture(WAV)).unwrap();
    std::fs::write(&half, &whole[..whole.len() / 2]).unwrap();
    // All of them were written long ago, so that nobody waits for more to come.
    for path in [&empty, &text, &header, &cut, &foreign, &half] {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(begun as u64)).unwrap();
    }
    fonoteca.configure("abandoned_after = \"1 s\"\n");
    let output = fonoteca.run(&["collect", "--once"]);
    assert_eq!(output.status.code(), Some(1), "something is quarantined");
    let quarantine = fonoteca.run_ok(&["retry"]);
    let codes: Vec<&str> = quarantine.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "empty").count(), 2, "{quarantine}");
    assert_eq!(codes.iter().filter(|code| **code == "not-audio").count(), 1, "{quarantine}");
    assert_eq!(codes.len(), 3, "{quarantine}");

    let service = fonoteca.serve();
    let recordings = service.recordings("tenant").await;
    assert_eq!(recordings.len(), 4);
    for recording in &recordings {
        let flags = recording["flags"].to_string();
        let call = recording["call"].as_str().or(recording["call_ref"].as_str()).unwrap();
        let audio = format!("/api/v1/recordings/{}/audio", recording["id"].as_str().unwrap());
        let bytes = service.get("tenant", &audio).await.bytes().await.unwrap();
        match call.rsplit('.').next().unwrap() {
            "1" => assert_eq!(flags, "[]"),
            "5" => {
                assert!(flags.contains("stale-header"), "{flags}");
                let kept = fonoteca.directory.path().join(format!("kept.{}", recording["format"].as_str().unwrap()));
                std::fs::write(&kept, &bytes).unwrap();
                assert_lasts(&kept, manifest_seconds(CUT));
            }
            "6" => {
                assert!(flags.contains("undecodable"), "{flags}");
                assert_eq!(bytes, foreign_bytes, "kept as it came");
            }
            "7" => assert!(flags.contains("truncated") || flags.contains("stale-header"), "{flags}"),
            other => panic!("unexpected call {other}"),
        }
    }
    service.stop();
    fonoteca.finish();
}

#[tokio::test]
async fn an_unknown_key_names_the_nearest_known_one() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    fonoteca.configure("[rotatoin]\n");
    let complaint = refused(&fonoteca, &["check-config"]);
    assert!(complaint.contains("\"rotatoin\": did you mean \"rotation\"?"), "{complaint}");
    fonoteca.configure("");
    std::fs::write(fonoteca.path("typo.toml"), "[[tenants]]\ncode = \"x\"\ntimezone = \"UTC\"\n").unwrap();
    let complaint = refused(&fonoteca, &["apply", &fonoteca.path("typo.toml")]);
    assert!(complaint.contains("\"timezone\": did you mean \"time_zone\"?"), "{complaint}");
    fonoteca.finish();
}

#[tokio::test]
async fn what_cannot_be_opened_ends_the_start_with_one_line() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    assert!(fonoteca.run_ok(&["check-config"]).contains("can be opened"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = std::fs::read_to_string(fonoteca.path("fonoteca.toml")).unwrap();
    let with =
        |from: &str, to: &str| std::fs::write(fonoteca.path("fonoteca.toml"), text.replacen(from, to, 1)).unwrap();

    with("listen = \"127.0.0.1:0\"", &format!("listen = \"{address}\""));
    let complaint = refused(&fonoteca, &["serve"]);
    assert!(complaint.contains("http") && complaint.contains(&address.to_string()), "{complaint}");

    let store = fonoteca.path("store");
    std::fs::write(fonoteca.path("a-file"), b"").unwrap();
    with(&store, &fonoteca.path("a-file/store"));
    let complaint = refused(&fonoteca, &["serve"]);
    assert!(complaint.contains("a-file/store"), "{complaint}");

    // The store's directory is there, but it is not the store: an unmounted disk.
    with(&store, &fonoteca.path("another"));
    let complaint = refused(&fonoteca, &["serve"]);
    assert!(complaint.contains("disk") && complaint.contains("marker"), "{complaint}");

    with("[http]", "[database]\nurl = \"postgres://postgres@127.0.0.1:1/none\"\n[http]");
    let complaint = refused(&fonoteca, &["serve"]);
    assert!(complaint.contains("catalogue"), "{complaint}");

    with("data_dir = \"", "data_dir = \"/proc/");
    let complaint = refused(&fonoteca, &["serve"]);
    assert!(complaint.contains("data_dir"), "{complaint}");
    std::fs::write(fonoteca.path("fonoteca.toml"), &text).unwrap();
    fonoteca.finish();
}

#[tokio::test]
async fn two_processes_never_work_as_the_same_instance() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let service = fonoteca.serve();
    let complaint = refused(&fonoteca, &["serve"]);
    assert!(complaint.contains("another fonoteca is at work"), "{complaint}");
    service.stop();
    fonoteca.finish();
}

#[tokio::test]
async fn check_config_changes_nothing_and_can_be_asked_while_the_service_runs() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let service = fonoteca.serve();
    assert!(fonoteca.run_ok(&["check-config"]).contains("can be opened"));
    let text = std::fs::read_to_string(fonoteca.path("fonoteca.toml")).unwrap();
    let another = format!("}}, {{ name = \"another\", url = \"{}\" }}]", fonoteca.path("another"));
    std::fs::write(fonoteca.path("fonoteca.toml"), text.replacen("}]", &another, 1)).unwrap();
    let said = fonoteca.run_ok(&["check-config"]);
    assert!(said.contains("store \"another\": its directory is made at the first start"), "{said}");
    assert!(!std::path::Path::new(&fonoteca.path("another")).exists());
    std::fs::create_dir(fonoteca.path("another")).unwrap();
    let said = fonoteca.run_ok(&["check-config"]);
    assert!(said.contains("store \"another\": it gets its marker at the first start"), "{said}");
    assert_eq!(std::fs::read_dir(fonoteca.path("another")).unwrap().count(), 0);
    std::fs::write(fonoteca.path("fonoteca.toml"), &text).unwrap();
    service.stop();
    fonoteca.finish();
}

#[tokio::test]
async fn a_store_that_cannot_work_is_refused_with_one_line_that_says_what_to_do() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let text = std::fs::read_to_string(fonoteca.path("fonoteca.toml")).unwrap();
    let bucket = "name = \"bucket\", url = \"s3://recordings\", access_key_id = \"a\", secret_access_key = \"b\"";
    for (store, complaint) in [
        (format!("{bucket}, regoin = \"x\""), "unknown key \"regoin\": did you mean \"region\"?"),
        (format!("{bucket}, endpoint = \"http://127.0.0.1:1\""), "use https://, or allow_http = true"),
        (
            format!("{bucket}, endpoint = \"http://127.0.0.1:1\", allow_http = true, max_retries = 0"),
            "store bucket: it cannot be reached",
        ),
        (format!("{bucket}, ca_file = \"/no/such.pem\""), "ca_file: cannot read /no/such.pem"),
        ("name = \"disk\", url = \"/tmp\"".to_owned(), "two stores are named \"disk\""),
        ("name = \"b\", url = \"/tmp\", next = \"c\"".to_owned(), "next = \"c\" is no other store"),
    ] {
        let stores = format!("}}, {{ {store} }}]");
        std::fs::write(fonoteca.path("fonoteca.toml"), text.replacen("}]", &stores, 1)).unwrap();
        for command in ["check-config", "serve"] {
            let said = refused(&fonoteca, &[command]);
            assert!(said.contains(complaint), "{command}: {said}");
        }
    }
    std::fs::write(fonoteca.path("fonoteca.toml"), &text).unwrap();
    fonoteca.finish();
}
