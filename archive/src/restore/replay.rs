//! Replaying the journal. Every entry may be replayed twice, and one whose change failed does no harm: a recording is entered
//! only if its bytes are there, one counts as purged only if its bytes are gone.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;

use super::Restored;
use super::load::Schema;
use super::placeholders::{need_core_server, need_place};
use crate::Archive;
use crate::clock::Instant;
use crate::db::{Tx, params};
use crate::deliver::find_identity;
use crate::delivery::{Delivered, Delivery};
use crate::error::{Error, Result};
use crate::id::{CatalogueId, HoldId, PbxId, RecordingId, TenantId};
use crate::journal::{Facts, JournalKind, Part, field, list_parts, read_part};
use crate::organisation::PbxPlace;
use crate::sources::{Source, SourceClaim};
use crate::stores::Store;
use crate::words::{CopyReason, Outcome, SourceState};

/// Recordings that the journal tells of and that were not entered: where their facts stand, or `None` where they are another
/// attempt at one that is there.
pub(super) type Told = HashMap<RecordingId, Option<(Arc<Store>, Part)>>;

/// Tables of which a row that is not there means as much as one that is: no limit, no former terms.
const RULES: [&str; 3] = ["former_terms", "limits", "policies"];

/// The tables of rules of which the entries tell every row: what else a backup has of them was taken away since.
fn rules_told_whole(entries: &[Json]) -> impl Iterator<Item = &'static str> {
    let head = entries.first().map_or(&Json::Null, |entry| &entry["tables"]);
    let is_whole = entries.first().is_some_and(|head| head["rows"].as_u64() == Some(entries.len() as u64 - 1));
    RULES.into_iter().filter(move |table| {
        is_whole && head.as_array().is_some_and(|tables| tables.iter().any(|it| it.as_str() == Some(table)))
    })
}

/// The end of time.
const END: Instant = Instant::from_millis(i64::MAX);

impl Archive {
    /// The parts of that kind in all the stores, oldest first; one that lies in several is there once.
    pub(super) async fn journal_parts(
        &self,
        from: CatalogueId,
        kind: JournalKind,
        since: Instant,
    ) -> Result<Vec<(Arc<Store>, Part)>> {
        let mut parts = BTreeMap::new();
        for store in self.stores() {
            for part in list_parts(store, from, kind, since..END).await? {
                parts.entry(part.id).or_insert_with(|| (Arc::clone(store), part));
            }
        }
        Ok(parts.into_values().collect())
    }

    pub(super) async fn read_entries(&self, store: &Store, part: &Part, restored: &mut Restored) -> Result<Vec<Json>> {
        let (entries, is_whole) = read_part(store, part).await?;
        if !is_whole {
            let key = &part.key;
            restored.notes.push(format!(
                "store {}: {key} is damaged: {} entries were read",
                store.name(),
                entries.len()
            ));
        }
        Ok(entries)
    }

    /// The organisation as it was last journalled since the backup, over what the backup has of it.
    pub(super) async fn replay_organisation(
        &self,
        from: CatalogueId,
        snapshot_at: Instant,
        restored: &mut Restored,
    ) -> Result<()> {
        let parts = self.journal_parts(from, JournalKind::Organisation, snapshot_at).await?;
        let Some((store, part)) = parts.last() else { return Ok(()) };
        let schema = Schema::read(&self.db).await?;
        let entries = self.read_entries(store, part, restored).await?;
        let mut tx = self.db.begin().await?;
        for table in rules_told_whole(&entries) {
            tx.execute(format!("DELETE FROM {table}"), params![]).await?;
        }
        for entry in entries {
            let (table, row): (String, _) = (field(&entry, "table")?, entry["row"].as_object());
            let Some(row) = row.filter(|_| crate::backup::ORGANISATION.contains(&table.as_str())) else { continue };
            let (columns, values): (Vec<String>, Vec<Json>) = row.iter().map(|(k, v)| (k.clone(), v.clone())).unzip();
            let news: Vec<String> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
            let key = match table.as_str() {
                "pbx_aliases" => "core_server_id, token",
                "policies" => "pbx_id",
                "limits" => "owner_id",
                "former_terms" => "pbx_id, archived_before",
                _ => "id",
            };
            let conflict = format!("ON CONFLICT ({key}) DO UPDATE SET {}", news.join(", "));
            schema.insert(&mut tx, &table, &columns, &[Json::Array(values)], &conflict).await?;
        }
        tx.commit().await
    }

    pub(super) async fn replay_holds(&self, from: CatalogueId, since: Instant, restored: &mut Restored) -> Result<()> {
        for (store, part) in self.journal_parts(from, JournalKind::Holds, since).await? {
            for entry in self.read_entries(&store, &part, restored).await? {
                let mut tx = self.db.begin().await?;
                if entry["released"].is_string() {
                    let (id, at): (HoldId, _) = (field(&entry, "released")?, entry["at"].as_i64().unwrap_or_default());
                    tx.execute(
                        "UPDATE holds SET released_at = $1, released_by = 'journal'
                         WHERE id = $2 AND released_at IS NULL",
                        params![at, id],
                    )
                    .await?;
                } else {
                    restored.holds += self.replay_hold(&mut tx, &entry).await?;
                }
                tx.commit().await?;
            }
        }
        Ok(())
    }

