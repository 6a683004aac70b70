//! How recordings come in, and as what.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use archive::{Leg, Scope, SourceState};
use tokio_util::sync::CancellationToken;

use super::rig::{Rig, fixtures, wav};
use crate::{Collected, Error};

const CALL: &str = "acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_spool_of_a_real_core_server_is_archived_whole() {
    let rig = Rig::start().await;
    let manifest = fs::read_to_string(fixtures().join("MANIFEST.tsv")).unwrap();
    let mut expected = HashMap::new();
    for row in manifest.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        if let Some(path) = columns[0].strip_prefix("asterisk-22/monitor/") {
            rig.put(path, &fs::read(fixtures().join(columns[0])).unwrap());
            expected.insert(path.to_owned(), (columns[8].parse::<f64>().unwrap_or(0.0), columns[12].to_owned()));
        }
    }
    let collected = rig.collect().await;
    let empty = expected.values().filter(|(duration, _)| *duration == 0.0).count() as u64;
    assert_eq!(collected.discovered, expected.len() as u64);
    assert_eq!((collected.quarantined, collected.archived), (empty, expected.len() as u64 - empty));
    assert_eq!(rig.quarantined().await, vec!["empty"; empty as usize]);

    let sources: HashMap<_, _> =
        rig.sources(SourceState::Done).await.into_iter().map(|source| (source.id, source.listed)).collect();
    for recording in rig.recordings().await {
        let listed = &sources[&recording.source];
        let path = listed.path.to_str().unwrap();
        let (seconds, tenant) = &expected[path];
        let place = rig.t.place(tenant).await;
        assert_eq!((recording.pbx, recording.tenant), (Some(place.pbx), Some(place.tenant)), "{path}");
        let undecodable = recording.flags.contains(&"undecodable".to_owned());
        if !undecodable && !path.ends_with(".raw") {
            assert!(
                (recording.duration_ms as f64 - seconds * 1000.0).abs() <= 100.0,
                "{path}: {}",
                recording.duration_ms
            );
        }
        assert_eq!(recording.kept_original, recording.format != "mp3", "{path}: {recording:?}");
        let crashed = path.ends_with(".46.wav");
        assert_eq!(recording.flags.contains(&"stale-header".to_owned()), crashed, "{path}: {:?}", recording.flags);
        assert_eq!(recording.sample_rate, if undecodable { 0 } else { recording.sample_rate.max(8000) }, "{path}");
        assert_eq!(recording.peaks.is_empty(), undecodable, "{path}");
    }
    // Again: everything is known.
    assert_eq!(rig.collect().await, Collected::default());
    rig.finish().await;
}

#[tokio::test]
async fn the_legs_of_a_call_are_told_apart_and_belong_to_one_call() {
    let rig = Rig::start().await;
    rig.put(CALL, &wav(3, 300));
    rig.put(&CALL.replace(".wav", "-in.wav"), &wav(3, 400));
    rig.put(&CALL.replace(".wav", "-out.wav"), &wav(3, 500));
    assert_eq!(rig.collect().await.archived, 3);
    let recordings = rig.recordings().await;
    let mut legs: Vec<Leg> = recordings.iter().map(|recording| recording.leg).collect();
    legs.sort();
    assert_eq!(legs, [Leg::Mixed, Leg::Caller, Leg::Callee]);
    assert!(recordings.iter().all(|recording| recording.call == recordings[0].call));
    assert!(recordings.iter().all(|recording| recording.call_ref == "1795246782.0" && recording.caller == "101"));
    rig.finish().await;
}

#[tokio::test]
async fn an_unknown_pbx_is_archived_as_it_came() {
    let rig = Rig::start().await;
    let bytes = wav(2, 300);
    rig.put(&CALL.replace("acme", "unheard-of"), &bytes);
    assert_eq!(rig.collect().await.archived, 1);
    let recording = rig.only_recording().await;
    assert_eq!((recording.pbx, recording.kept_original, recording.format.as_str()), (None, true, "wav"));
    assert_eq!((recording.duration_ms, recording.content_type.as_str()), (2000, "audio/wav"));
    assert_eq!((recording.source_sha256, recording.size_bytes), (recording.audio_sha256, bytes.len() as u64));
    assert_eq!(recording.flags, Vec::<String>::new());
    rig.finish().await;
}

