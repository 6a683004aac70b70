//! Downloads in another format: what they are, when they begin, and what ends them.

use std::io::Cursor;
use std::sync::Arc;

use archive::testing::{Call, TestArchive};
use archive::{Delivery, RecordingId};
use audio::{EncodeSettings, Format, Tags};
use axum::body::Body;
use futures_util::StreamExt;
use serde_json::json;
use tower::ServiceExt;

use super::{Http, request};
use crate::Config;
use crate::door::Door;
use crate::routes::router_of;

/// A tone of so many seconds at 8 kHz, kept in a format.
fn tone(seconds: usize, format: Format) -> Vec<u8> {
    let samples = (0..seconds * 8_000).map(|i| ((i as f64 * 0.3).sin() * 8_000.0 * (i as f64 / 9_000.0).sin()) as i16);
    let directory = tempfile::tempdir().expect("temporary directory");
    let source = directory.path().join("tone.sln");
    std::fs::write(&source, samples.flat_map(i16::to_le_bytes).collect::<Vec<u8>>()).expect("write the tone");
    let mut kept = Cursor::new(Vec::new());
    let settings = EncodeSettings::for_listening(format, 8_000, 1);
    audio::transcode(&source, "tone.sln", &mut kept, &settings, &Tags::default()).expect("encode");
    kept.into_inner()
}

/// A recording of the PBX acme; `change` says what the catalogue is told of it.
async fn record(t: &TestArchive, call_ref: &str, bytes: &[u8], change: impl FnOnce(&mut Delivery)) -> RecordingId {
    let call = Call::new("acme", call_ref, t.now(), bytes);
    let claim = t.spool(&call).await;
    let mut delivery = t.delivery(claim, &call).await;
    change(&mut delivery);
    match t.archive.deliver(&delivery).await.expect("deliver") {
        archive::Delivered::Archived(id) => id,
        other => panic!("expected a new recording, got {other:?}"),
    }
}

fn kept_as(format: Format) -> impl FnOnce(&mut Delivery) {
    move |delivery| {
        delivery.format = format.to_string();
        delivery.content_type = format.content_type().to_owned();
    }
}

fn audio_path(id: RecordingId) -> String {
    format!("/api/v1/recordings/{id}/audio")
}

/// How many samples the audio has.
fn samples(bytes: &[u8]) -> u64 {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("audio");
    std::fs::write(&path, bytes).expect("write");
    let measured = audio::measure(&path, "audio").expect("decode");
    assert!(!measured.truncated && !measured.quality.stale_header);
    measured.samples_per_channel
}

#[tokio::test]
async fn every_format_can_be_had_of_every_kept_one() {
    let http = Http::start().await;
    for (index, kept) in Format::ALL.into_iter().enumerate() {
        let bytes = tone(3, kept);
        let id = record(&http.t, &format!("1.{index}"), &bytes, kept_as(kept)).await;
        let recording = http.get("pbx", &format!("/api/v1/recordings/{id}")).await.json();
        let name = recording["file_name"].as_str().expect("name").trim_end_matches(kept.as_str()).to_owned();
        for asked in Format::ALL {
            let path = format!("{}?format={asked}", audio_path(id));
            let answer = http.get("pbx", &path).await;
            let what = format!("{kept} as {asked}");
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some(asked.content_type()), "{what}");
            let disposition = answer.header("content-disposition").expect("name").to_owned();
            assert!(disposition.contains(&format!("{name}{asked}\"")), "{what}: {disposition}");
            assert_eq!(samples(&answer.body), 24_000, "{what}");
            let kept_itself = kept == asked;
            assert_eq!(answer.body == bytes, kept_itself, "{what}");
            assert_eq!(answer.header("etag").is_some(), kept_itself, "{what}");
            assert_eq!(answer.header("content-length").is_some(), kept_itself, "{what}");
            assert_eq!(answer.header("accept-ranges"), Some(if kept_itself { "bytes" } else { "none" }), "{what}");
            assert_eq!(answer.header("cache-control"), Some("private, no-store"));
            let head = http.ask(request("HEAD", "pbx", &path, &[], Body::empty())).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (200, 0), "{what}");
            for header in ["content-type", "content-disposition", "content-length", "etag", "accept-ranges"] {
                assert_eq!(head.header(header), answer.header(header), "{what}: {header}");
            }
        }
    }
    assert_eq!(http.audited("recording.download").await.len(), 16, "a HEAD is no download");
    http.finish().await;
}

