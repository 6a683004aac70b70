//! How many sessions there may be, how long they may idle, and what keeps a server from starting.

use std::time::Duration;

use archive::testing::TestArchive;

use super::client::Client;
use super::door::{Door, clear};
use crate::{Config, FtpServer, TlsMode};

async fn reply_on_connect(door: &Door) -> (Client, u16) {
    let mut client = Client::connect(door.address).await;
    let code = client.reply().await.code;
    (client, code)
}

/// Waits until there is a place again: the server notices a little after the client has left.
async fn connects_again(door: &Door) -> Client {
    let attempts = async {
        loop {
            if let (client, 220) = reply_on_connect(door).await {
                return client;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::door::DEADLINE, attempts).await.expect("a place becomes free")
}

#[tokio::test]
async fn fault_32_one_client_too_many_is_turned_away_until_another_leaves() {
    for config in [Config { max_sessions: 2, ..clear() }, Config { max_sessions_per_address: 2, ..clear() }] {
        let door = Door::open(config).await;
        let (mut first, code) = reply_on_connect(&door).await;
        assert_eq!(code, 220);
        let mut second = door.log_in("acme").await;
        for _ in 0..3 {
            let (mut third, code) = reply_on_connect(&door).await;
            assert_eq!(code, 421);
            third.closed().await;
        }
        second.expect(257, "PWD").await;
        first.expect(221, "QUIT").await;
        first.closed().await;
        connects_again(&door).await.log_in("ftp-acme", TestArchive::PASSWORD).await;
        // One that vanishes without a word leaves its place, too.
        drop(second);
        connects_again(&door).await;
        door.close().await;
    }
}

#[tokio::test]
async fn fault_32_an_idle_session_is_closed() {
    let door = Door::open(Config { idle_timeout: Duration::from_secs(1), ..clear() }).await;
    let mut client = door.log_in("acme").await;
    assert_eq!(client.reply().await.code, 221);
    client.closed().await;
    door.close().await;
}

#[tokio::test]
async fn fault_32_a_client_that_takes_nothing_is_given_up() {
    let door = Door::open(Config { idle_timeout: Duration::from_secs(1), ..clear() }).await;
    let (_, path) = door.record("acme", &vec![7; 24 * 1024 * 1024]).await;
    let mut client = door.log_in("acme").await;
    let data = client.begin(&format!("RETR {path}")).await;
    assert_eq!(client.reply().await.code, 426);
    drop(data);
    let rows = door.audit("recording.download").await;
    assert!(rows.len() == 1 && rows[0].detail.contains(r#""complete":false"#), "{rows:?}");
    door.close().await;
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_in_one_line() {
    let door = Door::open(clear()).await;
    let directory = door.t.directory.path();
    let taken = Config { listen: door.address, ..clear() };
    let (certificate, key) = (directory.join("c.pem"), directory.join("k.pem"));
    let unreadable =
        Config { tls: TlsMode::Required, certificate: Some(certificate.clone()), key: Some(key), ..clear() };
    let nonsense = Config { max_sessions: 0, ..clear() };
    for (config, beginning) in [
        (taken, format!("listen on {}: ", door.address)),
        (unreadable, format!("ftp certificate: {}", certificate.display())),
        (nonsense, "max_sessions: must be 1 or more".to_owned()),
    ] {
        let error = FtpServer::bind(door.t.archive.clone(), config, directory).await.unwrap_err().to_string();
        assert!(error.starts_with(&beginning) && !error.contains('\n'), "{error}");
    }
    door.close().await;
}

#[tokio::test]
async fn data_connections_are_where_the_configuration_says() {
    let config = Config { external_address: Some("192.0.2.7".parse().unwrap()), ..clear() };
    let door = Door::open(config).await;
    let passive = door.log_in("acme").await.expect(227, "PASV").await;
    assert!(passive.contains("(192,0,2,7,"), "{passive}");
    door.close().await;
}