#[tokio::test]
async fn fault_18_the_same_name_in_the_same_second_on_two_core_servers_and_in_two_tenants_is_four_recordings() {
    let rig = Rig::start().await;
    let second = rig.t.directory.path().join("second");
    rig.add_core_server("second", &second, "asterisk").await;
    // Not even the bytes tell them apart everywhere.
    let of_borealis = CALL.replace("acme", "borealis");
    for (spool, path, pitch) in [
        (&rig.spool, CALL, 300),
        (&second, CALL, 400),
        (&rig.spool, of_borealis.as_str(), 300),
        (&second, of_borealis.as_str(), 300),
    ] {
        rig.put_into(spool, path, &wav(1, pitch), HOUR);
    }
    let collected = rig.collect().await;
    assert_eq!(
        (collected.archived, collected.duplicates),
        (3, 1),
        "of one PBX, the same call's same bytes are the same"
    );
    let fourth = CALL.replace("782.0.wav", "782.0-in.wav");
    rig.put_into(&second, &fourth, &wav(1, 300), HOUR);
    assert_eq!(rig.collect().await.archived, 1, "another leg is another recording");
    let recordings = rig.recordings().await;
    let names: HashSet<&str> = recordings.iter().map(|recording| recording.file_name.as_str()).collect();
    assert_eq!((recordings.len(), names.len()), (4, 4), "each under a name of its own: {names:?}");
    assert_eq!(recordings.iter().filter(|it| it.pbx_token == "borealis").count(), 1);
    rig.finish().await;
}

#[tokio::test]
async fn fault_19_the_same_recording_offered_again_is_recognised_and_silence_is_not_mistaken_for_it() {
    let rig = Rig::start().await;
    let bytes = wav(2, 0);
    rig.put(CALL, &bytes);
    assert_eq!(rig.collect().await.archived, 1);
    // A restored backup: the same name in another folder, and again under another time.
    rig.put(&CALL.replace("/2026/11/21/", "/restored/"), &bytes);
    rig.put_aged(CALL, &bytes, HOUR);
    // Another call in which nobody said a word.
    rig.put(&CALL.replace("782.0", "783.4"), &bytes);
    let collected = rig.collect().await;
    assert_eq!((collected.discovered, collected.archived, collected.duplicates), (3, 1, 2));
    assert_eq!(rig.recordings().await.len(), 2);
    rig.finish().await;
}

#[tokio::test]
async fn fault_14_a_file_that_a_process_holds_open_is_left_alone_however_long_it_stands_still() {
    let rig = Rig::start().await;
    let name = |extension: &str| format!("acme/1795246782.{}.{extension}", std::process::id());
    let gsm =
        fs::read(fixtures().join("asterisk-22/in-progress/out-116-115-20261121-074045-1795246845.42.gsm")).unwrap();
    let file = rig.put(&name("gsm"), &gsm);
    let finished = rig.put(&name("wav"), &wav(2, 300));
    let mut writer = File::options().append(true).open(&file).unwrap();
    let second_writer = File::options().append(true).open(&finished).unwrap();
    let collected = rig.collect().await;
    assert_eq!((collected.left_in_progress, collected.discovered), (2, 0));

    // The call goes on after the hold, and ends.
    writer.write_all(&gsm[..330]).unwrap();
    drop((writer, second_writer));
    rig.age(&file, HOUR);
    let collected = rig.collect().await;
    assert_eq!((collected.left_in_progress, collected.archived), (0, 2));
    let mut durations: Vec<u64> = rig.recordings().await.iter().map(|recording| recording.duration_ms).collect();
    durations.sort();
    assert_eq!(durations, [2000, (gsm.len() as u64 / 33 + 10) * 20]);
    rig.finish().await;
}