    async fn replay_hold(&self, tx: &mut Tx, entry: &Json) -> Result<u64> {
        let (id, tenant): (HoldId, TenantId) = (field(entry, "hold")?, field(entry, "tenant")?);
        let recording: Option<RecordingId> = entry["recording"].as_str().map(str::parse).transpose()?;
        let pbx: Option<PbxId> = entry["pbx"].as_str().map(str::parse).transpose()?;
        need_place(tx, tenant, pbx, self.clock.now()).await?;
        let set = tx
            .execute(
                "INSERT INTO holds (id, tenant_id, matter, recording_id, pbx_id, number, from_ms, until_ms, set_at, set_by)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 ON CONFLICT (id) DO NOTHING",
                params![
                    id,
                    tenant,
                    field::<String>(entry, "matter")?,
                    recording,
                    pbx,
                    entry["number"].as_str().map(str::to_owned),
                    entry["from_ms"].as_i64(),
                    entry["until_ms"].as_i64(),
                    entry["set_at"].as_i64().unwrap_or_default(),
                    field::<String>(entry, "set_by")?
                ],
            )
            .await?;
        if set > 0 {
            self.restore_held(tx, tenant).await?;
        }
        Ok(set)
    }

    /// Recordings that were archived since, the latest attempt first: of two at the same recording, the first one failed.
    /// What is not entered comes to stand in `told`.
    pub(super) async fn replay_recordings(
        &self,
        from: CatalogueId,
        since: Instant,
        told: &mut Told,
        restored: &mut Restored,
    ) -> Result<()> {
        let places = self.list_places().await?;
        let mut places: HashMap<PbxId, PbxPlace> = places.into_iter().map(|place| (place.pbx, place)).collect();
        for (part_store, part) in self.journal_parts(from, JournalKind::Recordings, since).await?.into_iter().rev() {
            for entry in self.read_entries(&part_store, &part, restored).await? {
                let facts = Facts::from_json(&entry)?;
                let Ok(store) = self.store(facts.store) else { continue };
                let Some(size) = store.size_of(&facts.key).await? else {
                    // Never put, dropped again, moved, or purged: its bytes may lie under another key.
                    told.entry(facts.recording).or_insert_with(|| Some((Arc::clone(&part_store), part.clone())));
                    continue;
                };
                if let Some((pbx, tenant)) = facts.place
                    && !places.contains_key(&pbx)
                {
                    let mut tx = self.db.begin().await?;
                    need_place(&mut tx, tenant, Some(pbx), self.clock.now()).await?;
                    tx.commit().await?;
                    restored.notes.push(format!("PBX {pbx} is known by nothing but its recordings"));
                    places.extend(self.list_places().await?.into_iter().map(|place| (place.pbx, place)));
                }
                let place = facts.place.and_then(|(pbx, _)| places.get(&pbx)).cloned();
                if !self.replay_recording(&facts, part.id.instant(), place, restored).await? {
                    told.insert(facts.recording, None);
                } else if size != facts.size_bytes {
                    restored.notes.push(format!("store {}: {} is damaged", store.name(), facts.key));
                    let sql = "UPDATE objects SET damaged_at = $1 WHERE id = $2 AND damaged_at IS NULL";
                    self.db.execute(sql, params![self.clock.now(), facts.object]).await?;
                }
            }
        }
        Ok(())
    }

    /// Enters the recording, or the object where the recording is there; `false`: it is another attempt at a recording that is
    /// there or was purged.
    pub(super) async fn replay_recording(
        &self,
        facts: &Facts,
        at: Instant,
        place: Option<PbxPlace>,
        restored: &mut Restored,
    ) -> Result<bool> {
        let identity = facts.identity();
        let mut tx = self.db.begin().await?;
        match find_identity(&mut tx, identity).await? {
            Some(Delivered::Duplicate(id)) if id == facts.recording => {
                restored.copies += self.enter_object(&mut tx, facts).await?;
            }
            Some(_) => return Ok(false),
            None => {
                if need_core_server(&mut tx, facts.core_server, self.clock.now()).await? {
                    restored
                        .notes
                        .push(format!("core server {} is known by nothing but its recordings", facts.core_server));
                }
                self.enter_source(&mut tx, facts, at).await?;
                self.enter_object(&mut tx, facts).await?;
                let delivery = self.delivery_of(&mut tx, facts, place).await?;
                self.insert_recording(&mut tx, &delivery, identity, Some(CopyReason::Copy), at).await?;
                restored.recordings += 1;
            }
        }
        tx.commit().await?;
        Ok(true)
    }

