//! What a listener notices of tier moves and lost copies: nothing.

use std::time::Duration;

use archive::testing::TestArchive;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::StreamExt;
use tower::ServiceExt;

use super::{Http, request};
use crate::connection::Peer;

const DAY: Duration = Duration::from_secs(86_400);

async fn start() -> Http {
    let t = TestArchive::start().await.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk"], None, &[(30, &["second"])]).await;
    Http::before(t)
}

#[tokio::test]
async fn fault_33_a_slow_download_across_a_tier_move_gets_every_byte() {
    let http = start().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let id = http.record("acme", "1.1", &bytes).await;
    let path = format!("/api/v1/recordings/{id}/audio");
    let mut ranged = request("GET", "pbx", &path, &[("range", "bytes=1000-2899999")], Body::empty());
    ranged.extensions_mut().insert(ConnectInfo(Peer("192.0.2.1:50000".parse().expect("an address"))));
    let answer = http.router.clone().oneshot(ranged).await.expect("an answer");
    assert_eq!(answer.status(), 206);
    let mut body = answer.into_body().into_data_stream();
    let mut heard = body.next().await.expect("a block").expect("a block").to_vec();

    http.t.clock.advance(31 * DAY);
    assert_eq!(http.t.archive.begin_moves(10).await.expect("begin the move"), 1);
    let old = http.t.stored_file(id);
    assert_eq!(http.t.make_copies().await.len(), 1);
    assert_eq!(http.t.stores_of(id).await, ["second"]);
    // The old object is taken from under the reader, as no sweep would: it goes on where the recording lies now.
    std::fs::File::options().write(true).open(old).and_then(|file| file.set_len(0)).expect("cut the old object");
    assert!(heard.len() < 1_500_000, "most is still to come");
    while let Some(block) = body.next().await {
        heard.extend(block.expect("the rest"));
    }
    assert!(heard == bytes[1000..2_900_000]);
    assert!(http.get("pbx", &path).await.body == bytes);
    http.t.sweep_replaced().await;
    http.finish().await;
}

#[tokio::test]
async fn tiers_and_stores_are_listed_with_their_copies_and_moves() {
    let http = start().await;
    http.record("acme", "1.1", b"12345678").await;
    let tiers = http.get("tenant", "/api/v1/tiers").await.items();
    assert_eq!(tiers[0]["code"], "basic");
    assert_eq!(tiers[0]["stores"], serde_json::json!(["disk"]));
    assert_eq!(tiers[0]["moves"], serde_json::json!([{ "after_days": 30, "to": ["second"] }]));
    let stores = http.get("operator", "/api/v1/stores").await;
    assert_eq!(stores.each("name"), ["disk", "second"]);
    assert_eq!((&stores.items()[0]["recordings"], &stores.items()[0]["stored_bytes"]), (&1.into(), &8.into()));
    http.get("tenant", "/api/v1/stores").await.problem(403, "forbidden");
    http.finish().await;
}