#[tokio::test]
async fn what_a_crashed_core_server_left_open_is_taken_late_and_flagged() {
    let rig = Rig::start().await;
    let unfinished = fs::read(fixtures().join("asterisk-22/in-progress/out-112-111-20261121-074043-1795246843.38.wav"));
    let unfinished = unfinished.unwrap();
    let file = rig.put_aged(&CALL.replace("acme", "borealis"), &unfinished, Duration::from_secs(14 * 60));
    rig.put_aged("borealis/1795246785.1.spx", b"", Duration::from_secs(14 * 60));
    assert_eq!(rig.collect().await.left_in_progress, 2);
    // Had the writers been out of sight, it would be two hours.
    rig.age(&file, 2 * HOUR);
    rig.put_aged("borealis/1795246785.1.spx", b"", 2 * HOUR);
    let collected = rig.collect().await;
    assert_eq!((collected.archived, collected.quarantined), (1, 1));
    let recording = rig.only_recording().await;
    assert_eq!((recording.flags.as_slice(), recording.duration_ms), (&["stale-header".to_owned()][..], 10_240));
    assert_eq!((recording.format.as_str(), recording.kept_original), ("mp3", false));
    assert_eq!(rig.quarantined().await, ["empty"]);
    rig.finish().await;
}

#[tokio::test]
async fn links_and_hidden_files_are_not_collected() {
    let rig = Rig::start().await;
    let outside = rig.t.directory.path().join("outside.wav");
    fs::write(&outside, wav(1, 300)).unwrap();
    fs::create_dir(rig.spool.join("acme")).unwrap();
    std::os::unix::fs::symlink(&outside, rig.spool.join("acme/1.wav")).unwrap();
    std::os::unix::fs::symlink(rig.t.directory.path(), rig.spool.join("acme/up")).unwrap();
    rig.put("acme/.hidden.wav", &wav(1, 300));
    rig.put("acme/2.wav.tmp", &wav(1, 300));
    assert_eq!(rig.collect().await, Collected::default());
    rig.finish().await;
}

#[tokio::test]
async fn fault_16_a_dead_core_server_does_not_stop_the_others() {
    let rig = Rig::start().await;
    rig.add_core_server("dead", &rig.t.directory.path().join("nowhere"), "asterisk").await;
    rig.put(CALL, &wav(1, 300));
    let collector = rig.collector();
    let collected = collector.collect_once(None).await.unwrap();
    assert_eq!((collected.archived, collected.unreachable), (1, 1));
    assert!(matches!(collector.collect_once(Some("dead")).await, Err(Error::Spool { .. })));
    assert!(matches!(collector.collect_once(Some("unheard-of")).await, Err(Error::UnknownCoreServer(_))));
    assert_eq!(collector.collect_once(Some("core-1")).await.unwrap(), Collected::default());
    rig.finish().await;
}

#[tokio::test]
async fn each_layout_finds_the_pbx_and_the_start_of_a_call() {
    let rig = Rig::start().await;
    let fusion = rig.t.directory.path().join("fusion");
    let path = "acme/archive/2026/Nov/20/5f0f3e0a-9d0c-4a7e-8b59-0a4be1d2c9a1.wav";
    rig.put_into(&fusion, path, &wav(1, 300), HOUR);
    fs::write(fusion.join(path).with_file_name("call_screen.1.wav"), wav(1, 400)).unwrap();
    rig.add_core_server("fusion", &fusion, "fusionpbx").await;
    assert_eq!(rig.collect().await.archived, 1);
    let recording = rig.only_recording().await;
    assert_eq!(recording.pbx, Some(rig.t.place("acme").await.pbx));
    assert_eq!(recording.started_at.timestamp().to_string(), "2026-11-20T23:59:59Z");
    rig.finish().await;
}

#[tokio::test]
async fn a_running_collector_archives_what_appears_and_what_is_added() {
    let rig = Rig::start().await;
    let second = rig.t.directory.path().join("second");
    fs::create_dir(&second).unwrap();
    let (collector, stop) = (rig.collector(), CancellationToken::new());
    let wait_for = async |count: usize| {
        let deadline = tokio::time::timeout(Duration::from_secs(60), async {
            while rig
                .t
                .archive
                .search(Scope::Platform, &archive::Search::default(), None, 10)
                .await
                .unwrap()
                .items
                .len()
                < count
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        deadline.await.expect("in time");
    };
    tokio::join!(collector.run(stop.clone()), async {
        rig.put(CALL, &wav(1, 300));
        wait_for(1).await;
        rig.add_core_server("second", &second, "asterisk").await;
        rig.put_into(&second, "1795246782.9.wav", &wav(1, 400), HOUR);
        wait_for(2).await;
        stop.cancel();
    });
    rig.finish().await;
}