    async fn enter_object(&self, tx: &mut Tx, facts: &Facts) -> Result<u64> {
        tx.execute(
            "INSERT INTO objects (id, recording_id, store_id, key, size_bytes, sha256, encoding, state, created_at,
                 lease_until)
             VALUES ($1, $2, $3, $4, $5, $6, 'identity', 'live', $7, 0)
             ON CONFLICT (id) DO UPDATE SET state = 'live' WHERE objects.state = 'writing'",
            params![
                facts.object,
                facts.recording,
                facts.store,
                &facts.key,
                facts.size_bytes,
                facts.sha256,
                facts.object.instant()
            ],
        )
        .await
    }

    /// Its source, done: so that the collector does not take the file for a new one.
    async fn enter_source(&self, tx: &mut Tx, facts: &Facts, at: Instant) -> Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let (listed, now) = (&facts.listed, self.clock.now());
        let after =
            tx.fetch_optional("SELECT after FROM core_servers WHERE id = $1", params![facts.core_server]).await?;
        let after: String = after.ok_or(Error::NotFound("core server"))?.get("after")?;
        let after: Option<crate::AfterArchive> = serde_json::from_str(&after).ok();
        let remove_after = after.and_then(|after| after.keep_source()).map(|keep| now.plus(keep));
        let done = tx
            .execute(
                "UPDATE sources
                 SET state = 'done', outcome = $1, recording_id = $2, done_at = $3, remove_after = $4, sha256 = $5
                 WHERE core_server_id = $6 AND path = $7 AND size_bytes = $8 AND mtime_ms = $9",
                params![
                    Outcome::Archived,
                    facts.recording,
                    now,
                    remove_after,
                    facts.source_sha256,
                    facts.core_server,
                    listed.path.as_os_str().as_bytes(),
                    listed.size_bytes,
                    listed.mtime
                ],
            )
            .await?;
        if done > 0 {
            return Ok(());
        }
        tx.execute(
            "INSERT INTO sources (id, core_server_id, path, size_bytes, mtime_ms, pbx_token, call_ref, leg, direction,
                 caller, callee, started_at, state, next_try_at, discovered_at, sha256, recording_id, outcome, done_at,
                 remove_after)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 'done', $13, $13, $14, $15, $16, $17, $18)",
            params![
                facts.source,
                facts.core_server,
                listed.path.as_os_str().as_bytes(),
                listed.size_bytes,
                listed.mtime,
                &listed.pbx_token,
                &listed.call_ref,
                listed.leg,
                listed.direction,
                &listed.caller,
                &listed.callee,
                listed.started_at,
                at,
                facts.source_sha256,
                facts.recording,
                Outcome::Archived,
                now,
                remove_after
            ],
        )
        .await?;
        Ok(())
    }

    /// The delivery that the facts were written for.
    async fn delivery_of(&self, tx: &mut Tx, facts: &Facts, place: Option<PbxPlace>) -> Result<Delivery> {
        let servers = crate::organisation::core_servers_in(tx).await?;
        let core_server = servers.into_iter().find(|server| server.id == facts.core_server);
        let place = match (place, facts.place) {
            (Some(mut place), Some((_, tenant))) => {
                place.tenant = tenant;
                place.tier.id = facts.tier.unwrap_or(place.tier.id);
                place.policy = facts.policy;
                Some(place)
            }
            _ => None,
        };
        let number = |name| facts.audio_number(name);
        let narrow = |name| number(name).map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        let flags = facts.audio["flags"].as_array().into_iter().flatten();
        Ok(Delivery {
            claim: SourceClaim {
                source: Source {
                    id: facts.source,
                    core_server: facts.core_server,
                    listed: facts.listed.clone(),
                    state: SourceState::Done,
                    attempts: 0,
                    next_try_at: self.clock.now(),
                    error_code: None,
                    error_detail: None,
                    sha256: Some(facts.source_sha256),
                    instance: None,
                    recording: Some(facts.recording),
                    outcome: Some(Outcome::Archived),
                },
                fence: 0,
            },
            core_server: core_server.ok_or(Error::NotFound("core server"))?,
            place,
            id: facts.recording,
            file: PathBuf::new(),
            size_bytes: facts.size_bytes,
            sha256: facts.sha256,
            source_sha256: facts.source_sha256,
            format: facts.audio_text("format")?,
            content_type: facts.audio_text("content_type")?,
            bitrate_bps: narrow("bitrate_bps")?,
            sample_rate: narrow("sample_rate")?,
            channels: narrow("channels")?,
            duration_ms: number("duration_ms")?,
            source_format: facts.audio_text("source_format")?,
            kept_original: facts.audio["kept_original"].as_bool().unwrap_or_default(),
            quality: facts.audio_text("quality")?,
            flags: flags.filter_map(|flag| flag.as_str().map(str::to_owned)).collect(),
            peaks: crate::journal::unhex(&facts.audio_text("peaks")?)?,
        })
    }
}
