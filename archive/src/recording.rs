//! A recording: one piece of kept audio, and everything the catalogue knows of it.

use crate::clock::Instant;
use crate::db::{Column, Row};
use crate::error::Result;
use crate::hash::{Sha256, Sha256Hasher};
use crate::id::{CallId, CoreServerId, PbxId, RecordingId, SourceId, TenantId, TierId};
use crate::words::{Direction, Leg, LockMode, RecordingState};

/// One piece of kept audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Its id; the id's time is `retain_from`.
    pub id: RecordingId,
    /// Whose it is; `None` while unassigned.
    pub tenant: Option<TenantId>,
    /// Its PBX; `None` while unassigned.
    pub pbx: Option<PbxId>,
    /// The core server that recorded it.
    pub core_server: CoreServerId,
    /// The source it was made from.
    pub source: SourceId,
    /// What the core server's path said of the PBX.
    pub pbx_token: String,
    /// The call it is part of.
    pub call: CallId,
    /// The core server's own name for the call: uniqueid or Call-ID, else the file's base name.
    pub call_ref: String,
    /// Which side of the call.
    pub leg: Leg,
    /// Which way the call went.
    pub direction: Direction,
    /// The calling number, or nothing.
    pub caller: String,
    /// The called number, or nothing.
    pub callee: String,
    /// When the call began, as well as is known.
    pub started_at: Instant,
    /// How long it plays.
    pub duration_ms: u64,
    /// The name that FTP lists and downloads carry; never changes.
    pub file_name: String,
    /// `mp3`, `opus`, `flac`, `wav`, or the extension it came with.
    pub format: String,
    /// The media type of what is kept.
    pub content_type: String,
    /// What it was encoded at; 0 when lossless or kept as it came.
    pub bitrate_bps: u32,
    /// Samples a second.
    pub sample_rate: u32,
    /// 1 or 2, seldom more.
    pub channels: u32,
    /// What the source was: container and codec.
    pub source_format: String,
    /// Kept as it came: it could not be decoded whole, or its tier keeps originals.
    pub kept_original: bool,
    /// Bytes of the audio kept, and of each download.
    pub size_bytes: u64,
    /// SHA-256 of the source.
    pub source_sha256: Sha256,
    /// SHA-256 of the audio kept.
    pub audio_sha256: Sha256,
    /// Where it is in its life.
    pub state: RecordingState,
    /// The tier it was archived under.
    pub tier: Option<TierId>,
    /// What retention counts from: set once.
    pub retain_from: Instant,
    /// The end of its retention lock.
    pub retain_until: Option<Instant>,
    /// How strict the lock is.
    pub lock_mode: LockMode,
    /// Older than its core server's enrolment, and not yet confirmed: outside every rule.
    pub guarded: bool,
    /// What the decoder measured, as JSON.
    pub quality: String,
    /// `truncated`, `stale-header`, `one-way`, `silent` …
    pub flags: Vec<String>,
    /// The waveform: a peak per bucket, 0 to 255.
    pub peaks: Vec<u8>,
    /// When it was archived.
    pub archived_at: Instant,
    /// When it expired.
    pub expired_at: Option<Instant>,
    /// When it may be purged.
    pub purge_after: Option<Instant>,
}

/// Every column that [`Recording`] is read from.
pub(crate) const RECORDING_COLUMNS: &str = "id, tenant_id, pbx_id, core_server_id, source_id, pbx_token, call_id, \
    call_ref, leg, direction, caller, callee, started_at, duration_ms, file_name, format, content_type, bitrate_bps, \
    sample_rate, channels, source_format, kept_original, size_bytes, source_sha256, audio_sha256, state, tier_id, \
    retain_from, retain_until, lock_mode, guarded, quality, flags, peaks, archived_at, expired_at, purge_after";

impl Recording {
    pub(crate) fn from_row(row: &Row) -> Result<Self> {
        let flags: String = row.get("flags")?;
        Ok(Self {
            id: row.get("id")?,
            tenant: Column::read(row, "tenant_id")?,
            pbx: Column::read(row, "pbx_id")?,
            core_server: row.get("core_server_id")?,
            source: row.get("source_id")?,
            pbx_token: row.get("pbx_token")?,
            call: row.get("call_id")?,
            call_ref: row.get("call_ref")?,
            leg: row.get("leg")?,
            direction: row.get("direction")?,
            caller: row.get("caller")?,
            callee: row.get("callee")?,
            started_at: row.get("started_at")?,
            duration_ms: row.get("duration_ms")?,
            file_name: row.get("file_name")?,
            format: row.get("format")?,
            content_type: row.get("content_type")?,
            bitrate_bps: row.get("bitrate_bps")?,
            sample_rate: row.get("sample_rate")?,
            channels: row.get("channels")?,
            source_format: row.get("source_format")?,
            kept_original: row.get("kept_original")?,
            size_bytes: row.get("size_bytes")?,
            source_sha256: row.get("source_sha256")?,
            audio_sha256: row.get("audio_sha256")?,
            state: row.get("state")?,
            tier: row.get("tier_id")?,
            retain_from: row.get("retain_from")?,
            retain_until: row.get("retain_until")?,
            lock_mode: row.get("lock_mode")?,
            guarded: row.get("guarded")?,
            quality: row.get("quality")?,
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            peaks: row.get("peaks")?,
            archived_at: row.get("archived_at")?,
            expired_at: row.get("expired_at")?,
            purge_after: row.get("purge_after")?,
        })
    }
}

