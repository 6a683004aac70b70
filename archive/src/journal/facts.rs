//! The facts of a recording: everything that a delivery knows and bytes do not tell, so that the recording can be entered
//! again from its object and this alone.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde_json::{Value as Json, json};

use crate::clock::Instant;
use crate::db::{Db, params};
use crate::delivery::Delivery;
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{CoreServerId, ObjectId, PbxId, PolicyId, RecordingId, SourceId, StoreId, TenantId, TierId};
use crate::recording::identity;
use crate::sources::{COLUMNS, NewSource, Source};

use super::field;

/// The facts of a recording, and the object that they were written beside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) recording: RecordingId,
    pub(crate) object: ObjectId,
    pub(crate) store: StoreId,
    pub(crate) key: String,
    pub(crate) core_server: CoreServerId,
    /// PBX and tenant; `None`: unassigned.
    pub(crate) place: Option<(PbxId, TenantId)>,
    pub(crate) tier: Option<TierId>,
    pub(crate) policy: Option<PolicyId>,
    pub(crate) source: SourceId,
    pub(crate) listed: NewSource,
    pub(crate) source_sha256: Sha256,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: Sha256,
    /// The rest, as the recording's columns have it.
    pub(crate) audio: Json,
}

/// Where another object of a recording is about to be put.
pub(crate) struct CopyPlace<'a> {
    pub(crate) recording: RecordingId,
    pub(crate) object: ObjectId,
    pub(crate) store: StoreId,
    pub(crate) key: &'a str,
}

impl Facts {
    pub(crate) fn of(delivery: &Delivery, object: ObjectId, store: StoreId, key: &str) -> Self {
        let place = delivery.place.as_ref();
        Self {
            recording: delivery.id,
            object,
            store,
            key: key.to_owned(),
            core_server: delivery.core_server.id,
            place: place.map(|place| (place.pbx, place.tenant)),
            tier: place.map(|place| place.tier.id),
            policy: place.and_then(|place| place.policy),
            source: delivery.claim.source.id,
            listed: delivery.claim.source.listed.clone(),
            source_sha256: delivery.source_sha256,
            size_bytes: delivery.size_bytes,
            sha256: delivery.sha256,
            audio: json!({
                "format": delivery.format,
                "content_type": delivery.content_type,
                "bitrate_bps": delivery.bitrate_bps,
                "sample_rate": delivery.sample_rate,
                "channels": delivery.channels,
                "duration_ms": delivery.duration_ms,
                "source_format": delivery.source_format,
                "kept_original": delivery.kept_original,
                "quality": delivery.quality,
                "flags": delivery.flags,
                "peaks": hex(&delivery.peaks),
            }),
        }
    }

    /// The facts of a recording that is in the catalogue, for another object of it; `None` where the catalogue does not have
    /// them all, as of one that was rebuilt from its key.
    pub(crate) async fn of_copy(db: &Db, copy: &CopyPlace<'_>) -> Result<Option<Self>> {
        let sql = "SELECT core_server_id, pbx_id, tenant_id, tier_id, policy_id, source_id, pbx_token, call_ref, leg,
                       source_sha256, audio_sha256, size_bytes, identity, format, content_type, bitrate_bps, sample_rate,
                       channels, duration_ms, source_format, kept_original, quality, flags, peaks
                   FROM recordings
                   WHERE id = $1";
        let Some(row) = db.fetch_optional(sql, params![copy.recording]).await? else { return Ok(None) };
        let source: Option<SourceId> = row.get("source_id")?;
        let sql = format!("SELECT {COLUMNS} FROM sources WHERE id = $1");
        let Some(source) = db.fetch_optional(sql, params![source]).await? else { return Ok(None) };
        let (pbx, tenant): (Option<PbxId>, Option<TenantId>) = (row.get("pbx_id")?, row.get("tenant_id")?);
        let facts = Self {
            recording: copy.recording,
            object: copy.object,
            store: copy.store,
            key: copy.key.to_owned(),
            core_server: row.get("core_server_id")?,
            place: pbx.zip(tenant),
            tier: row.get("tier_id")?,
            policy: row.get("policy_id")?,
            source: source.get("id")?,
            listed: Source::from_row(&source)?.listed,
            source_sha256: row.get("source_sha256")?,
            size_bytes: row.get("size_bytes")?,
            sha256: row.get("audio_sha256")?,
            audio: json!({
                "format": row.get::<String>("format")?,
                "content_type": row.get::<String>("content_type")?,
                "bitrate_bps": row.get::<u64>("bitrate_bps")?,
                "sample_rate": row.get::<u64>("sample_rate")?,
                "channels": row.get::<u64>("channels")?,
                "duration_ms": row.get::<u64>("duration_ms")?,
                "source_format": row.get::<String>("source_format")?,
                "kept_original": row.get::<bool>("kept_original")?,
                "quality": row.get::<String>("quality")?,
                "flags": row.get::<String>("flags")?.split_whitespace().collect::<Vec<_>>(),
                "peaks": hex(&row.get::<Vec<u8>>("peaks")?),
            }),
        };
        // What would be taken for another recording at a restore says nothing of this one.
        Ok((facts.identity() == row.get("identity")?).then_some(facts))
    }

