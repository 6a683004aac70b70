//! The organisation in the journal: all of it, whenever it has changed, so that a tenant that is younger than the backup
//! has its recordings, its users and its accounts again.

use futures_util::StreamExt;
use serde_json::{Value as Json, json};

use super::JournalKind;
use crate::Archive;
use crate::backup::{ORGANISATION, row_to_json};
use crate::error::Result;
use crate::hash::Sha256Hasher;

/// Changes with every use, and says nothing that must be kept.
const FLEETING: &str = "last_used_at";

impl Archive {
    /// Journals the organisation if it is not as it was when this was last called. Says whether it did.
    ///
    /// # Errors
    /// When the catalogue cannot be read, or no store takes it.
    pub async fn journal_organisation(&self) -> Result<bool> {
        let (mut entries, mut hasher) = (Vec::new(), Sha256Hasher::default());
        let mut tx = self.db.begin_snapshot().await?;
        for table in ORGANISATION {
            let mut rows = tx.stream(format!("SELECT * FROM {table} ORDER BY 1, 2"));
            while let Some(row) = rows.next().await {
                let row = row?;
                let Json::Array(values) = row_to_json(&row)? else { continue };
                let columns = row.columns();
                let row: serde_json::Map<String, Json> =
                    columns.into_iter().zip(values).filter(|(column, _)| column != FLEETING).collect();
                let entry = json!({ "table": table, "row": row });
                hasher.update(entry.to_string().as_bytes());
                entries.push(entry);
            }
        }
        drop(tx);
        let hash = hasher.finish().0;
        if *self.organisation.lock().unwrap_or_else(std::sync::PoisonError::into_inner) == Some(hash) {
            return Ok(false);
        }
        // First which tables follow, and how many rows: whoever replays it knows what is no longer there. The program before
        // takes it for the row of a table that it does not know.
        let head = json!({ "table": "", "tables": ORGANISATION, "rows": entries.len() });
        entries.insert(0, head);
        self.journal(JournalKind::Organisation, &entries).await?;
        *self.organisation.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(hash);
        Ok(true)
    }
}