#[tokio::test]
async fn a_conversion_has_no_ranges_and_what_is_kept_has() {
    let http = Http::start().await;
    let bytes = tone(1, Format::Flac);
    let path = audio_path(record(&http.t, "1.1", &bytes, kept_as(Format::Flac)).await);
    let part = [("range", "bytes=3-5")];
    let kept = http.get_with("tenant", &format!("{path}?format=flac"), &part).await;
    assert_eq!((kept.status.as_u16(), &kept.body[..]), (206, &bytes[3..6]));
    let whole = http.get("tenant", &format!("{path}?format=wav")).await;
    let converted = http.get_with("tenant", &format!("{path}?format=wav"), &part).await;
    assert_eq!(converted.status, 200);
    assert_eq!(converted.header("content-range"), None);
    assert!(converted.body == whole.body);
    let etag = kept.header("etag").expect("etag");
    for (header, value, status) in [("if-none-match", etag, 200), ("if-match", etag, 412), ("if-match", "*", 200)] {
        let answer = http.get_with("tenant", &format!("{path}?format=wav"), &[(header, value)]).await;
        assert_eq!(answer.status, status, "{header}: {value}");
    }
    http.finish().await;
}

#[tokio::test]
async fn a_conversion_is_a_row_of_the_audit_that_names_its_format() {
    let http = Http::start().await;
    let path = audio_path(record(&http.t, "1.1", &tone(1, Format::Mp3), |_| {}).await);
    let body = http.get("tenant", &format!("{path}?format=opus")).await.body;
    let mut rows = http.audited("recording.download").await;
    let pbx = rows[0].as_object_mut().and_then(|row| row.remove("pbx"));
    assert_eq!(pbx, Some(json!(http.t.place("acme").await.pbx.to_string())));
    assert_eq!(rows, [json!({ "bytes": body.len(), "offset": 0, "complete": true, "format": "opus" })]);
    http.get("stranger", &format!("{path}?format=opus")).await.problem(404, "not_found");
    assert_eq!(http.audited("recording.download").await.len(), 1);
    http.finish().await;
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_by_a_code() {
    let http = Http::start().await;
    let path = audio_path(record(&http.t, "1.1", b"no audio, whatever the catalogue says", |_| {}).await);
    let refused = http.get("tenant", &format!("{path}?format=aiff")).await.problem(400, "invalid_value");
    assert_eq!(refused["field"], "format");
    let refused = http.get("tenant", &format!("{path}?formt=wav")).await.problem(400, "unknown_field");
    assert_eq!(refused["field"], "formt");
    let head = request("HEAD", "tenant", &format!("{path}?format=aiff"), &[], Body::empty());
    assert_eq!(http.ask(head).await.status, 400);
    http.get("tenant", &format!("{path}?format=wav")).await.problem(422, "not_convertible");
    let g729 = record(&http.t, "1.2", &[7; 100], |delivery| {
        (delivery.format, delivery.source_format) = ("g729".into(), "g729".into());
        (delivery.sample_rate, delivery.channels, delivery.kept_original) = (0, 0, true);
    });
    let g729 = audio_path(g729.await);
    let refused = http.get("tenant", &format!("{g729}?format=mp3")).await.problem(422, "not_convertible");
    assert!(refused["detail"].as_str().expect("detail").contains("G.729"), "{refused}");
    assert!(http.audited("recording.download").await.is_empty(), "nothing was handed out");
    http.finish().await;
}

/// MP3 and Opus have no such rate or channels: who asks for them gets what they have.
#[tokio::test]
async fn what_a_format_cannot_carry_is_brought_to_what_it_can() {
    let http = Http::start().await;
    let pcm: Vec<u8> = (0..44_100 * 4_u32).flat_map(|i| ((i % 200) as i16 * 50).to_le_bytes()).collect();
    let id = record(&http.t, "1.1", &pcm, |delivery| {
        (delivery.format, delivery.source_format) = ("sln".into(), "raw/pcm_s16le".into());
        (delivery.sample_rate, delivery.channels, delivery.kept_original) = (44_100, 4, true);
    });
    let path = audio_path(id.await);
    for (format, expected) in [(Format::Opus, 48_000), (Format::Mp3, 44_100), (Format::Flac, 44_100)] {
        let answer = http.get("tenant", &format!("{path}?format={format}")).await;
        assert_eq!((answer.status.as_u16(), samples(&answer.body)), (200, expected), "{format}");
    }
    http.finish().await;
}

#[tokio::test]
async fn more_conversions_than_may_be_are_asked_to_come_back() {
    let http = Http::start().await;
    let door = Door::new(Arc::clone(&http.t.archive), &Config { conversions: 1, ..Config::default() });
    let router = router_of(door.clone());
    let id = record(&http.t, "1.1", &tone(600, Format::Flac), kept_as(Format::Flac)).await;
    let path = format!("{}?format=wav", audio_path(id));
    let ask =
        async || router.clone().oneshot(request("GET", "tenant", &path, &[], Body::empty())).await.expect("answer");
    let first = ask().await;
    assert_eq!(first.status(), 200);
    let second = ask().await;
    assert_eq!((second.status().as_u16(), &second.headers()["retry-after"]), (503, &"5".parse().expect("header")));
    let body = axum::body::to_bytes(second.into_body(), usize::MAX).await.expect("body");
    assert!(String::from_utf8_lossy(&body).contains("too_many_conversions"));
    // What is kept takes no permit.
    let kept = request("GET", "tenant", &format!("{}?format=flac", audio_path(id)), &[], Body::empty());
    assert_eq!(router.clone().oneshot(kept).await.expect("answer").status(), 200);
    // The first listener goes away, and with it its thread: its place is free.
    drop(first);
    tokio::time::timeout(super::serving::DEADLINE, door.conversions.wait_for_free()).await.expect("in time");
    assert_eq!(ask().await.status(), 200);
    http.finish().await;
}

#[tokio::test]
async fn a_tenant_that_asks_for_many_conversions_keeps_no_other_from_its_own() {
    let http = Http::start().await;
    let door = Door::new(Arc::clone(&http.t.archive), &Config { conversions: 4, ..Config::default() });
    let router = router_of(door.clone());
    let long = tone(600, Format::Flac);
    let acme = record(&http.t, "1.1", &long, kept_as(Format::Flac)).await;
    let cobalt = Call::new("cobalt", "1.2", http.t.now(), &long);
    let mut delivery = http.t.delivery(http.t.spool(&cobalt).await, &cobalt).await;
    kept_as(Format::Flac)(&mut delivery);
    let cobalt = delivery.id;
    http.t.archive.deliver(&delivery).await.expect("deliver");
    let ask = async |who: &str, id| {
        let request = request("GET", who, &format!("{}?format=wav", audio_path(id)), &[], Body::empty());
        router.clone().oneshot(request).await.expect("answer")
    };
    // Its PBX's user and an operator listen to the same tenant's.
    let taken = [ask("tenant", acme).await, ask("pbx", acme).await];
    assert!(taken.iter().all(|answer| answer.status() == 200), "{taken:?}");
    assert_eq!(ask("operator", acme).await.status(), 503);
    assert_eq!(ask("stranger", cobalt).await.status(), 200);
    http.finish().await;
}

#[tokio::test]
async fn the_first_bytes_of_a_long_recording_come_before_the_rest_is_encoded() {
    let http = Http::start().await;
    let door = Door::new(Arc::clone(&http.t.archive), &Config::default());
    let router = router_of(door.clone());
    let id = record(&http.t, "1.1", &tone(1_800, Format::Mp3), |_| {}).await;
    let path = format!("{}?format=wav", audio_path(id));
    let answer = router.oneshot(request("GET", "tenant", &path, &[], Body::empty())).await.expect("answer");
    let mut body = answer.into_body().into_data_stream();
    let first = body.next().await.expect("a block").expect("bytes");
    assert_eq!(&first[..4], b"RIFF");
    let promised = u32::from_le_bytes(*first[4..].first_chunk().expect("a header"));
    // Nobody reads on: some blocks wait, and the conversion with them, for as long as that takes.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.conversions.count_free(), Config::default().conversions - 1, "it is still at work");
    assert_eq!(door.downloads.len(), 2, "the thread, and the download that waits to be audited");
    let mut total = first.len() as u64;
    while let Some(block) = body.next().await {
        total += block.expect("bytes").len() as u64;
    }
    assert_eq!(total, u64::from(promised) + 8);
    assert!(total > 1_800 * 16_000);
    drop(body);
    assert_eq!(http.audited("recording.download").await[0]["complete"], true);
    http.finish().await;
}

#[tokio::test]
async fn a_store_that_fails_midway_breaks_the_download_off() {
    let http = Http::start().await;
    let id = record(&http.t, "1.1", &tone(1_200, Format::Flac), kept_as(Format::Flac)).await;
    let stored = http.t.stored_file(id);
    let whole = std::fs::read(&stored).expect("read");
    for format in [Format::Wav, Format::Mp3] {
        let path = format!("{}?format={format}", audio_path(id));
        let ask = request("GET", "tenant", &path, &[], Body::empty());
        // The second half is gone: the store has less than the catalogue knows.
        std::fs::write(&stored, &whole[..whole.len() / 2]).expect("cut");
        let answer = http.router.clone().oneshot(ask).await.expect("answer");
        let broken = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
        assert!(broken.is_err(), "{format}: it looks whole");
        std::fs::write(&stored, &whole).expect("mend");
    }
    let rows = http.audited("recording.download").await;
    assert!(rows.iter().all(|row| row["complete"] == false), "{rows:?}");
    http.finish().await;
}
