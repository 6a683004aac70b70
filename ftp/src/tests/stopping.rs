//! Stopping: who is idle goes at once, who downloads may finish, nobody begins.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::door::{Door, clear};
use crate::Config;

/// More than the sockets' buffers hold.
const LARGE: usize = 24 * 1024 * 1024;

#[tokio::test]
async fn fault_37_a_stop_lets_a_running_download_finish() {
    let door = Door::open(clear()).await;
    let bytes: Vec<u8> = (0..LARGE).map(|n| (n / 1000) as u8).collect();
    let (_, path) = door.record("acme", &bytes).await;
    let (mut idle, mut stranger, mut client) =
        (door.log_in("acme").await, door.connect().await, door.log_in("acme").await);
    let mut data = client.begin(&format!("RETR {path}")).await;
    let mut received = vec![0; 1000];
    data.read_exact(&mut received).await.unwrap();

    door.stop.cancel();
    idle.closed().await;
    stranger.closed().await;
    assert!(TcpStream::connect(door.address).await.is_err(), "nobody is let in any more");
    data.read_to_end(&mut received).await.unwrap();
    assert!(received == bytes);
    assert_eq!(client.reply().await.code, 226, "and the client is told that it has all of it");
    client.closed().await;
    door.stopped().await;
    assert!(door.audit("recording.download").await[0].detail.contains(r#""complete":true"#));
    door.close().await;
}

#[tokio::test]
async fn fault_37_a_download_that_outlives_the_grace_period_is_cut_off() {
    let door = Door::open(Config { shutdown_grace: Duration::from_millis(200), ..clear() }).await;
    let (_, path) = door.record("acme", &vec![7; LARGE]).await;
    let mut client = door.log_in("acme").await;
    let _data = client.begin(&format!("RETR {path}")).await;
    door.stop.cancel();
    door.stopped().await;
    assert!(door.audit("recording.download").await[0].detail.contains(r#""complete":false"#));
    door.close().await;
}

#[tokio::test]
async fn a_download_is_cut_off_before_the_grace_period_is_over_where_the_end_must_come_at_once() {
    let door = Door::open(Config { shutdown_grace: Duration::from_secs(86_400), ..clear() }).await;
    let (_, path) = door.record("acme", &vec![7; LARGE]).await;
    let mut client = door.log_in("acme").await;
    let _data = client.begin(&format!("RETR {path}")).await;
    door.stop.cancel();
    door.at_once.cancel();
    door.stopped().await;
    assert!(door.audit("recording.download").await[0].detail.contains(r#""complete":false"#));
    door.close().await;
}

#[tokio::test]
async fn a_session_that_downloads_cannot_begin_another_download_after_the_stop() {
    let door = Door::open(clear()).await;
    let (_, large) = door.record("acme", &vec![7; LARGE]).await;
    let (_, small) = door.record("acme", b"small").await;
    let mut client = door.log_in("acme").await;
    let mut data = client.begin(&format!("RETR {large}")).await;
    door.stop.cancel();
    let mut received = Vec::new();
    data.read_to_end(&mut received).await.unwrap();
    assert_eq!((received.len(), client.reply().await.code), (LARGE, 226));
    client.send(&format!("SIZE {small}")).await;
    let reply = client.next_reply().await;
    assert!(reply.as_ref().is_none_or(|reply| reply.code == 450), "{reply:?}");
    door.stopped().await;
    door.close().await;
}