    /// What tells the recording from all others.
    pub(crate) fn identity(&self) -> Sha256 {
        let (listed, pbx) = (&self.listed, self.place.map(|(pbx, _)| pbx));
        identity(pbx, self.core_server, &listed.pbx_token, &listed.call_ref, listed.leg, self.source_sha256)
    }

    pub(crate) fn to_json(&self) -> Json {
        let listed = &self.listed;
        json!({
            "recording": self.recording.to_string(),
            "object": self.object.to_string(),
            "store": self.store.to_string(),
            "key": self.key,
            "core_server": self.core_server.to_string(),
            "pbx": self.place.map(|(pbx, _)| pbx.to_string()),
            "tenant": self.place.map(|(_, tenant)| tenant.to_string()),
            "tier": self.tier.map(|tier| tier.to_string()),
            "policy": self.policy.map(|policy| policy.to_string()),
            "source": self.source.to_string(),
            "path": hex(listed.path.as_os_str().as_bytes()),
            "source_size_bytes": listed.size_bytes,
            "mtime_ms": listed.mtime.millis(),
            "pbx_token": listed.pbx_token,
            "call_ref": listed.call_ref,
            "leg": listed.leg.as_str(),
            "direction": listed.direction.as_str(),
            "caller": listed.caller,
            "callee": listed.callee,
            "started_at": listed.started_at.map(Instant::millis),
            "source_sha256": self.source_sha256.to_string(),
            "size_bytes": self.size_bytes,
            "sha256": self.sha256.to_string(),
            "audio": self.audio,
        })
    }

    pub(crate) fn from_json(entry: &Json) -> Result<Self> {
        let optional = |name: &str| entry[name].as_str();
        let pbx: Option<PbxId> = optional("pbx").map(str::parse).transpose()?;
        let tenant: Option<TenantId> = optional("tenant").map(str::parse).transpose()?;
        let path = unhex(&field::<String>(entry, "path")?)?;
        Ok(Self {
            recording: field(entry, "recording")?,
            object: field(entry, "object")?,
            store: field(entry, "store")?,
            key: field(entry, "key")?,
            core_server: field(entry, "core_server")?,
            place: pbx.zip(tenant),
            tier: optional("tier").map(str::parse).transpose()?,
            policy: optional("policy").map(str::parse).transpose()?,
            source: field(entry, "source")?,
            listed: NewSource {
                path: OsString::from_vec(path).into(),
                size_bytes: number(entry, "source_size_bytes")?,
                mtime: Instant::from_millis(entry["mtime_ms"].as_i64().unwrap_or_default()),
                pbx_token: field(entry, "pbx_token")?,
                call_ref: field(entry, "call_ref")?,
                leg: field(entry, "leg")?,
                direction: field(entry, "direction")?,
                caller: field(entry, "caller")?,
                callee: field(entry, "callee")?,
                started_at: entry["started_at"].as_i64().map(Instant::from_millis),
            },
            source_sha256: field(entry, "source_sha256")?,
            size_bytes: number(entry, "size_bytes")?,
            sha256: field(entry, "sha256")?,
            audio: entry["audio"].clone(),
        })
    }

    pub(crate) fn audio_text(&self, name: &str) -> Result<String> {
        field(&self.audio, name)
    }

    pub(crate) fn audio_number(&self, name: &str) -> Result<u64> {
        number(&self.audio, name)
    }
}

fn number(entry: &Json, name: &str) -> Result<u64> {
    entry[name].as_u64().ok_or_else(|| Error::integrity("journal", name, "is not there or is no number"))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] wrote.
pub(crate) fn unhex(text: &str) -> Result<Vec<u8>> {
    let invalid = || Error::integrity("journal", "?", "has no hexadecimal digits where it must");
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err(invalid());
    }
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
        u8::from_str_radix(pair, 16).map_err(|_| invalid())
    });
    pairs.collect()
}
