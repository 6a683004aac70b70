//! What becomes of transactions that nobody waits for any longer.

use super::*;
use crate::testing::new_postgres_database;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_begin_that_is_given_up_leaves_no_transaction_open_on_its_connection() {
    let url = new_postgres_database().await;
    let (db, other) = (Db::connect(&url, Some(1)).await.unwrap(), Db::connect(&url, Some(1)).await.unwrap());
    db.execute("CREATE TABLE told (n BIGINT)", params![]).await.unwrap();
    for patience in 0..500_i64 {
        let mut begun = Box::pin(db.begin());
        for _ in 0..patience {
            if futures_util::poll!(&mut begun).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begun);
        // The next one on its only connection is told that this is done: then everybody sees it.
        db.execute("INSERT INTO told (n) VALUES ($1)", params![patience]).await.unwrap();
        let seen: i64 = other.fetch_one("SELECT count(*) AS n FROM told", params![]).await.unwrap().get("n").unwrap();
        assert_eq!(seen, patience + 1, "given up after {patience} polls");
    }
    db.close().await;
    other.close().await;
}
