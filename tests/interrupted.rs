//! A service that is told to stop while somebody downloads.

use std::process::{Command, Stdio};

use futures_util::StreamExt;

use crate::harness::{Engine, Fonoteca, PASSWORD, PATIENCE, Running, lengthen, now, token};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";

/// With a recording of 40 MB of acme: longer than the buffers between us.
async fn with_a_long_recording() -> (Fonoteca, Vec<u8>) {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let text = std::fs::read_to_string(fonoteca.path("platform.toml")).unwrap();
    std::fs::write(
        fonoteca.path("platform.toml"),
        text.replace("format = \"mp3\"\nbitrate = 32000", "format = \"original\""),
    )
    .unwrap();
    fonoteca.run_ok(&["apply", &fonoteca.path("platform.toml")]);
    let bytes = lengthen(&fonoteca.record("acme", WAV, now() - 3600, 1), 2500);
    fonoteca.collect_and_confirm();
    (fonoteca, bytes)
}

/// How long downloads may go on after the signal.
fn configure_grace(fonoteca: &Fonoteca, grace: &str) {
    let text = std::fs::read_to_string(fonoteca.path("fonoteca.toml")).unwrap();
    let grace = format!("shutdown_grace = \"{grace}\"\n");
    let text = text.replace("[ftp]\n", &format!("{grace}[ftp]\n{grace}"));
    std::fs::write(fonoteca.path("fonoteca.toml"), text).unwrap();
}

/// Begins to download by HTTP.
async fn download(service: &Running, from: usize) -> reqwest::Response {
    let recording = service.recordings("tenant").await.remove(0);
    let audio = format!("{}/api/v1/recordings/{}/audio", service.http, recording["id"].as_str().unwrap());
    let request = reqwest::Client::new().get(audio).bearer_auth(token("tenant"));
    request.header("range", format!("bytes={from}-")).send().await.unwrap()
}

/// Begins to download by FTP, slowly, into that file, from where it ends.
fn download_by_ftp(service: &Running, path: &str, into: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--user", &format!("acme:{PASSWORD}"), "--continue-at", "-"]);
    curl.args(["--output", into]).arg(format!("{}{path}", service.ftp)).stderr(Stdio::null());
    curl
}

/// Where the account's only recording lies.
fn only_path(service: &Running) -> String {
    let mut path = "/".to_owned();
    for _ in 0..4 {
        let listed = service.curl_ftp("acme", &path, &["--list-only"]);
        let name = String::from_utf8(listed.stdout).unwrap().trim().to_owned();
        path += &name;
        if name.contains('.') {
            return path;
        }
        path.push('/');
    }
    panic!("nothing under {path}");
}

/// Waits until the file has begun to arrive.
async fn wait_for_beginning(file: &str) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::fs::metadata(file).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(std::time::Instant::now() < deadline, "it does not arrive");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn fault_37_who_downloads_when_it_is_told_to_stop_gets_all_of_it_within_the_grace() {
    let (fonoteca, bytes) = with_a_long_recording().await;
    let service = fonoteca.serve();
    let path = only_path(&service);
    let file = fonoteca.path("by-ftp.wav");
    let mut by_ftp = download_by_ftp(&service, &path, &file).args(["--limit-rate", "20M"]).spawn().unwrap();
    let mut stream = download(&service, 0).await.bytes_stream();
    let mut heard = stream.next().await.unwrap().unwrap().to_vec();
    wait_for_beginning(&file).await;
    service.signal("-TERM");
    while let Some(block) = stream.next().await {
        heard.extend(block.expect("to the end"));
    }
    assert!(heard == bytes, "by HTTP, all of it");
    assert!(by_ftp.wait().unwrap().success());
    assert!(std::fs::read(&file).unwrap() == bytes, "by FTP, all of it");
    service.wait_for_end(0);
    fonoteca.finish();
}

#[tokio::test]
async fn fault_37_who_is_cut_off_by_a_stop_goes_on_where_it_was() {
    let (fonoteca, bytes) = with_a_long_recording().await;
    configure_grace(&fonoteca, "100 ms");
    let service = fonoteca.serve();
    let path = only_path(&service);
    let file = fonoteca.path("by-ftp.wav");
    let mut by_ftp = download_by_ftp(&service, &path, &file).args(["--limit-rate", "1M"]).spawn().unwrap();
    let mut stream = download(&service, 0).await.bytes_stream();
    let mut heard = stream.next().await.unwrap().unwrap().to_vec();
    wait_for_beginning(&file).await;
    // Nobody reads meanwhile.
    service.stop();
    while let Some(Ok(block)) = stream.next().await {
        heard.extend(block);
    }
    by_ftp.wait().unwrap();
    assert!(heard.len() < bytes.len() && bytes.starts_with(&heard), "by HTTP: cut off, and nothing else");
    let received = std::fs::read(&file).unwrap();
    assert!(received.len() < bytes.len() && bytes.starts_with(&received), "by FTP: cut off, and nothing else");

    let service = fonoteca.serve();
    let rest = download(&service, heard.len()).await;
    assert_eq!(rest.status(), 206);
    heard.extend(rest.bytes().await.unwrap());
    assert!(heard == bytes, "by HTTP, goes on where it was");
    assert!(download_by_ftp(&service, &path, &file).status().unwrap().success());
    assert!(std::fs::read(&file).unwrap() == bytes, "by FTP, goes on where it was");
    service.stop();
    fonoteca.finish();
}
