//! What a client that is let in can do: list, look, download, resume.

use tokio::io::AsyncReadExt;

use super::door::{Door, clear};

/// More than two blocks, and no period that a wrong offset could hide in.
fn long_recording() -> Vec<u8> {
    (0..700_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn a_client_lists_and_downloads_what_its_pbx_recorded() {
    let door = Door::open(clear()).await;
    let bytes = long_recording();
    let (_, path) = door.record("acme", &bytes).await;
    let name = path.rsplit('/').next().unwrap();
    let mut client = door.log_in("acme").await;

    assert_eq!(client.listing("NLST").await, "2026\r\n");
    assert_eq!(client.listing("NLST /2026").await, "11\r\n");
    assert_eq!(client.listing("NLST /2026/11").await, "21\r\n");
    assert_eq!(client.listing("NLST /2026/11/21").await, format!("{name}\r\n"));
    // It began at noon UTC and plays for ten seconds; its folder and its name are in Berlin's time.
    assert!(name.starts_with("20261121-130000_out_101_"), "{name}");
    let facts = format!("type=file;size=700001;modify=20261121120010; {name}\r\n");
    assert_eq!(client.listing("MLSD /2026/11/21").await, facts);
    assert_eq!(client.listing("MLSD /2026/11").await, "type=dir;size=0;modify=20261120230000; 21\r\n");
    let list = client.listing("LIST /2026/11/21").await;
    assert!(list.starts_with("-r--r--r-- ") && list.contains(" 700001 ") && list.ends_with(&format!(" {name}\r\n")));
    let list = client.listing("LIST -a /2026").await;
    assert!(list.starts_with("dr-xr-xr-x ") && list.ends_with(" 11\r\n"), "{list}");

    assert_eq!(client.expect(213, &format!("SIZE {path}")).await, "213 700001\r\n");
    assert_eq!(client.expect(213, &format!("MDTM {path}")).await, "213 20261121120010\r\n");
    assert!(client.expect(250, &format!("MLST {path}")).await.contains("size=700001;"));
    client.expect(200, "TYPE I").await;
    assert!(client.fetch(&format!("RETR {path}")).await == bytes);
    assert!(client.fetch(&format!("RETR {path}")).await == bytes, "as often as wanted");
    client.expect(221, "QUIT").await;
    door.close().await;
}

#[tokio::test]
async fn a_client_walks_through_the_folders() {
    let door = Door::open(clear()).await;
    let (_, path) = door.record("acme", b"RIFF").await;
    let name = path.rsplit('/').next().unwrap();
    let mut client = door.log_in("acme").await;
    assert!(client.expect(257, "PWD").await.contains("\"/\""));
    client.expect(250, "CWD 2026").await;
    client.expect(250, "CWD 11/21").await;
    assert!(client.expect(257, "PWD").await.contains("\"/2026/11/21\""));
    assert_eq!(client.expect(213, &format!("SIZE {name}")).await, "213 4\r\n");
    assert_eq!(client.fetch(&format!("RETR {name}")).await, b"RIFF");
    assert_eq!(client.fetch(&format!("RETR ../21/{name}")).await, b"RIFF");
    client.expect(250, "CDUP").await;
    assert_eq!(client.listing("NLST").await, "21\r\n");
    client.expect(250, "CWD ../../../../..").await;
    assert_eq!(client.listing("NLST").await, "2026\r\n");
    for nowhere in ["CWD 2025", "CWD /2026/12", "CWD /etc", "CWD ..\\..", &format!("CWD {path}")] {
        client.expect(550, nowhere).await;
    }
    assert_eq!(client.listing("NLST").await, "2026\r\n");
    door.close().await;
}

#[tokio::test]
async fn fault_32_a_download_resumes_at_every_offset() {
    let door = Door::open(clear()).await;
    let bytes = long_recording();
    let (_, path) = door.record("acme", &bytes).await;
    let mut client = door.log_in("acme").await;
    assert!(client.expect(211, "FEAT").await.contains("REST STREAM"));
    for offset in [0, 1, 262_143, 262_144, 262_145, 524_288, 700_000, 700_001] {
        client.expect(350, &format!("REST {offset}")).await;
        assert!(client.fetch(&format!("RETR {path}")).await == bytes[offset..], "from {offset}");
    }
    assert!(client.fetch(&format!("RETR {path}")).await == bytes, "an offset is good for one download");
    client.expect(350, "REST 700002").await;
    assert_eq!(client.transfer(&format!("RETR {path}")).await.1.code, 550);
    door.close().await;
}

/// libunftp forgets the offset only after a success.
#[tokio::test]
async fn fault_32_an_offset_that_nobody_asked_for_never_cuts_off_a_beginning() {
    let door = Door::open(clear()).await;
    let (_, path) = door.record("acme", b"all of it").await;
    let mut client = door.log_in("acme").await;
    client.expect(350, "REST 4").await;
    assert_eq!(client.transfer("RETR /2026/11/21/missing.mp3").await.1.code, 550);
    let mut data = client.begin(&format!("RETR {path}")).await;
    let mut sent = Vec::new();
    // The connection may be reset: nothing is sent either way.
    let _ = data.read_to_end(&mut sent).await;
    assert_eq!(sent, b"", "rather nothing than a part");
    client.closed().await;
    let mut client = door.log_in("acme").await;
    assert_eq!(client.fetch(&format!("RETR {path}")).await, b"all of it");
    // One that is asked for anew is.
    client.expect(350, "REST 4").await;
    assert_eq!(client.transfer("RETR /2026/11/21/missing.mp3").await.1.code, 550);
    client.expect(350, "REST 7").await;
    assert_eq!(client.fetch(&format!("RETR {path}")).await, b"it");
    assert_eq!(client.fetch(&format!("RETR {path}")).await, b"all of it");
    door.close().await;
}

#[tokio::test]
async fn every_command_that_writes_is_refused() {
    let door = Door::open(clear()).await;
    let (_, path) = door.record("acme", b"as it was").await;
    let mut client = door.log_in("acme").await;
    for command in [format!("DELE {path}"), "MKD /new".into(), "RMD /2026".into(), "MKD /2026/11/22".into()] {
        client.expect(550, &command).await;
    }
    client.command(&format!("RNFR {path}")).await;
    let renamed = client.command("RNTO /2026/11/21/other.mp3").await;
    assert!(renamed.code >= 500, "{}", renamed.text);
    for command in ["SITE CHMOD 777 /2026", "SITE MD5 /2026", "MFMT 20200101000000 /2026"] {
        let refused = client.command(command).await;
        assert!(refused.code >= 500, "{command}: {}", refused.text);
    }
    for command in [format!("STOR {path}"), format!("APPE {path}"), "STOR /2026/11/21/new.mp3".into()] {
        assert_eq!(client.transfer(&command).await.1.code, 550, "{command}");
    }
    assert_eq!(client.fetch(&format!("RETR {path}")).await, b"as it was");
    assert_eq!(client.listing("NLST /").await, "2026\r\n");
    door.close().await;
}

#[tokio::test]
async fn each_download_leaves_one_row_in_the_audit() {
    let door = Door::open(clear()).await;
    let (id, path) = door.record("acme", b"0123456789").await;
    let (large, large_path) = door.record("acme", &vec![7; 24 * 1024 * 1024]).await;
    let mut client = door.log_in("acme").await;
    client.fetch(&format!("RETR {path}")).await;
    // Rows of one millisecond have no order.
    let tick = std::time::Duration::from_millis(1);
    door.t.clock.advance(tick);
    client.expect(350, "REST 4").await;
    client.fetch(&format!("RETR {path}")).await;
    client.transfer("RETR /2026/11/21/missing.mp3").await;
    door.t.clock.advance(tick);
    let mut data = client.begin(&format!("RETR {large_path}")).await;
    let mut beginning = [0; 1000];
    data.read_exact(&mut beginning).await.unwrap();
    drop(data);
    assert_eq!(client.reply().await.code / 100, 4, "the transfer failed, and is said to");

    let rows = door.audit("recording.download").await;
    let tenant = door.t.tenant("acme").await.id;
    for row in &rows {
        assert_eq!((row.principal.as_str(), row.address.as_deref()), ("ftp:ftp-acme", Some("127.0.0.1")));
        assert_eq!(row.tenant, Some(tenant));
    }
    let targets: Vec<_> = rows.iter().map(|row| row.target.clone().unwrap()).collect();
    assert_eq!(targets, [id, id, large].map(|id| id.to_string()));
    let whole = r#"{"bytes":10,"complete":true,"offset":0}"#;
    let rest = r#"{"bytes":6,"complete":true,"offset":4}"#;
    assert_eq!((rows[0].detail.as_str(), rows[1].detail.as_str()), (whole, rest));
    assert!(rows[2].detail.contains(r#""complete":false"#), "{}", rows[2].detail);
    door.close().await;
}

#[tokio::test]
async fn fault_33_a_slow_download_across_a_tier_move_gets_every_byte() {
    let t = archive::testing::TestArchive::start().await.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk"], None, &[(30, &["second"])]).await;
    let door = Door::open_before(t, clear()).await;
    let bytes: Vec<u8> = long_recording().into_iter().cycle().take(24 * 1024 * 1024).collect();
    let (id, path) = door.record("acme", &bytes).await;
    let mut client = door.log_in("acme").await;
    client.expect(200, "TYPE I").await;
    let mut data = client.begin(&format!("RETR {path}")).await;
    let mut heard = vec![0; 1000];
    data.read_exact(&mut heard).await.unwrap();

    door.t.clock.advance(std::time::Duration::from_secs(31 * 86_400));
    assert_eq!(door.t.archive.begin_moves(10).await.unwrap(), 1);
    let old = door.t.stored_file(id);
    assert_eq!(door.t.make_copies().await.len(), 1);
    assert_eq!(door.t.stores_of(id).await, ["second"]);
    // The old object is taken from under the transfer, as no sweep would: it goes on where the recording lies now.
    std::fs::File::options().write(true).open(old).unwrap().set_len(0).unwrap();
    data.read_to_end(&mut heard).await.unwrap();
    drop(data);
    assert_eq!(client.reply().await.code, 226);
    assert!(heard == bytes);
    client.expect(350, "REST 25000000").await;
    assert!(client.fetch(&format!("RETR {path}")).await == bytes[25_000_000..]);
    door.t.sweep_replaced().await;
    door.close().await;
}