/// What "the same recording" means: same PBX, same call reference, same leg, same source bytes. While the PBX is not
/// known, the core server and what its path said stand for it, so that nothing ever merges across PBXs.
pub(crate) fn identity(
    pbx: Option<PbxId>,
    core_server: CoreServerId,
    pbx_token: &str,
    call_ref: &str,
    leg: Leg,
    source: Sha256,
) -> Sha256 {
    let mut hasher = Sha256Hasher::default();
    match pbx {
        Some(pbx) => hasher.update(&pbx.to_bytes()),
        None => {
            hasher.update(&core_server.to_bytes());
            hasher.update(pbx_token.as_bytes());
        }
    }
    for part in [call_ref.as_bytes(), leg.as_str().as_bytes(), source.as_bytes()] {
        // The length in front keeps two parts from flowing into one another.
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finish().0
}

/// The zone of that IANA name; UTC where the machine does not know it (names are checked when they are declared).
pub(crate) fn zone(name: &str) -> jiff::tz::TimeZone {
    jiff::tz::TimeZone::get(name).unwrap_or(jiff::tz::TimeZone::UTC)
}

/// The name a recording is listed under, in the tenant's zone: `YYYYMMDD-HHMMSS_<direction>_<caller>_<callee>_<id>.<ext>`.
pub(crate) fn file_name(
    started_at: Instant,
    zone: &jiff::tz::TimeZone,
    direction: Direction,
    caller: &str,
    callee: &str,
    id: RecordingId,
    extension: &str,
) -> String {
    let local = started_at.timestamp().to_zoned(zone.clone());
    format!(
        "{}_{direction}_{}_{}_{id}.{extension}",
        local.strftime("%Y%m%d-%H%M%S"),
        name_part(caller),
        name_part(callee)
    )
}

/// A number as a part of a file name: letters, digits and `+-.`, at most 40 of them; `-` when there is none.
fn name_part(number: &str) -> String {
    let part: String =
        number.chars().filter(|c| c.is_alphanumeric() || matches!(c, '+' | '-' | '.')).take(40).collect();
    if part.trim_matches('.').is_empty() { "-".to_owned() } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn an_id() -> RecordingId {
        RecordingId::new(Instant::from_millis(1_795_246_782_000))
    }

    #[test]
    fn a_file_name_is_in_the_tenants_zone_and_carries_the_id() {
        let id = an_id();
        let zone = jiff::tz::TimeZone::get("Europe/Berlin").expect("zone");
        let at = Instant::from_millis(1_795_246_782_000);
        assert_eq!(
            file_name(at, &zone, Direction::Out, "101", "+4930123456", id, "mp3"),
            format!("20261121-083942_out_101_+4930123456_{id}.mp3")
        );
    }

    #[test]
    fn a_hostile_number_cannot_leave_its_folder() {
        for (number, part) in [("../../etc", "....etc"), ("", "-"), ("a/b\\c\0\r\n", "abc"), ("..", "-"), ("_", "-")] {
            assert_eq!(name_part(number), part, "{number:?}");
        }
        assert_eq!(name_part(&"9".repeat(500)).len(), 40);
    }

    #[test]
    fn identity_separates_what_only_looks_alike() {
        let at = Instant::from_millis(1);
        let (pbx, other, server) = (PbxId::new(at), PbxId::new(at), CoreServerId::new(at));
        let source = Sha256::of(b"silence");
        let base = identity(Some(pbx), server, "acme", "1.2", Leg::Mixed, source);
        assert_eq!(base, identity(Some(pbx), CoreServerId::new(at), "x", "1.2", Leg::Mixed, source));
        assert_ne!(base, identity(Some(other), server, "acme", "1.2", Leg::Mixed, source));
        assert_ne!(base, identity(Some(pbx), server, "acme", "1.3", Leg::Mixed, source));
        assert_ne!(base, identity(Some(pbx), server, "acme", "1.2", Leg::Caller, source));
        assert_ne!(base, identity(Some(pbx), server, "acme", "1.2", Leg::Mixed, Sha256::of(b"x")));
    }
}
