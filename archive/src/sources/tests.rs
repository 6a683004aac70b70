//! Claims on a PostgreSQL that goes about them in its own way.

use std::time::Duration;

use super::NewSource;
use crate::db::params;
use crate::testing::TestArchive;
use crate::words::{Direction, Leg};

const LEASE: Duration = Duration::from_secs(60);

fn listed(t: &TestArchive, count: u32) -> Vec<NewSource> {
    (0..count)
        .map(|n| NewSource {
            path: format!("acme/{n}.wav").into(),
            size_bytes: 1,
            mtime: t.now(),
            pbx_token: "acme".to_owned(),
            call_ref: n.to_string(),
            leg: Leg::Mixed,
            direction: Direction::In,
            caller: String::new(),
            callee: String::new(),
            started_at: None,
        })
        .collect()
}

#[tokio::test]
async fn no_more_is_claimed_than_was_asked_for_whatever_the_planner_chooses() {
    let t = TestArchive::start_on_postgres().await;
    let server = t.core_server().await;
    t.archive.discover(server.id, &listed(&t, 40)).await.unwrap();
    // What a planner with wrong statistics may come to: to ask anew for every row what is due.
    for setting in ["hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize"] {
        let sql = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET enable_{setting} = off', current_database()); END $$"
        );
        t.archive.db.execute(sql, params![]).await.unwrap();
    }
    let other = t.another_instance("test-2").await;
    let claims = other.claim_sources(server.id, LEASE, 3).await.unwrap();
    assert_eq!(claims.len(), 3);
    other.close().await.unwrap();
    t.finish().await;
}
