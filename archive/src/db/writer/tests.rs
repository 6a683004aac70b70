//! What is promised of the groups, also when they fail.

use sqlx::Row as _;
use tempfile::TempDir;

use super::*;

async fn writer() -> (TempDir, Writer) {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("catalogue.db"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let writer = Writer::new(options);
    let mut member = writer.begin().await.unwrap();
    run(&mut member, "CREATE TABLE numbers (n BIGINT NOT NULL PRIMARY KEY)").await.unwrap();
    member.commit().await.unwrap();
    (directory, writer)
}

async fn run(member: &mut Member, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(member.connection()).await.map(|_| ())
}

/// What somebody else sees.
async fn seen(writer: &Writer) -> Vec<i64> {
    let mut connection = writer.connect().await.unwrap();
    let rows = sqlx::query("SELECT n FROM numbers ORDER BY n").fetch_all(&mut connection).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Begins a transaction that waits for its turn while another one is open.
async fn begin_behind(writer: &Writer) -> tokio::task::JoinHandle<Result<Member>> {
    let waiting = writer.0.waiting.load(Ordering::SeqCst);
    let next = TaskTracker::new().spawn({
        let writer = writer.clone();
        async move { writer.begin().await }
    });
    while writer.0.waiting.load(Ordering::SeqCst) == waiting {
        tokio::task::yield_now().await;
    }
    next
}

/// One transaction that has ended well, and the next one, which is in its group.
async fn two_in_a_group(writer: &Writer) -> (tokio::task::JoinHandle<Result<()>>, Member) {
    let mut first = writer.begin().await.unwrap();
    let next = begin_behind(writer).await;
    run(&mut first, "INSERT INTO numbers VALUES (1)").await.unwrap();
    let first = TaskTracker::new().spawn(first.commit());
    let mut next = next.await.unwrap().unwrap();
    assert!(!next.is_first, "it shares the group of the one before it");
    run(&mut next, "INSERT INTO numbers VALUES (2)").await.unwrap();
    (first, next)
}

#[tokio::test]
async fn those_who_waited_for_their_turn_are_committed_together_and_nobody_is_told_or_sees_it_before() {
    let (_directory, writer) = writer().await;
    let (first, next) = two_in_a_group(&writer).await;
    assert!(!first.is_finished(), "it is told when its group is durable");
    assert!(seen(&writer).await.is_empty());
    next.commit().await.unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(seen(&writer).await, [1, 2]);
    writer.close().await;
    assert!(matches!(writer.begin().await, Err(Error::Catalogue(sqlx::Error::PoolClosed))));
}

#[tokio::test]
async fn what_one_of_a_group_undoes_the_others_keep() {
    let (_directory, writer) = writer().await;
    let (first, next) = two_in_a_group(&writer).await;
    drop(next);
    first.await.unwrap().unwrap();
    assert_eq!(seen(&writer).await, [1]);
    // The first of a group, with nobody behind it.
    let mut alone = writer.begin().await.unwrap();
    run(&mut alone, "INSERT INTO numbers VALUES (3)").await.unwrap();
    drop(alone);
    let mut last = writer.begin().await.unwrap();
    assert!(last.is_first, "a group of its own");
    let refused = run(&mut last, "INSERT INTO numbers VALUES (1)").await.unwrap_err();
    assert!(Error::from(refused).is_unique_violation());
    run(&mut last, "INSERT INTO numbers VALUES (4)").await.unwrap();
    last.commit().await.unwrap();
    assert_eq!(seen(&writer).await, [1, 4]);
}

#[tokio::test]
async fn when_sqlite_undoes_a_group_by_itself_nobody_is_told_that_it_was_committed() {
    for ends_well in [false, true] {
        let (_directory, writer) = writer().await;
        let (first, mut next) = two_in_a_group(&writer).await;
        // As it does when its disk is full.
        run(&mut next, "ROLLBACK").await.unwrap();
        match ends_well {
            true => drop(next.commit().await.unwrap_err()),
            false => drop(next),
        }
        let error = first.await.unwrap().unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(seen(&writer).await.is_empty());
        // And the next one goes on.
        let mut later = writer.begin().await.unwrap();
        run(&mut later, "INSERT INTO numbers VALUES (5)").await.unwrap();
        later.commit().await.unwrap();
        assert_eq!(seen(&writer).await, [5]);
    }
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_any_longer_happens_all_the_same() {
    let (_directory, writer) = writer().await;
    let (first, next) = two_in_a_group(&writer).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let mut commit = Box::pin(next.commit());
    assert!(futures_util::poll!(&mut commit).is_pending());
    drop(commit);
    // Closing waits for it.
    writer.close().await;
    assert_eq!(seen(&writer).await, [1, 2]);
}

#[tokio::test]
async fn one_that_gives_up_waiting_for_its_turn_keeps_nobody_from_being_committed() {
    let (_directory, writer) = writer().await;
    let mut first = writer.begin().await.unwrap();
    let next = begin_behind(&writer).await;
    run(&mut first, "INSERT INTO numbers VALUES (1)").await.unwrap();
    let first = first.commit();
    next.abort();
    first.await.unwrap();
    assert_eq!(seen(&writer).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_lose_nothing_and_wait_for_the_disk_less_often_than_they_are() {
    let (_directory, writer) = writer().await;
    let mut working = tokio::task::JoinSet::new();
    for n in 0..200_i64 {
        let writer = writer.clone();
        working.spawn(async move {
            let mut member = writer.begin().await.unwrap();
            let sql = "INSERT INTO numbers VALUES ($1)";
            sqlx::query(sql).bind(n).execute(member.connection()).await.unwrap();
            let was_first = member.is_first;
            if n % 10 == 3 {
                return false;
            }
            member.commit().await.unwrap();
            was_first
        });
    }
    let groups = working.join_all().await.into_iter().filter(|was_first| *was_first).count();
    let kept: Vec<i64> = (0..200).filter(|n| n % 10 != 3).collect();
    assert_eq!(seen(&writer).await, kept);
    assert!(groups < 100, "{groups} groups");
}
