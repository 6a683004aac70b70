//! A call through a real Asterisk, recorded live, archived, and downloaded by FTP.

use std::path::Path;
use std::process::{Child, Command};

use crate::harness::{Engine, Fonoteca, assert_lasts, files_under};

/// The core server in a chroot: installed at the first start, stopped at the end.
struct Asterisk {
    spool: String,
}

fn asterisk(verb: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/asterisk"));
    command.arg(verb);
    command
}

fn answer(mut command: Command) -> String {
    let output = command.output().expect("run callcore");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

impl Asterisk {
    fn up() -> Self {
        let spool = answer(asterisk("up"));
        // It keeps the recordings of earlier runs; this test wants only its own.
        answer(asterisk("empty"));
        Self { spool }
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        let _ = asterisk("down").status();
    }
}

#[tokio::test]
async fn a_live_call_is_archived_when_it_is_over_and_downloaded_by_ftp() {
    const SECONDS: u32 = 6;
    let core = Asterisk::up();
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    fonoteca.declare(&format!(
        "[[core_servers]]\nname = \"live\"\nspool = \"{}\"\nlayout = \"asterisk\"\ntime_zone = \"UTC\"\n",
        core.spool
    ));
    fonoteca.run_ok(&["apply", &fonoteca.path("platform.toml")]);
    let service = fonoteca.serve();

    let mut call = asterisk("call");
    call.args(["acme", &SECONDS.to_string(), "wav", "101", "202"]);
    let mut ringing: Child = call.stdout(std::process::Stdio::piped()).spawn().expect("place a call");
    // While both talk, scan after scan sees the file and leaves it alone. (The script goes on a moment longer than the
    // call, so the whole recording may be there before it ends; a part of it never.)
    while ringing.try_wait().expect("ask for the call").is_none() {
        for recording in service.recordings("tenant").await {
            let lasts = recording["duration_ms"].as_f64().unwrap() / 1000.0;
            assert!(lasts > f64::from(SECONDS) - 0.1, "a recording in progress was taken: {lasts} s of it");
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    assert!(ringing.wait().expect("the call").success());
    let recordings = service.wait_for_recordings("tenant", 1).await;
    assert_eq!(recordings[0]["caller"], "101");
    assert_eq!(recordings[0]["callee"], "202");
    assert_eq!(recordings[0]["flags"].to_string(), "[]");

    // A headless format says nothing of its end; only that nobody writes it any more.
    let mut call = asterisk("call");
    answer({
        call.args(["borealis", "4", "gsm", "101", "202"]);
        call
    });
    service.wait_for_recordings("operator", 2).await;

    for (account, seconds) in [("acme", f64::from(SECONDS)), ("borealis", 4.0)] {
        let into = fonoteca.directory.path().join(account);
        service.lftp_mirror(account, &into);
        let files = files_under(&into);
        assert_eq!(files.len(), 1, "{account}");
        assert_lasts(&files[0], seconds);
    }
    service.stop();
    fonoteca.finish();
}
