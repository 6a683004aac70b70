//! What the project promises about itself: the arrows between crates, where SQL may stand, how long a file may be.

use std::path::{Path, PathBuf};

use crate::harness::files_under;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(crate_name: &str) -> Vec<PathBuf> {
    let directory = if crate_name == "fonoteca" { root().join("src") } else { root().join(crate_name).join("src") };
    files_under(&directory).into_iter().filter(|path| path.extension().is_some_and(|it| it == "rs")).collect()
}

/// What each crate may know of the others.
const ARROWS: [(&str, &[&str]); 6] = [
    ("archive", &[]),
    ("audio", &[]),
    ("collector", &["archive", "audio"]),
    ("rotation", &["archive"]),
    ("ftp", &["archive"]),
    ("api", &["archive", "audio"]),
];

#[test]
fn the_arrows_between_crates_hold() {
    for (name, may_know) in ARROWS {
        let manifest = std::fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = toml::from_str(&manifest).unwrap();
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        let known = tables.iter().filter_map(|table| manifest.get(*table)?.as_table()).flat_map(|table| table.keys());
        for dependency in known {
            if ARROWS.iter().any(|(other, _)| other == dependency) {
                let itself = dependency == name;
                assert!(itself || may_know.contains(&dependency.as_str()), "{name} must not know {dependency}");
            }
        }
    }
}

#[test]
fn each_kind_of_library_is_used_in_one_place() {
    let places = [
        ("sqlx::", "archive"),
        ("object_store::", "archive"),
        ("symphonia", "audio"),
        ("walkdir::", "collector"),
        ("tokio_cron_scheduler::", "rotation"),
        ("libunftp::", "ftp"),
        ("axum::", "api"),
    ];
    for (library, home) in places {
        for (name, _) in ARROWS.into_iter().chain([("fonoteca", &[] as &[&str])]) {
            for path in sources(name) {
                let text = std::fs::read_to_string(&path).unwrap();
                let uses = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(library));
                assert!(!uses || name == home, "{} uses {library}, which is for {home}", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_none_is_too_long() {
    for (name, _) in ARROWS.into_iter().chain([("fonoteca", &[] as &[&str])]) {
        for path in sources(name) {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("//!"), "{} does not say what it is responsible for", path.display());
            let lines = text.lines().count();
            assert!(lines <= 400, "{} has {lines} lines: what does it really hold?", path.display());
        }
    }
}

#[test]
fn one_recordings_path_is_followed_in_nine_files_of_400_lines_at_most() {
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, walk) = architecture.split_once("## One recording, all the way").expect("the walk-through");
    let walk = walk.split("\n## ").next().unwrap();
    let files: std::collections::BTreeSet<&str> =
        walk.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs")).collect();
    assert_eq!(files.len(), 9, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("{file} is not there"));
        assert!(text.lines().count() <= 400, "{file} is too long to follow");
    }
}

#[test]
fn every_state_stands_in_the_architecture() {
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let sources = archive::SourceState::ALL.iter().map(|state| state.as_str());
    let recordings = archive::RecordingState::ALL.iter().map(|state| state.as_str());
    let objects = archive::ObjectState::ALL.iter().map(|state| state.as_str());
    for state in sources.chain(recordings).chain(objects) {
        assert!(architecture.contains(&format!("`{state}`")), "{state} is not in ARCHITECTURE.md");
    }
}

/// The tests that show a row of the fault table, by their names.
fn tests_of_faults() -> std::collections::BTreeSet<String> {
    let crates = ARROWS.iter().flat_map(|(name, _)| sources(name));
    let product =
        files_under(&root().join("tests")).into_iter().filter(|it| it.extension().is_some_and(|it| it == "rs"));
    let mut names = std::collections::BTreeSet::new();
    for path in crates.chain(product) {
        let text = std::fs::read_to_string(&path).unwrap();
        let signature = |line: &str| {
            let line = line.trim_start().trim_start_matches("pub ").trim_start_matches("async ");
            let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
            name.starts_with("fault_").then(|| name.to_owned())
        };
        names.extend(text.lines().filter_map(signature));
    }
    names
}

#[test]
fn every_test_of_a_fault_stands_in_its_row_of_the_table_and_every_row_is_true() {
    let table = std::fs::read_to_string(root().join("tests/FAULTS.md")).unwrap();
    let tests = tests_of_faults();
    for row in table.lines().filter(|line| line.starts_with("| ")).skip(2) {
        let number = row.split('|').nth(1).unwrap().trim();
        for named in row.split('`').filter(|word| word.starts_with("fault_")) {
            assert!(tests.contains(named), "row {number} names {named}, which is no test");
            let is_its_row =
                named.starts_with(&format!("fault_{number}_")) || named.contains(&format!("_and_{number}_"));
            assert!(is_its_row, "row {number} names {named}");
        }
    }
    for test in tests {
        let sqlite = test.strip_suffix("_on_postgres").unwrap_or(&test);
        assert!(table.contains(&format!("`{sqlite}`")), "{test} is in no row of tests/FAULTS.md");
    }
}
