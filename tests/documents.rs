//! What is written for people is true: examples work, commands exist.

use std::collections::BTreeSet;
use std::path::Path;

use crate::harness::{Engine, Fonoteca};

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[tokio::test]
async fn the_readmes_platform_applies_twice_and_changes_nothing_the_second_time() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let readme = read("README.md");
    let (_, example) = readme.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    // The example's names are not to meet the test platform's.
    let example = example.replace("\"acme\"", "\"example\"").replace("\"north\"", "\"example-reseller\"");
    let example = example.replace("\"month\"", "\"example-tier\"").replace("\"core-1\"", "\"example-core\"");
    let file = fonoteca.path("example.toml");
    std::fs::write(&file, example).unwrap();
    let preview = fonoteca.run_ok(&["apply", &file, "--dry-run"]);
    assert!(preview.ends_with("would change 7\n"), "{preview}");
    assert!(fonoteca.run_ok(&["apply", &file]).ends_with("changed 7\n"));
    assert!(fonoteca.run_ok(&["apply", &file]).ends_with("changed 0\n"));
    fonoteca.finish();
}

#[tokio::test]
async fn every_command_that_the_documents_name_exists() {
    let fonoteca = Fonoteca::new(Engine::Sqlite);
    let mut named = BTreeSet::new();
    for document in ["README.md", "deploy/runbook.md", "deploy/fonoteca.service", "CONTRIBUTING.md"] {
        let text = read(document);
        for (_, rest) in text.match_indices("fonoteca ").map(|(at, found)| text.split_at(at + found.len())) {
            let word: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            let after = rest[word.len()..].chars().next();
            // In prose, Fonoteca is a name; a command stands in code and is followed by an end, a flag or an argument.
            let is_code = text[..text.len() - rest.len()].rsplit(['\n']).next().is_some_and(|line| {
                line.matches('`').count() % 2 == 1 || line.trim() == "fonoteca" || line.contains("ExecStart")
            });
            if is_code && word.starts_with(|c: char| c.is_ascii_lowercase()) && matches!(after, Some(' ' | '`' | '\n'))
            {
                named.insert(word);
            }
        }
    }
    for expected in ["apply", "serve", "rotate", "verify", "collect"] {
        assert!(named.contains(expected), "{expected} is not found in the documents: {named:?}");
    }
    for command in named {
        fonoteca.run_ok(&[&command, "--help"]);
    }
    fonoteca.finish();
}
