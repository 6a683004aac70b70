//! The objects of a recording, as whoever copies or repairs it sees them.

use crate::Archive;
use crate::db::{Row, params};
use crate::error::Result;
use crate::hash::Sha256;
use crate::id::{ObjectId, RecordingId, StoreId};

/// A live object.
pub(super) struct LiveObject {
    pub(super) id: ObjectId,
    pub(super) store: StoreId,
    pub(super) key: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: Sha256,
    pub(super) is_sound: bool,
}

/// A recording's objects that are live or in writing, in the order of their stores; `sound` is 1 or 0.
pub(crate) const LIVE_OBJECTS: &str = "SELECT o.id AS id, o.store_id AS store_id, o.key AS key,
        o.size_bytes AS size_bytes, o.sha256 AS sha256, o.state AS state,
        CASE WHEN o.damaged_at IS NULL AND o.lost_at IS NULL AND s.lost_at IS NULL THEN 1 ELSE 0 END AS sound
    FROM objects o
    JOIN stores s ON s.id = o.store_id
    WHERE o.recording_id = $1 AND o.state IN ('live', 'writing')
    ORDER BY o.store_id, o.id";

impl LiveObject {
    pub(super) fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            store: row.get("store_id")?,
            key: row.get("key")?,
            size_bytes: row.get("size_bytes")?,
            sha256: row.get("sha256")?,
            is_sound: row.get::<i64>("sound")? == 1,
        })
    }
}

impl Archive {
    pub(super) async fn list_live_objects(&self, recording: RecordingId) -> Result<Vec<LiveObject>> {
        let rows = self.db.fetch_all(LIVE_OBJECTS, params![recording]).await?;
        let live = rows.iter().filter(|row| row.get::<String>("state").is_ok_and(|state| state == "live"));
        live.map(LiveObject::from_row).collect()
    }
}
