//! temporary
use super::door::{Door, clear};
use crate::{Config, TlsMode};
use archive::testing::Call;
use std::time::Duration;
#[tokio::test(flavor = "multi_thread")]
async fn manual() {
    let Ok(dir) = std::env::var("MANUAL") else { return };
    let tls = match std::env::var("TLSMODE").as_deref() {
        Ok("off") => TlsMode::Off,
        Ok("optional") => TlsMode::Optional,
        _ => TlsMode::Required,
    };
    let door = Door::open(Config { tls, max_sessions_per_address: 100, ..clear() }).await;
    let n: u32 = std::env::var("FILES").ok().and_then(|s| s.parse().ok()).unwrap_or(20);
    for i in 0..n {
        let bytes: Vec<u8> = (0..(20_000 + i * 997)).map(|k| (k.wrapping_mul(2_654_435_761 + i) >> 24) as u8).collect();
        let at = door.t.now().minus(Duration::from_secs(u64::from(i) * 40_000));
        door.t.record(&Call::new("acme", &format!("m{i}"), at, &bytes)).await;
    }
    let big: Vec<u8> = (0..64_000_000_u32).map(|k| (k.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let (_, path) = door.record("acme", &big).await;
    std::fs::write(format!("{dir}/big.bin"), &big).unwrap();
    std::fs::write(format!("{dir}/path"), &path).unwrap();
    std::fs::write(format!("{dir}/port"), door.address.port().to_string()).unwrap();
    while !std::path::Path::new(&format!("{dir}/stop")).exists() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for row in door.audit("recording.download").await {
        println!("{} {}", row.target.unwrap(), row.detail);
    }
    door.close().await;
}
