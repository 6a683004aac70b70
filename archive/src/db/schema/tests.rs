//! A program and the one before it on the same catalogue.

use super::*;
use crate::Archive;
use crate::relocation::copy_between;
use crate::testing::{TestArchive, new_postgres_database};

/// What the first program knew.
const FIRST: &[(i64, &str, &str)] = &[MIGRATIONS[0]];

/// A migration's text without its comments, in statements.
fn statements(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_once("--").map_or(line, |(code, _)| code));
    let text = lines.collect::<Vec<_>>().join(" ").to_ascii_uppercase();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split(';').map(|it| it.trim().to_owned()).filter(|it| !it.is_empty()).collect()
}

/// Why the program before could not run on what the statement makes; `None`: it can.
fn takes_away(statement: &str) -> Option<&'static str> {
    let adds_column = statement.starts_with("ALTER TABLE ") && statement.contains(" ADD COLUMN ");
    if ["CREATE TABLE ", "CREATE INDEX "].iter().any(|it| statement.starts_with(it)) {
        // A partial index with a condition on state is no constraint; a unique one may be.
        return None;
    }
    if adds_column {
        if statement.contains(" NOT NULL") && !statement.contains(" DEFAULT ") {
            return Some("a column that the program before does not fill");
        }
        if [" UNIQUE", " CHECK", " REFERENCES"].iter().any(|it| statement.contains(it)) {
            return Some("a constraint that the program before does not know");
        }
        return None;
    }
    // Without an index a statement is slower, not wrong.
    if statement.starts_with("INSERT INTO ") || statement.starts_with("DROP INDEX ") {
        return None;
    }
    Some("a statement that does more than add")
}

#[test]
fn every_migration_after_the_first_only_adds_or_says_that_it_does_not() {
    for (number, name, text) in &MIGRATIONS[1..] {
        if text.starts_with("-- contract") {
            let raises = format!("SET COMPATIBLE_FROM = {number}");
            assert!(
                statements(text).iter().any(|it| it.contains(&raises)),
                "{number} {name} must refuse older programs"
            );
            continue;
        }
        for statement in statements(text) {
            assert_eq!(takes_away(&statement), None, "{number} {name}: {statement}");
        }
    }
    let numbers: Vec<i64> = MIGRATIONS.iter().map(|(number, ..)| *number).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
}

#[test]
fn what_takes_away_is_told() {
    for (text, why) in [
        ("ALTER TABLE audit ADD COLUMN x BIGINT; -- NOT NULL", None),
        ("ALTER TABLE audit ADD COLUMN x BIGINT NOT NULL DEFAULT 0;", None),
        ("CREATE TABLE x (a BIGINT NOT NULL PRIMARY KEY);", None),
        ("ALTER TABLE audit ADD COLUMN x BIGINT NOT NULL;", Some("a column that the program before does not fill")),
        ("ALTER TABLE audit ADD COLUMN x BIGINT UNIQUE;", Some("a constraint that the program before does not know")),
        ("ALTER TABLE audit RENAME COLUMN x TO y;", Some("a statement that does more than add")),
        ("DROP INDEX x;", None),
        ("DROP TABLE x;", Some("a statement that does more than add")),
        ("CREATE UNIQUE INDEX x ON audit (at);", Some("a statement that does more than add")),
        ("UPDATE audit SET at = 0;", Some("a statement that does more than add")),
    ] {
        assert_eq!(takes_away(&statements(text)[0]), why, "{text}");
    }
}

/// An archive with recordings, a hold, an expiry, a purge and an audit, and a database of the same engine beside it.
async fn worked(engine: &str) -> (TestArchive, String) {
    let (t, url) = match engine {
        "postgres" => (TestArchive::start_on_postgres().await, new_postgres_database().await),
        _ => {
            let t = TestArchive::start().await;
            let url = format!("sqlite:{}", t.directory.path().join("first.db").display());
            (t, url)
        }
    };
    t.work().await;
    (t, url)
}

