//! Objects that neither backup nor journal tell of: what their keys tell, and their bytes.

use std::collections::HashMap;

use futures_util::StreamExt;

use super::placeholders::{need_core_server, need_place, need_unknown_core_server};
use super::replay::Told;
use super::{Restored, is_there};
use crate::Archive;
use crate::clock::Instant;
use crate::db::{Tx, Value, params};
use crate::error::Result;
use crate::hash::Sha256;
use crate::id::{CallId, ObjectId, RecordingId, SourceId};
use crate::journal::Facts;
use crate::key::{Key, Owner};
use crate::recording::{file_name, identity, zone};
use crate::stores::Store;
use crate::words::{Direction, Leg};

/// Keys looked up in one statement.
const LOOKUP: usize = 500;

impl Archive {
    /// Enters what of a store is younger than `since` and not known: another copy of a known recording, once its bytes are
    /// those of it; else, where the journal does not tell of it either (`told`), a recording that is flagged `rebuilt`.
    pub(super) async fn enter_by_keys(
        &self,
        store: &Store,
        since: Instant,
        told: &Told,
        restored: &mut Restored,
    ) -> Result<()> {
        let mut listed = std::pin::pin!(store.list().chunks(LOOKUP));
        while let Some(chunk) = listed.next().await {
            let mut found = HashMap::new();
            for item in chunk {
                let (text, size) = item?;
                if let Some(key) = Key::parse(&text).filter(|key| key.object.instant() >= since) {
                    found.insert(text, (key, size));
                }
            }
            for known in self.known_keys(store, found.keys()).await? {
                found.remove(&known);
            }
            for (text, (key, size)) in found {
                self.enter_by_key(store, &text, key, size, told, restored).await?;
            }
        }
        Ok(())
    }

    /// Those of the keys that the catalogue has an object for, in whatever state.
    pub(crate) async fn known_keys(
        &self,
        store: &Store,
        keys: impl ExactSizeIterator<Item = &String>,
    ) -> Result<Vec<String>> {
        if keys.len() == 0 {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (2..keys.len() + 2).map(|n| format!("${n}")).collect();
        let sql = format!("SELECT key FROM objects WHERE store_id = $1 AND key IN ({})", places.join(", "));
        let mut params = params![store.id()];
        params.extend(keys.map(Value::from));
        self.db.fetch_all(sql, params).await?.iter().map(|row| row.get("key")).collect()
    }

    async fn enter_by_key(
        &self,
        store: &Store,
        text: &str,
        key: Key,
        size: u64,
        told: &Told,
        restored: &mut Restored,
    ) -> Result<()> {
        let sql = "SELECT audio_sha256 FROM recordings WHERE id = $1";
        if let Some(row) = self.db.fetch_optional(sql, params![key.recording]).await? {
            let (found, _) = store.hash_of(text).await?;
            if found != row.get::<Sha256>("audio_sha256")? {
                restored.notes.push(format!("store {}: {text} is not the audio of its recording", store.name()));
                return Ok(());
            }
            let mut tx = self.db.begin().await?;
            self.enter_found(&mut tx, store, text, key, size, found).await?;
            tx.commit().await?;
            restored.copies += 1;
            return self.forget_gone_objects(key.recording).await;
        }
        let buried =
            self.db.fetch_optional("SELECT 1 AS one FROM tombstones WHERE id = $1", params![key.recording]).await?;
        if buried.is_some() {
            return Ok(());
        }
        let (found, size) = store.hash_of(text).await?;
        match told.get(&key.recording) {
            Some(None) => return Ok(()),
            Some(Some((part_store, part))) => {
                for entry in self.read_entries(part_store, part, restored).await? {
                    let facts = Facts::from_json(&entry)?;
                    if facts.recording == key.recording && facts.sha256 == found {
                        // Moved since: the facts are its own, the place is another.
                        let facts = Facts { object: key.object, store: store.id(), key: text.to_owned(), ..facts };
                        let places = self.list_places().await?;
                        let place = facts.place.and_then(|(pbx, _)| places.into_iter().find(|place| place.pbx == pbx));
                        self.replay_recording(&facts, part.id.instant(), place, restored).await?;
                        return Ok(());
                    }
                }
            }
            None => {}
        }
        let mut tx = self.db.begin().await?;
        self.enter_found(&mut tx, store, text, key, size, found).await?;
        self.rebuild_recording(&mut tx, text, key, size, found).await?;
        tx.commit().await?;
        restored.rebuilt += 1;
        Ok(())
    }

    async fn enter_found(
        &self,
        tx: &mut Tx,
        store: &Store,
        text: &str,
        key: Key,
        size: u64,
        hash: Sha256,
    ) -> Result<()> {
        tx.execute(
            "INSERT INTO objects (id, recording_id, store_id, key, size_bytes, sha256, encoding, state, created_at,
                 lease_until, verified_at)
             VALUES ($1, $2, $3, $4, $5, $6, 'identity', 'live', $7, 0, $8)",
            params![key.object, key.recording, store.id(), text, size, hash, key.object.instant(), self.clock.now()],
        )
        .await?;
        Ok(())
    }

