//! What is kept of what was fetched.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::Config;
use crate::tests::rig::wav;

fn job(bytes: &[u8], name: &str, directory: &Path) -> Job {
    let source = directory.join("source");
    std::fs::write(&source, bytes).unwrap();
    Job {
        source,
        name: name.to_owned(),
        size_bytes: bytes.len() as u64,
        sha256: Sha256::of(bytes),
        settings: Some(EncodeSettings::default()),
        tags: Tags::default(),
        encoded: directory.join("source.0.out.mp3"),
    }
}

async fn prepare_within(config: Config, job: &Job) -> Result<Kept, Failure> {
    prepare(job.clone(), &Workers::new(&config), &CancellationToken::new()).await
}

async fn prepare_now(job: &Job) -> Result<Kept, Failure> {
    prepare_within(Config::default(), job).await
}

#[tokio::test]
async fn what_is_kept_is_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&wav(2, 300), "a.wav", directory.path());
    let kept = prepare_now(&job).await.unwrap();
    assert_eq!((&kept.file, kept.kept_original, kept.duration_ms), (&job.encoded, false, 2000));
    assert_eq!((kept.sha256, kept.size_bytes), Sha256::of_file(&job.encoded).unwrap());
}

/// In its audio, behind it, in the header so that it is no audio any more, and where only some formats look.
#[tokio::test]
async fn a_source_that_rotted_since_it_was_fetched_is_never_kept() {
    let whole = [wav(2, 300).as_slice(), b"LIST\x04\0\0\0INFO"].concat();
    for at in [0, 9, 16, 24, 34, 36, 40, 44, 20_000, whole.len() - 13, whole.len() - 1] {
        for settings in [Some(EncodeSettings::default()), None] {
            let directory = tempfile::tempdir().unwrap();
            let job = Job { settings, ..job(&whole, "a.wav", directory.path()) };
            let mut rotten = whole.clone();
            rotten[at] ^= 4;
            std::fs::write(&job.source, rotten).unwrap();
            let prepared = prepare_now(&job).await;
            assert!(matches!(prepared, Err(Failure::Unspooled)), "{at}: {prepared:?}");
            assert!(!job.encoded.exists(), "{at}");
            std::fs::remove_file(&job.source).unwrap();
            assert!(matches!(prepare_now(&job).await, Err(Failure::Unspooled)), "gone");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_kept_as_it_came_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&[0; 1_000], "a.g729", directory.path());
    let kept = prepare_within(Config { ffmpeg: "none".to_owned(), ..Config::default() }, &job).await.unwrap();
    assert_eq!(kept.flags, ["undecodable", "unsupported"]);
    assert_eq!((kept.file, kept.kept_original, kept.sha256), (job.source, true, job.sha256));
    assert_eq!(kept.quality, r#"{"undecodable":"cannot decode G.729: no ffmpeg is used"}"#);
}

#[tokio::test]
async fn fault_31_what_takes_too_long_is_kept_as_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&[0; 4_000_000], "a.sln", directory.path());
    let kept = prepare_within(Config { transcode_timeout: Duration::ZERO, ..Config::default() }, &job).await.unwrap();
    assert_eq!(kept.flags, ["undecodable", "timed-out"]);
    assert_eq!((kept.file, kept.kept_original, kept.sha256), (job.source, true, job.sha256));
}

#[tokio::test]
async fn fault_31_an_endless_recording_ends_at_its_limit_and_the_next_is_transcoded() {
    let directory = tempfile::tempdir().unwrap();
    let mut endless = job(b"", "a.sln", directory.path());
    let file = File::options().write(true).open(&endless.source).unwrap();
    file.set_len(100_000_000).unwrap();
    (endless.sha256, endless.size_bytes) = Sha256::of_file(&endless.source).unwrap();
    let config = Config { workers: 1, longest_recording: Duration::from_secs(600), ..Config::default() };
    let (workers, stop) = (Workers::new(&config), CancellationToken::new());
    let other = tempfile::tempdir().unwrap();
    let next = job(&wav(2, 300), "b.wav", other.path());
    let (endless_kept, next_kept) =
        tokio::join!(biased; prepare(endless.clone(), &workers, &stop), prepare(next, &workers, &stop));
    let (endless_kept, next_kept) = (endless_kept.unwrap(), next_kept.unwrap());
    assert_eq!(endless_kept.flags, ["undecodable", "too-long"]);
    assert_eq!((endless_kept.file, endless_kept.sha256), (endless.source, endless.sha256));
    assert!(!endless.encoded.exists() && !next_kept.kept_original);
}

#[tokio::test]
async fn a_recording_of_years_does_not_keep_a_stopping_instance() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(b"", "a.sln", directory.path());
    File::options().write(true).open(&job.source).unwrap().set_len(1 << 42).unwrap();
    let config = Config { shutdown_grace: Duration::ZERO, longest_recording: Duration::MAX, ..Config::default() };
    let (workers, stop) = (Workers::new(&config), CancellationToken::new());
    let stops = async { stop.cancel() };
    let (prepared, ()) = tokio::join!(biased; prepare(job.clone(), &workers, &stop), stops);
    assert!(matches!(prepared, Err(Failure::Stopped)), "{prepared:?}");
    assert!(!job.encoded.exists());
}

#[tokio::test]
async fn fault_31_what_a_decoder_panics_at_is_kept_as_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&wav(1, 300), "a.wav", directory.path());
    std::fs::write(&job.encoded, b"half").unwrap();
    let kept = without_result(&job, &GivenUp::Panicked).unwrap();
    assert_eq!((kept.flags, kept.file), (vec!["undecodable".to_owned(), "panicked".to_owned()], job.source));
    assert!(!job.encoded.exists());
}

#[test]
fn an_encoding_that_lasts_longer_or_shorter_than_its_source_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let job = job(&[0; 32_000], "a.sln", directory.path());
    let mut sink = File::create_new(&job.encoded).unwrap();
    let transcoded =
        audio::transcode(&job.source, &job.name, &mut sink, &EncodeSettings::default(), &job.tags).unwrap();
    let again = audio::measure(&job.encoded, "a.mp3").unwrap();
    assert!(lasts_as_long(&again, &transcoded));
    for duration_ms in [1900, 1950, 2050, 4000] {
        assert!(!lasts_as_long(&Measured { duration_ms, ..again.clone() }, &transcoded), "{duration_ms}");
    }
    assert!(!lasts_as_long(&Measured { truncated: true, ..again }, &transcoded));
}
