//! Replaying purges: what was purged since the backup does not come back.

use serde_json::{Value as Json, json};

use super::Restored;
use super::load::Schema;
use crate::Archive;
use crate::clock::Instant;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::{CatalogueId, RecordingId};
use crate::journal::{JournalKind, field};

impl Archive {
    /// A recording whose purge was written down, and whose bytes are gone, is a tombstone. With its bytes there, the purge
    /// did not come to pass, or not to its end: it stays, and rotation will see to it.
    pub(super) async fn replay_purges(&self, from: CatalogueId, since: Instant, restored: &mut Restored) -> Result<()> {
        let schema = Schema::read(&self.db).await?;
        for (store, part) in self.journal_parts(from, JournalKind::Purges, since).await? {
            for entry in self.read_entries(&store, &part, restored).await? {
                let id: RecordingId = field(&entry, "recording")?;
                if self.has_bytes(id).await? {
                    continue;
                }
                let (columns, values) = (entry["columns"].as_array(), entry["values"].as_array());
                let (Some(columns), Some(values)) = (columns, values) else {
                    return Err(Error::integrity("journal", &part.key, "has a purge without its tombstone"));
                };
                let mut columns: Vec<String> = columns.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
                columns.push("purged_at".to_owned());
                let mut values = values.clone();
                values.push(json!(part.id.instant().millis()));
                let mut tx = self.db.begin().await?;
                let conflict = "ON CONFLICT DO NOTHING";
                let row = [Json::Array(values)];
                restored.purged += schema.insert(&mut tx, "tombstones", &columns, &row, conflict).await?;
                tx.execute("DELETE FROM objects WHERE recording_id = $1", params![id]).await?;
                tx.execute("DELETE FROM recordings WHERE id = $1", params![id]).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }
}