/// The test's archive, as a program that knows this schema opens it at `url`; its directory must outlive it.
async fn verified_at(t: &TestArchive, url: &str) -> std::sync::Arc<Archive> {
    t.archive.close().await.unwrap();
    let archive = t.reopen_at(url).await;
    // What the program before does not count is settled by rotation.
    archive.settle_audio_counts().await.unwrap();
    archive.seal_audit().await.unwrap();
    let report = archive.verify(crate::Depth::Deep).await.unwrap();
    assert_eq!(report.findings, vec![]);
    assert!(report.objects > 0);
    archive
}

async fn fault_34_a_catalogue_of_the_program_before_is_brought_up_to_date(engine: &str) {
    let (t, url) = worked(engine).await;
    let first = Db::open_knowing(&url, None, FIRST).await.unwrap();
    // What the program before would have written: its own columns of every one of its tables.
    copy_between(&t.archive.db, &first, &first).await.unwrap();
    first.close().await;
    let archive = verified_at(&t, &url).await;
    let page = archive.search(crate::Scope::Platform, &crate::Search::default(), None, 10).await.unwrap();
    assert_eq!(page.items.len(), 2);
    archive.close().await.unwrap();
}

async fn fault_34_what_the_program_before_writes_fits_into_the_schema_of_this_one(engine: &str) {
    let (t, url) = worked(engine).await;
    let first_url = match engine {
        "postgres" => new_postgres_database().await,
        _ => format!("{url}-before"),
    };
    let first = Db::open_knowing(&first_url, None, FIRST).await.unwrap();
    let now = Db::open(&url, None).await.unwrap();
    // Every INSERT names exactly the columns that the first schema has.
    copy_between(&t.archive.db, &now, &first).await.unwrap();
    // And it opens this catalogue, though it does not know its migrations.
    Db::open_knowing(&url, None, FIRST).await.unwrap().close().await;
    now.close().await;
    first.close().await;
    verified_at(&t, &url).await.close().await.unwrap();
}

async fn fault_34_a_catalogue_that_needs_a_newer_program_is_refused_with_one_line(engine: &str) {
    let (t, _) = worked(engine).await;
    t.sabotage(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         SELECT 9001, 'from the future', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let url = t.database_url().to_owned();
    Db::open(&url, None).await.expect("it only adds").close().await;
    t.sabotage("UPDATE compatibility SET compatible_from = 9001").await;
    let error = Db::open(&url, None).await.unwrap_err().to_string();
    assert!(error.contains("newer Fonoteca") && error.contains("9001") && !error.contains('\n'), "{error}");
    t.sabotage("UPDATE compatibility SET compatible_from = 1, moved_at = 1795262400000").await;
    let error = Db::open(&url, None).await.unwrap_err().to_string();
    assert!(error.contains("moved to another database at 2026-11-21"), "{error}");
    t.finish().await;
}

macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test] async fn $case() { super::$case("sqlite").await; })+ }
        mod postgres { $(#[tokio::test] async fn $case() { super::$case("postgres").await; })+ }
    };
}
on_both!(
    fault_34_a_catalogue_of_the_program_before_is_brought_up_to_date,
    fault_34_what_the_program_before_writes_fits_into_the_schema_of_this_one,
    fault_34_a_catalogue_that_needs_a_newer_program_is_refused_with_one_line,
);

/// On PostgreSQL these wait for the end of the transaction with readers locked out; building an index may take an hour.
#[test]
fn readers_are_locked_out_by_the_last_statements_of_a_migration_only() {
    for (number, _, text) in MIGRATIONS.iter().filter(|(number, ..)| *number >= 5) {
        let mut locked: Option<&str> = None;
        for line in text.lines() {
            if let Some(table) = line.strip_prefix("ALTER TABLE ") {
                locked = table.split(' ').next();
            } else if line.starts_with("DROP ") {
                locked = Some("the table of that index");
            } else if let (Some(locked), true) = (locked, line.starts_with("CREATE ")) {
                // Only an index over the very column that was added cannot come first.
                assert!(line.contains(&format!(" ON {locked} (")), "migration {number}: {line}");
            }
        }
    }
}
