//! The demo keeps what it promises to a person who types one command.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, files_under, tell};

/// What the API must list all of, within so long of the start.
const PBXS: [&str; 4] = ["acme-sales", "acme-support", "borealis", "cobalt"];
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_demo_shows_recordings_of_all_four_pbxs_by_http_and_ftp_within_half_a_minute() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_fonoteca"))
        .args(["demo", "--dir", dir, "--http", "127.0.0.1:0", "--ftp", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let env = loop {
        assert!(started.elapsed() < PATIENCE, "demo.env never appeared");
        if let Ok(text) = std::fs::read_to_string(directory.path().join("demo.env")) {
            break text
                .lines()
                .map(|line| line.split_once('=').unwrap())
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<BTreeMap<_, _>>();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };

    let client = reqwest::Client::new();
    let seen = loop {
        let mut seen = BTreeMap::new();
        for pbx in PBXS {
            let url = format!("{}/api/v1/recordings?pbx={pbx}&limit=1000", env["FONOTECA_HTTP"]);
            let page: Json =
                client.get(url).bearer_auth(&env["OPERATOR_TOKEN"]).send().await.unwrap().json().await.unwrap();
            seen.insert(pbx, page["items"].as_array().unwrap().clone());
        }
        if seen.values().all(|recordings| !recordings.is_empty()) {
            break seen;
        }
        assert!(started.elapsed() < PATIENCE, "not all four PBXs have recordings");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    tell(&format!("the demo lists all four PBXs after {:.1} s", started.elapsed().as_secs_f64()));
    assert!(started.elapsed() < SOON);

    // Each role's token works, and reaches what it should.
    for (role, own) in [("OPERATOR", 4), ("RESELLER", 3), ("TENANT", 2), ("PBX", 1)] {
        let url = format!("{}/api/v1/pbxs", env["FONOTECA_HTTP"]);
        let page: Json =
            client.get(url).bearer_auth(&env[&format!("{role}_TOKEN")]).send().await.unwrap().json().await.unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), own, "{role}");
    }

    // curl with a Range gets a part of what a whole download gets, and that lasts as long as the catalogue says.
    let recording = &seen["acme-support"][0];
    let url = format!("{}/api/v1/recordings/{}/audio", env["FONOTECA_HTTP"], recording["id"].as_str().unwrap());
    let curl = |more: &[&str]| {
        let bearer = format!("Authorization: Bearer {}", env["TENANT_TOKEN"]);
        Command::new("curl").args(["-sfH", &bearer]).args(more).arg(&url).output().expect("run curl").stdout
    };
    let whole = curl(&[]);
    assert_eq!(curl(&["-r", "1000-1999"]), whole[1000..2000]);

    // Every FTP account mirrors by lftp, and every file decodes to what the API says of it.
    for pbx in ["acme-sales", "acme-support"] {
        let into = directory.path().join(format!("mirror-{pbx}"));
        let password = &env[&format!("FTP_{}_PASSWORD", pbx.to_uppercase().replace('-', "_"))];
        let script = format!("set ssl:verify-certificate no; mirror / {}; quit", into.display());
        let status = Command::new("lftp")
            .args(["-u", &format!("{pbx},{password}"), "-e", &script, &env["FONOTECA_FTP"]])
            .status();
        assert!(status.expect("run lftp").success());
        let files = files_under(&into);
        assert!(files.len() >= seen[pbx].len(), "{pbx}");
        for recording in &seen[pbx] {
            let id = recording["id"].as_str().unwrap();
            let file = files.iter().find(|file| file.to_string_lossy().contains(id)).expect("mirrored");
            crate::harness::assert_lasts(file, recording["duration_ms"].as_f64().unwrap() / 1000.0);
        }
    }

    // While one watches, borealis rotates by its quota and cobalt's old calls by their days.
    let runs_out = Instant::now() + Duration::from_secs(120);
    loop {
        let url = format!("{}/api/v1/recordings?pbx=cobalt&order=oldest&limit=1", env["FONOTECA_HTTP"]);
        let page: Json =
            client.get(url).bearer_auth(&env["OPERATOR_TOKEN"]).send().await.unwrap().json().await.unwrap();
        let oldest: jiff::Timestamp = page["items"][0]["started_at"].as_str().unwrap().parse().unwrap();
        if crate::harness::now() - oldest.as_second() < 30 * 86_400 {
            break;
        }
        assert!(Instant::now() < runs_out, "cobalt's old calls never rotated");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tell(&format!("the demo rotates calls of forty days ago after {:.1} s", started.elapsed().as_secs_f64()));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success(), "Ctrl-C ends it well");
}
