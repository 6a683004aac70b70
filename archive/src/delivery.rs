//! What is delivered, and what becomes of it.

use std::path::PathBuf;

use crate::hash::Sha256;
use crate::id::RecordingId;
use crate::organisation::{CoreServer, PbxPlace};
use crate::sources::SourceClaim;

/// A recording that is ready to be kept: what was encoded, or the original where that is kept.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The right to work on its source, in state spooled.
    pub claim: SourceClaim,
    /// The core server it came from.
    pub core_server: CoreServer,
    /// The PBX it belongs to; `None`: unassigned.
    pub place: Option<PbxPlace>,
    /// The recording's id, from [`crate::Archive::new_recording_id`]: the file's own metadata names it.
    pub id: RecordingId,
    /// The file to keep.
    pub file: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// SHA-256 of the source.
    pub source_sha256: Sha256,
    /// `mp3`, `opus`, `flac`, `wav`, or the extension it came with.
    pub format: String,
    /// The media type of the file.
    pub content_type: String,
    /// What it was encoded at; 0 when lossless or kept as it came.
    pub bitrate_bps: u32,
    /// Samples a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// How long it plays.
    pub duration_ms: u64,
    /// What the source was: container and codec.
    pub source_format: String,
    /// Kept as it came.
    pub kept_original: bool,
    /// What the decoder measured, as JSON.
    pub quality: String,
    /// `truncated`, `stale-header` …: words without spaces.
    pub flags: Vec<String>,
    /// The waveform: a peak per bucket.
    pub peaks: Vec<u8>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is archived.
    Archived(RecordingId),
    /// The very recording was there already.
    Duplicate(RecordingId),
    /// The very recording was purged before, and does not come back.
    Refused(RecordingId),
}
