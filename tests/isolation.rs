//! Two tenants, through both doors: nothing of the one is ever reachable for the other, nor is it told from nothing.

use crate::harness::{Engine, Fonoteca, PASSWORD, files_under, now, on_both_engines};

const GSM: &str = "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm";
const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";

/// A well-formed id of nothing.
const NOBODY: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

on_both_engines!(fault_38_two_tenants_are_strangers_by_http, fault_38_two_tenants_are_strangers_by_ftp);

async fn fault_38_two_tenants_are_strangers_by_http(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    for (n, pbx) in ["acme", "borealis", "cobalt"].into_iter().enumerate() {
        fonoteca.record(pbx, WAV, now() - 600, n as u32);
    }
    fonoteca.run_ok(&["collect", "--once"]);
    let service = fonoteca.serve();
    let reaches = [("operator", 3), ("reseller", 2), ("tenant", 1), ("pbx", 1), ("stranger", 1)];
    for (login, count) in reaches {
        assert_eq!(service.recordings(login).await.len(), count, "{login}");
    }
    let theirs = service.recordings("stranger").await[0]["id"].as_str().unwrap().to_owned();
    for login in ["reseller", "tenant", "pbx"] {
        for path in ["", "/audio", "/waveform"] {
            let foreign = service.get(login, &format!("/api/v1/recordings/{theirs}{path}")).await;
            let absent = service.get(login, &format!("/api/v1/recordings/{NOBODY}{path}")).await;
            assert_eq!((foreign.status(), absent.status()), (404.try_into().unwrap(), 404.try_into().unwrap()));
            assert_eq!(foreign.text().await.unwrap(), absent.text().await.unwrap(), "{login} {path}");
        }
        for list in ["recordings", "tenants", "pbxs", "ftp-accounts", "usage", "holds", "audit"] {
            let answer = service.get(login, &format!("/api/v1/{list}")).await;
            if answer.status().is_success() {
                let text = answer.text().await.unwrap();
                assert!(
                    !text.contains("cobalt") && !text.contains(&theirs),
                    "{login} sees a stranger in {list}: {text}"
                );
            } else {
                assert_eq!(answer.status(), 403, "{login} {list}");
            }
        }
    }
    let nobody = reqwest::Client::new().get(format!("{}/api/v1/recordings", service.http)).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    service.stop();
    fonoteca.finish();
}

async fn fault_38_two_tenants_are_strangers_by_ftp(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    fonoteca.record("acme", WAV, now() - 600, 1);
    fonoteca.record("cobalt", GSM, now() - 600, 2);
    fonoteca.run_ok(&["collect", "--once"]);
    let service = fonoteca.serve();
    let (ours, theirs) = (fonoteca.directory.path().join("ours"), fonoteca.directory.path().join("theirs"));
    service.lftp_mirror("acme", &ours);
    service.lftp_mirror("cobalt", &theirs);
    // A PBX has as many accounts as it needs, and each sees the same.
    let again = fonoteca.directory.path().join("again");
    service.lftp_mirror("acme-2", &again);
    assert_eq!(files_under(&again).len(), 1);
    let (our_files, their_files) = (files_under(&ours), files_under(&theirs));
    assert_eq!((our_files.len(), their_files.len()), (1, 1));
    assert_ne!(std::fs::read(&our_files[0]).unwrap(), std::fs::read(&their_files[0]).unwrap());

    let path = format!("/{}", their_files[0].strip_prefix(&theirs).unwrap().display());
    let id = path.rsplit(['_', '.']).nth(1).unwrap().to_owned();
    let absent = path.replace(&id, NOBODY);
    let refusals: Vec<_> = [&path, &absent].map(|path| service.curl_ftp("acme", path, &[])).into();
    for refused in &refusals {
        assert!(!refused.status.success() && refused.stdout.is_empty());
    }
    assert_eq!(refusals[0].stderr, refusals[1].stderr, "foreign and absent look the same");
    for trick in ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/.."] {
        let output = service.curl_ftp("acme", trick, &["--path-as-is"]);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("root:"), "{trick}");
    }

    // Nothing can be written, and a wrong password is as wrong as an unknown login.
    let upload = ["--upload-file", "/etc/hostname"];
    assert!(!service.curl_ftp("acme", "/2026/evil.mp3", &upload).status.success());
    assert!(!service.curl_ftp("acme", "/", &["--quote", &format!("DELE {path}")]).status.success());
    let refused = |user: &str| service.curl_ftp("acme", "/", &["--user", user]).status.code();
    let wrong = refused("acme:wrong password");
    assert_eq!(wrong, Some(67), "curl's word for a refused login");
    assert_eq!(refused(&format!("nobody:{PASSWORD}")), wrong);
    service.stop();
    fonoteca.finish();
}
