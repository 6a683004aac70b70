//! What the demo's two core servers record: real recordings of a real Asterisk and a real rtpengine, renamed to the
//! present, each a call of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive::{Clock, Instant};
use tokio_util::sync::CancellationToken;

macro_rules! samples {
    ($($path:literal),+ $(,)?) => { [$(include_bytes!(concat!("../../tests/fixtures/", $path)) as &[u8]),+] };
}

/// Recorded by Asterisk, each with the extension that it gives.
const ASTERISK_EXTENSIONS: [&str; 6] = ["wav", "WAV", "gsm", "ogg", "wav", "ulaw"];
const ASTERISK: [&[u8]; 6] = samples![
    "asterisk-22/monitor/acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav",
    "asterisk-22/monitor/acme/2026/11/21/out-+4930123456-103-20261121-073942-1795246782.2.WAV",
    "asterisk-22/monitor/acme/2026/11/21/out-105-104-20261121-073943-1795246783.4.gsm",
    "asterisk-22/monitor/acme/2026/11/21/out-+33140000000-108-20261121-073945-1795246785.10.ogg",
    "asterisk-22/monitor/acme/2026/11/21/out-112-111-20261121-074043-1795246843.38.wav",
    "asterisk-22/monitor/borealis/2026/11/21/out-+4420123456-201-20261121-073947-1795246787.14.ulaw",
];

/// What a FreeSWITCH would leave: WAV and MP3.
const FREESWITCH_EXTENSIONS: [&str; 3] = ["wav", "mp3", "wav"];
const FREESWITCH: [&[u8]; 3] = samples![
    "rtpengine-10.5/recordings/2026/11/21/1795247559-16596%40acme.example-0b32494fb3fc4d1e-551b1318.wav",
    "rtpengine-10.5/recordings/2026/11/21/1795247613-18027%40cobalt.example-0c7844f176fba1c6-32bbf319.mp3",
    "rtpengine-10.5/recordings/2026/11/21/1795247638-19138%40cobalt.example-2a2746688f2eef20-68f2fde7.wav",
];

/// Calls that are over when the demo starts.
const AT_FIRST: u64 = 16;
/// Of these, so many of cobalt's are forty days old.
const OLD_ONES: u64 = 3;
/// A new call each so often …
const EVERY: Duration = Duration::from_secs(4);
/// … until there are so many, for a demo that is forgotten must not fill a disk.
const AT_MOST: u64 = 500;

/// Fills the spools until told to stop.
pub(super) async fn feed(dir: PathBuf, clock: Arc<dyn Clock>, stop: CancellationToken) {
    for number in 0..AT_MOST {
        if number >= AT_FIRST {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => return,
            }
        }
        let (dir, now) = (dir.clone(), clock.now());
        let recorded = tokio::task::spawn_blocking(move || record(&dir, number, now)).await;
        if let Ok(Err(error)) = recorded {
            tracing::warn!("failed to fill the demo's spools: {error}");
        }
    }
}

/// One call more: which PBX's, on which core server, follows from its number.
fn record(dir: &Path, number: u64, now: Instant) -> std::io::Result<()> {
    let ago = match number {
        // The calls that are over began some minutes ago.
        0..AT_FIRST => Duration::from_secs(60 + 20 * (AT_FIRST - number)),
        _ => Duration::from_secs(20),
    };
    let days_ago = match number % 4 {
        3 if number / 4 < OLD_ONES => Duration::from_secs(40 * 86_400),
        _ => Duration::ZERO,
    };
    let start = now.minus(ago).minus(days_ago).timestamp();
    match number % 4 {
        0 => asterisk(dir, "acme-sales", number, start),
        1 => freeswitch(dir, "support.acme.example", number, start),
        2 => asterisk(dir, "borealis", number, start),
        _ => freeswitch(dir, "cobalt.example", number, start),
    }
}

fn asterisk(dir: &Path, pbx: &str, number: u64, start: jiff::Timestamp) -> std::io::Result<()> {
    let sample = (number / 4) as usize % ASTERISK.len();
    let path = format!(
        "core-a/{pbx}/{}/out-+4930{:06}-{}-{}-{}.{number}.{}",
        start.strftime("%Y/%m/%d"),
        123_456 + number,
        101 + number % 7,
        start.strftime("%Y%m%d-%H%M%S"),
        start.as_second(),
        ASTERISK_EXTENSIONS[sample],
    );
    write(&dir.join(path), ASTERISK[sample])
}

fn freeswitch(dir: &Path, domain: &str, number: u64, start: jiff::Timestamp) -> std::io::Result<()> {
    let sample = (number / 4) as usize % FREESWITCH.len();
    // A version 7 UUID is a time and then random: so is this one.
    let (millis, random) = (start.as_millisecond(), archive::Sha256::of(&number.to_le_bytes()));
    let (millis, random) = (format!("{millis:012x}"), random.to_string());
    let uuid = format!("{}-{}-7{}-8{}-{}", &millis[..8], &millis[8..12], &random[..3], &random[3..6], &random[6..18]);
    let path =
        format!("core-b/{domain}/archive/{}/{uuid}.{}", start.strftime("%Y/%b/%d"), FREESWITCH_EXTENSIONS[sample],);
    write(&dir.join(path), FREESWITCH[sample])
}

/// Under its name only once it is whole, as a core server moves a finished recording into place.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension("tmp");
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(unfinished, path)
}