    /// A recording was moved since: what its other rows point at, and is gone, it no longer has.
    async fn forget_gone_objects(&self, id: RecordingId) -> Result<()> {
        let sql = "SELECT id, store_id, key FROM objects WHERE recording_id = $1 AND state = 'live'";
        for row in self.db.fetch_all(sql, params![id]).await? {
            let Ok(store) = self.store(row.get("store_id")?) else { continue };
            if !is_there(store, &row.get::<String>("key")?).await? {
                self.db.execute("DELETE FROM objects WHERE id = $1", params![row.get::<ObjectId>("id")?]).await?;
            }
        }
        Ok(())
    }

    /// A recording of which only key and bytes are left: guarded, so that no rule takes it before an operator has looked.
    async fn rebuild_recording(&self, tx: &mut Tx, text: &str, key: Key, size: u64, hash: Sha256) -> Result<()> {
        let (now, at) = (self.clock.now(), key.recording.instant());
        let (place, core_server) = match key.owner {
            Owner::Pbx(tenant, pbx) => {
                need_place(tx, tenant, Some(pbx), now).await?;
                (Some((tenant, pbx)), need_unknown_core_server(tx, now).await?)
            }
            Owner::Unassigned(core_server) => {
                need_core_server(tx, core_server, now).await?;
                (None, core_server)
            }
        };
        let format = text.rsplit_once('.').map_or("bin", |(_, extension)| extension);
        let call_ref = format!("rebuilt-{}", key.recording);
        let (tenant, pbx) = place.unzip();
        let call = CallId::new(at);
        tx.execute(
            "INSERT INTO calls (id, tenant_id, pbx_id, core_server_id, call_ref, started_at)
             VALUES ($1, $2, $3, $4, $5, $6)",
            params![call, tenant, pbx, core_server, &call_ref, at],
        )
        .await?;
        let row = tx
            .fetch_optional(
                "SELECT t.time_zone AS time_zone, COALESCE(p.tier_id, t.tier_id) AS tier_id
                 FROM pbxs p
                 JOIN tenants t ON t.id = p.tenant_id
                 WHERE p.id = $1",
                params![pbx],
            )
            .await?;
        let (time_zone, tier) = match &row {
            Some(row) => (row.get("time_zone")?, row.get::<Option<crate::TierId>>("tier_id")?),
            None => ("UTC".to_owned(), None),
        };
        tx.execute(
            "INSERT INTO recordings (id, tenant_id, pbx_id, core_server_id, source_id, pbx_token, call_id, call_ref,
                 leg, direction, caller, callee, started_at, duration_ms, file_name, format, content_type, bitrate_bps,
                 sample_rate, channels, source_format, kept_original, size_bytes, source_sha256, audio_sha256, identity,
                 state, tier_id, retain_from, guarded, quality, flags, peaks, archived_at)
             VALUES ($1, $2, $3, $4, $5, '', $6, $7, $8, $9, '', '', $10, 0, $11, $12, $13, 0, 0, 0, 'unknown', 0, $14,
                 $15, $15, $16, 'archived', $17, $10, 1, '{}', 'rebuilt', $18, $19)",
            params![
                key.recording,
                tenant,
                pbx,
                core_server,
                SourceId::new(at),
                call,
                &call_ref,
                Leg::Mixed,
                Direction::Unknown,
                at,
                file_name(at, &zone(&time_zone), Direction::Unknown, "", "", key.recording, format),
                format,
                content_type(format),
                size,
                hash,
                identity(pbx, core_server, "", &call_ref, Leg::Mixed, hash),
                tier,
                Vec::<u8>::new(),
                key.object.instant()
            ],
        )
        .await?;
        Ok(())
    }
}

fn content_type(format: &str) -> &'static str {
    match format {
        "mp3" => "audio/mpeg",
        "opus" | "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        _ => "application/octet-stream",
    }
}
