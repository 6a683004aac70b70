//! A call through a real Asterisk, recorded live, archived, and downloaded by FTP.

use std::path::Path;
use std::process::{Child, Command};

use crate::harness::{Engine, Fonoteca, assert_lasts, files_under};

/// The core server in a chroot: installed at the first start, stopped at the end.
struct Asterisk {
    spool: String,
}

fn callcore(script: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/callcore").join(script))
}

fn answer(mut command: Command) -> String {
    let output = command.output().expect("run callcore");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

impl Asterisk {
    fn up() -> Self {
        Self { spool: answer(callcore("asterisk-up")) }
    }
}

impl Drop for Asterisk {
    fn drop(&mut self) {
        let _ = callcore("asterisk-down").status();
    }
}

#[tokio::test]
async fn a_live_call_is_archived_when_it_is_over_and_downloaded_by_ftp() {
    const SECONDS: u32 = 6;
    let asterisk = Asterisk::up();
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    // The Asterisk keeps the recordings of earlier runs: what this test asks for is its own two.
    for tenant in ["acme", "borealis", "cobalt"] {
        let _ = std::fs::remove_dir_all(Path::new(&asterisk.spool).join(tenant));
    }
    fonoteca.declare(&format!(
        "[[core_servers]]\nname = \"live\"\nspool = \"{}\"\nlayout = \"asterisk\"\ntime_zone = \"UTC\"\n",
        asterisk.spool
    ));
    fonoteca.run_ok(&["apply", &fonoteca.path("platform.toml")]);
    let service = fonoteca.serve();

    let mut call = callcore("asterisk-call");
    call.args(["acme", &SECONDS.to_string(), "wav", "101", "202"]);
    let mut ringing: Child = call.stdout(std::process::Stdio::piped()).spawn().expect("place a call");
    // While both talk, scan after scan sees the file and leaves it alone.
    while ringing.try_wait().expect("ask for the call").is_none() {
        assert_eq!(service.recordings("tenant").await.len(), 0, "a recording in progress was taken");
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    assert!(ringing.wait().expect("the call").success());
    let recordings = service.wait_for_recordings("tenant", 1).await;
    assert_eq!(recordings[0]["caller"], "101");
    assert_eq!(recordings[0]["callee"], "202");
    assert_eq!(recordings[0]["flags"].to_string(), "[]");

    // A headless format says nothing of its end; only that nobody writes it any more.
    let mut call = callcore("asterisk-call");
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
