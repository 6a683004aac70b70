//! The command line, and what becomes of sources: small promises that have no other home.

use std::path::Path;

use crate::harness::{Engine, Fonoteca, files_under, now, on_both_engines};

const WAV: &str = "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";

on_both_engines!(small_commands_answer_and_end_well, sources_are_kept_deleted_or_moved_as_their_core_server_says,);

async fn small_commands_answer_and_end_well(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    assert!(fonoteca.run_ok(&["version"]).starts_with("fonoteca "));
    let migrated = fonoteca.run_ok(&["migrate"]);
    assert!(migrated.contains(if engine == Engine::Sqlite { "sqlite" } else { "postgres" }), "{migrated}");
    assert!(fonoteca.run_ok(&["check-config"]).contains("can be opened"));
    assert_eq!(fonoteca.run_ok(&["retry"]), "");
    let verified: serde_json::Value = serde_json::from_str(&fonoteca.run_ok(&["verify", "--json"])).unwrap();
    assert_eq!(verified["objects"], 0);
    let rotated: serde_json::Value = serde_json::from_str(&fonoteca.run_ok(&["rotate", "--once", "--json"])).unwrap();
    assert!(rotated.is_object());
    assert_eq!(fonoteca.run(&["no-such-command"]).status.code(), Some(2));
    assert_eq!(fonoteca.run(&["collect", "--once", "--core-server", "nowhere"]).status.code(), Some(2));

    // What somebody put into the store, or took from it, is found.
    fonoteca.record("acme", WAV, now() - 60, 1);
    fonoteca.run_ok(&["collect", "--once"]);
    let object = fonoteca.stored_objects().remove(0);
    let stranger = object.with_file_name("stranger.mp3");
    std::fs::copy(&object, &stranger).unwrap();
    let kept = std::fs::read(&object).unwrap();
    let mut flipped = kept.clone();
    flipped[kept.len() / 2] ^= 1;
    std::fs::write(&object, &flipped).unwrap();
    let found = |arguments: &[&str]| {
        let output = fonoteca.run(arguments);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!found(&["verify"]).contains("damaged"), "a flipped bit has the same size");
    let report = found(&["verify", "--deep"]);
    assert!(report.contains("orphan") && report.contains("damaged"), "{report}");
    std::fs::remove_file(&object).unwrap();
    assert!(found(&["verify"]).contains("missing"));
    std::fs::write(&object, &kept).unwrap();
    std::fs::remove_file(&stranger).unwrap();
    fonoteca.finish();
}

async fn sources_are_kept_deleted_or_moved_as_their_core_server_says(engine: Engine) {
    let fonoteca = Fonoteca::new(engine);
    let (deleting, moving) = (fonoteca.path("deleting"), fonoteca.path("moving"));
    let server = |name: &str, spool: &str, after: &str| {
        format!(
            "[[core_servers]]\nname = \"{name}\"\nspool = \"{spool}\"\nlayout = \"asterisk\"\nafter = {{ {after} }}\n"
        )
    };
    let moved = fonoteca.path("moved");
    fonoteca.declare(
        &(server("deleting", &deleting, "then = \"delete\", after_s = 0")
            + &server("moving", &moving, &format!("then = \"move\", after_s = 0, to = \"{moved}\""))
            + &server("patient", &fonoteca.path("patient"), "then = \"delete\"")),
    );
    fonoteca.run_ok(&["apply", &fonoteca.path("platform.toml")]);
    let source = fonoteca.record("acme", WAV, now() + 5, 1);
    let relative = source.strip_prefix(fonoteca.spool()).unwrap().to_owned();
    for spool in [&deleting, &moving, &fonoteca.path("patient")] {
        let copy = Path::new(spool).join(&relative).with_file_name(format!(
            "{}-{}",
            Path::new(spool).file_name().unwrap().to_str().unwrap(),
            relative.file_name().unwrap().to_str().unwrap()
        ));
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::copy(&source, &copy).unwrap();
    }
    fonoteca.run_ok(&["collect", "--once"]);
    fonoteca.run_ok(&["collect", "--once"]);
    let left = |name: &str| files_under(Path::new(&fonoteca.path(name))).len();
    assert_eq!((left("spool"), left("deleting"), left("moving"), left("moved"), left("patient")), (1, 0, 0, 1, 1));
    assert!(!fonoteca.stored_objects().is_empty());
    fonoteca.finish();
}
