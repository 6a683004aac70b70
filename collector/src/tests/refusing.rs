//! What is damaged, mislabelled, empty, changed or gone.

use std::fs;
use std::time::Duration;

use archive::SourceState;

use super::rig::{Rig, fixtures, wav};

const CALL: &str = "acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";

#[tokio::test]
async fn fault_31_what_is_empty_or_no_audio_is_quarantined_and_stops_nothing() {
    let rig = Rig::start().await;
    rig.put("acme/1795246782.1.wav", b"");
    rig.put("acme/1795246782.2.wav", &wav(0, 0));
    rig.put("acme/1795246782.3.wav", b"Dear customer, this is no recording.\n".repeat(50).as_slice());
    rig.put("acme/1795246782.4.txt", b"notes");
    rig.put(CALL, &wav(1, 300));
    let collected = rig.collect().await;
    assert_eq!((collected.quarantined, collected.archived, collected.failed), (4, 1, 0));
    assert_eq!(rig.quarantined().await, ["empty", "empty", "not-audio", "not-audio"]);
    assert!(rig.spool.join("acme/1795246782.3.wav").exists());
    rig.finish().await;
}

#[tokio::test]
async fn a_mislabelled_recording_is_what_its_bytes_say() {
    let rig = Rig::start().await;
    rig.put("acme/1795246782.1.gsm", &wav(2, 300));
    rig.put("acme/1795246782.2", &wav(2, 400));
    assert_eq!(rig.collect().await.archived, 2);
    for recording in rig.recordings().await {
        assert_eq!((recording.duration_ms, recording.source_format.as_str()), (2000, "wav/pcm_s16le"));
        assert_eq!((recording.format.as_str(), recording.kept_original), ("mp3", false));
    }
    rig.finish().await;
}

#[tokio::test]
async fn fault_31_a_truncated_recording_is_kept_as_it_came_and_flagged() {
    let rig = Rig::start().await;
    let bytes = &wav(4, 300)[..32_044];
    rig.put(CALL, bytes);
    let collected = rig.collect().await;
    assert_eq!((collected.archived, collected.quarantined), (1, 0));
    let recording = rig.only_recording().await;
    assert!(recording.flags.contains(&"truncated".to_owned()), "{:?}", recording.flags);
    assert_eq!((recording.kept_original, recording.format.as_str(), recording.duration_ms), (true, "wav", 2000));
    assert_eq!((recording.size_bytes, recording.audio_sha256), (32_044, recording.source_sha256));
    rig.finish().await;
}

#[tokio::test]
async fn fault_31_what_cannot_be_decoded_is_kept_as_it_came_and_flagged() {
    let rig = Rig::start().await;
    // Audio by its name, of a kind that nothing here decodes, and no ffmpeg either.
    rig.put("acme/1795246782.1.siren7", &[7; 4096]);
    assert_eq!(rig.collect().await.archived, 1);
    let recording = rig.only_recording().await;
    assert_eq!(recording.flags, ["undecodable", "unsupported"]);
    assert_eq!((recording.format.as_str(), recording.content_type.as_str()), ("siren7", "application/octet-stream"));
    assert_eq!((recording.duration_ms, recording.size_bytes, recording.kept_original), (0, 4096, true));
    rig.finish().await;
}

#[tokio::test]
async fn what_the_encoder_cannot_carry_is_kept_as_it_came() {
    let rig = Rig::start().await;
    let four = "rtpengine-10.5/recordings/2026/11/21/1795247638-19138%40cobalt.example-2a2746688f2eef20-mix.wav";
    let Ok(bytes) = fs::read(fixtures().join(four)) else { panic!("{four} is not among the fixtures") };
    rig.put("cobalt/four-channels.wav", &bytes);
    assert_eq!(rig.collect().await.archived, 1);
    let recording = rig.only_recording().await;
    assert_eq!((recording.channels, recording.kept_original, recording.duration_ms), (4, true, 7520));
    assert!(recording.flags.contains(&"unencodable".to_owned()), "{:?}", recording.flags);
    rig.finish().await;
}

#[tokio::test]
async fn fault_15_a_source_that_changed_is_superseded_by_what_it_became() {
    let rig = Rig::start().await;
    let file = rig.put(CALL, &wav(2, 300));
    rig.scan().await;
    // A transferred call goes on in the same file.
    fs::write(&file, wav(5, 300)).unwrap();
    rig.age(&file, Duration::from_secs(3600));
    let collected = rig.collect().await;
    assert_eq!((collected.discovered, collected.archived, collected.quarantined), (1, 1, 1));
    assert_eq!(rig.quarantined().await, ["source-changed"]);
    assert_eq!(rig.only_recording().await.duration_ms, 5000);
    rig.finish().await;
}

#[tokio::test]
async fn fault_14_a_source_that_changed_waits_until_what_it_became_is_known() {
    let mut rig = Rig::start().await;
    rig.config.max_attempts = 2;
    let file = rig.put(CALL, &wav(2, 300));
    rig.scan().await;
    fs::write(&file, wav(5, 300)).unwrap();
    let _writer = fs::File::options().append(true).open(&file).unwrap();
    let collected = rig.collect().await;
    assert_eq!((collected.failed, collected.quarantined, collected.left_in_progress), (1, 0, 1));
    // It stays what it is for too long.
    rig.t.clock.advance(Duration::from_secs(3600));
    assert_eq!(rig.collect().await.quarantined, 1);
    assert_eq!(rig.quarantined().await, ["source-changed"]);
    rig.finish().await;
}

#[tokio::test]
async fn fault_13_a_source_that_is_gone_says_so() {
    let rig = Rig::start().await;
    let file = rig.put(CALL, &wav(2, 300));
    rig.put("acme/2026/11/21/1795246790.1.wav", b"RIFF");
    rig.scan().await;
    fs::remove_file(&file).unwrap();
    assert_eq!(rig.collect().await.quarantined, 2);
    assert_eq!(rig.quarantined().await, ["not-audio", "source-gone"]);
    rig.finish().await;
}

#[tokio::test]
async fn fault_13_a_spool_that_is_not_mounted_quarantines_nothing() {
    let mut rig = Rig::start().await;
    rig.config.max_attempts = 1;
    rig.put(CALL, &wav(2, 300));
    rig.scan().await;
    let aside = rig.t.directory.path().join("aside");
    fs::rename(&rig.spool, &aside).unwrap();
    fs::create_dir(&rig.spool).unwrap();
    let collected = rig.collect().await;
    assert_eq!((collected.failed, collected.quarantined), (1, 0));
    fs::remove_dir(&rig.spool).unwrap();
    rig.t.clock.advance(Duration::from_secs(3600));
    assert_eq!(rig.collect().await.unreachable, 1);
    fs::rename(&aside, &rig.spool).unwrap();
    rig.t.clock.advance(Duration::from_secs(3600));
    assert_eq!(rig.collect().await.archived, 1);
    rig.finish().await;
}

#[tokio::test]
async fn a_quarantined_source_can_be_tried_again() {
    let rig = Rig::start().await;
    let file = rig.put(CALL, &wav(2, 300));
    rig.scan().await;
    let aside = rig.t.directory.path().join("aside.wav");
    fs::rename(&file, &aside).unwrap();
    assert_eq!(rig.collect().await.quarantined, 1);
    fs::rename(&aside, &file).unwrap();
    let source = rig.sources(SourceState::Quarantined).await.remove(0);
    rig.t.archive.retry_quarantined(&archive::Actor::command_line(), source.id).await.unwrap();
    assert_eq!(rig.collect().await.archived, 1);
    rig.finish().await;
}
