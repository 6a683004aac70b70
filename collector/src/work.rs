//! Work on one source: discovered → fetched → spooled → encoded → delivered → done.
//!
//! Whatever kills the process in between, the source's row says where to go on: a discovered one is fetched again, a
//! spooled one is encoded again from the landing zone, one whose recording is there already ends as a duplicate.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use archive::{
    Delivered, Delivery, Error as ArchiveError, PbxPlace, Sha256, Source, SourceClaim, SourceState, crash_point,
};
use audio::{EncodeSettings, Tags};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::keep::{self, Job};
use crate::landing::{self, remove_if_there};
use crate::lane::{Lane, Server};

/// How work on a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Its recording is archived.
    Archived,
    /// Its recording was there already.
    Duplicate,
    /// Its recording was purged before.
    Refused,
    /// It cannot be archived.
    Quarantined,
    /// It will be tried again.
    Retried,
    /// It must be fetched again, which can be done at once.
    Unspooled,
    /// Somebody else works on it.
    Lost,
}

impl Lane {
    /// Works on a claimed source to its end, whatever that is, prolonging the claim meanwhile.
    pub(crate) async fn work(self: Arc<Self>, claim: SourceClaim, stop: CancellationToken) -> Ended {
        let (archive, lease) = (&self.shared.archive, self.shared.config.lease);
        let prolong = || async {
            // The lease still has two thirds to run; and if the claim is lost, the fence stops all that follows.
            if let Err(error) = archive.prolong_claim(&claim, lease).await {
                tracing::warn!(source.id = %claim.source.id, "failed to prolong a claim: {error}");
            }
        };
        let ended = while_repeating(pin!(self.archive_source(&claim, &stop)), lease / 3, prolong).await;
        match ended {
            Ok(delivered) => {
                crash_point("delivered");
                self.shared.landing.remove(claim.source.id);
                self.say_delivered(&claim.source, delivered)
            }
            Err(failure) => self.end_failed(&claim, failure).await,
        }
    }

    async fn archive_source(&self, claim: &SourceClaim, stop: &CancellationToken) -> Result<Delivered, Failure> {
        let (archive, server) = (&self.shared.archive, self.server());
        let place = archive.find_place(server.core.id, &claim.source.listed.pbx_token).await?;
        self.admit(&claim.source, place.as_ref()).await?;
        let source_sha256 = self.spool(&server, claim).await?;
        if let Some(delivered) = archive.find_delivered(claim, &server.core, place.as_ref(), source_sha256).await? {
            return Ok(delivered);
        }
        let place = archive.place_to_repair(claim, place).await?;
        archive.check_stores(place.as_ref()).await?;
        let delivery = self.prepare(&server, claim, place, source_sha256, stop).await?;
        crash_point("transcoded");
        let delivered = archive.deliver(&delivery).await;
        if delivery.file != self.shared.landing.spooled(claim.source.id) {
            remove_if_there(&delivery.file);
        }
        Ok(delivered?)
    }

    /// What is for a store that takes nothing now waits, and costs nothing but that: here while there is room for it, else
    /// on its core server.
    async fn admit(&self, source: &Source, place: Option<&PbxPlace>) -> Result<(), Failure> {
        let (landing, shut) = (&self.shared.landing, self.shared.archive.list_shut_stores(place).await?);
        let names: Vec<String> = shut.iter().map(|store| store.name.clone()).collect();
        let Some(first) = shut.first() else {
            landing.note_waiting(source, &[]);
            return Ok(());
        };
        if source.state == SourceState::Spooled {
            landing.note_waiting(source, &names);
        } else if landing.may_wait(source, &self.waiting_room(&shut)) {
            return Ok(());
        }
        Err(Failure::later("store", format!("store {}: {}", first.name, first.why)))
    }

    /// Brings the source into the landing zone, or sees that it is still there as it was.
    async fn spool(&self, server: &Server, claim: &SourceClaim) -> Result<Sha256, Failure> {
        let (source, landing) = (&claim.source, &self.shared.landing);
        if source.state == SourceState::Spooled {
            let (file, expected) = (landing.spooled(source.id), source.sha256.ok_or(Failure::Unspooled)?);
            let seen = tokio::task::spawn_blocking(move || landing::check_whole(&file, expected)).await;
            return seen
                .unwrap_or_else(|error| Err(Failure::later("landing-zone", error.to_string())))
                .map(|()| expected);
        }
        landing.hold(source);
        let sha256 = crate::fetch::fetch(server.core.spool.clone(), source, landing, &self.readers).await?;
        crash_point("fetched");
        self.shared.archive.mark_spooled(claim, sha256).await?;
        crash_point("spooled");
        Ok(sha256)
    }

    /// Encodes what is to be kept, when a worker is free.
    async fn prepare(
        &self,
        server: &Server,
        claim: &SourceClaim,
        place: Option<PbxPlace>,
        source_sha256: Sha256,
        stop: &CancellationToken,
    ) -> Result<Delivery, Failure> {
        let (listed, landing) = (&claim.source.listed, &self.shared.landing);
        let id = self.shared.archive.new_recording_id(claim);
        let settings = encode_settings(place.as_ref());
        let extension = settings.map_or("original", |settings| settings.format.extension());
        let name = listed.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let started_at = listed.started_at.unwrap_or(id.instant());
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let job = Job {
            source: landing.spooled(claim.source.id),
            name,
            size_bytes: listed.size_bytes,
            sha256: source_sha256,
            settings,
            tags: Tags {
                title: given(&format!("{} → {}", listed.caller, listed.callee)).filter(|title| title != " → "),
                date: Some(started_at.timestamp().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                caller: given(&listed.caller),
                callee: given(&listed.callee),
                pbx: place.as_ref().map(|place| place.code.clone()),
                call_id: given(&listed.call_ref),
                recording_id: Some(id.to_string()),
                source_sha256: Some(source_sha256.to_string()),
            },
            encoded: landing.new_encoded(claim.source.id, extension),
        };
        let kept = keep::prepare(job, &self.shared.workers, stop).await?;
        Ok(Delivery {
            claim: claim.clone(),
            core_server: server.core.clone(),
            place,
            id,
            file: kept.file,
            size_bytes: kept.size_bytes,
            sha256: kept.sha256,
            source_sha256,
            format: kept.format,
            content_type: kept.content_type,
            bitrate_bps: kept.bitrate_bps,
            sample_rate: kept.sample_rate,
            channels: kept.channels,
            duration_ms: kept.duration_ms,
            source_format: kept.source_format,
            kept_original: kept.kept_original,
            quality: kept.quality,
            flags: kept.flags,
            peaks: kept.peaks,
        })
    }

    fn say_delivered(&self, source: &Source, delivered: Delivered) -> Ended {
        let core_server = self.server().core.id;
        match delivered {
            Delivered::Archived(id) => {
                tracing::info!(
                    recording.id = %id, source.id = %source.id, core_server.id = %core_server, "archived recording {id}"
                );
                Ended::Archived
            }
            Delivered::Duplicate(id) => {
                tracing::info!(recording.id = %id, source.id = %source.id, "source {} is recording {id}", source.id);
                Ended::Duplicate
            }
            Delivered::Refused(id) => {
                tracing::info!(
                    recording.id = %id, source.id = %source.id, "source {} is recording {id}, purged before", source.id
                );
                Ended::Refused
            }
        }
    }

    /// Writes down why the source was not archived, and what becomes of it.
    async fn end_failed(&self, claim: &SourceClaim, failure: Failure) -> Ended {
        match self.put_back(claim, failure).await {
            Ok(ended) => ended,
            Err(ArchiveError::Conflict(_)) => {
                say_lost(&claim.source);
                Ended::Lost
            }
            Err(error) => {
                // Nothing is lost: the claim ends with its lease.
                tracing::error!(source.id = %claim.source.id, "failed to put back source {}: {error}", claim.source.id);
                Ended::Retried
            }
        }
    }

    async fn put_back(&self, claim: &SourceClaim, failure: Failure) -> Result<Ended, ArchiveError> {
        let (archive, landing, config) = (&self.shared.archive, &self.shared.landing, &self.shared.config);
        let (source, core_server) = (&claim.source, self.server().core.id);
        let (code, detail, counts) = match failure {
            Failure::Lost => {
                say_lost(source);
                // Whoever has it now, this instance again or another one, may have no other copy until it has ended.
                if !archive.list_ended(&[source.id]).await?.is_empty() {
                    landing.remove(source.id);
                }
                return Ok(Ended::Lost);
            }
            Failure::Stopped => {
                tracing::info!(source.id = %source.id, "stopped work on source {}", source.id);
                return Ok(Ended::Retried);
            }
            Failure::Unspooled => {
                tracing::warn!(source.id = %source.id, "source {} must be fetched again", source.id);
                archive.mark_unspooled(claim).await?;
                landing.remove(source.id);
                return Ok(Ended::Unspooled);
            }
            Failure::Quarantine { code, detail } => return self.quarantine(claim, code, &detail).await,
            Failure::Changed(now) => {
                let is_known = match now {
                    Some(now) => {
                        archive.knows_source(core_server, &source.listed.path, now.size_bytes, now.mtime).await?
                    }
                    None => false,
                };
                let detail = "the file is no longer the one that was listed";
                if is_known {
                    return self.quarantine(claim, "source-changed", detail).await;
                }
                ("source-changed", detail.to_owned(), true)
            }
            Failure::Retry { code, detail, counts } => (code, detail, counts),
        };
        // After an outage, however many attempts it took, one failure of another kind is not yet one too many.
        let goes_on = source.error_code.as_deref().is_none_or(|before| before == code);
        if counts && goes_on && source.attempts + 1 >= config.max_attempts {
            let code = if code.starts_with("source-") { code } else { "too-many-failures" };
            return self.quarantine(claim, code, &detail).await;
        }
        let pause = config.pause(source.attempts, source.id.to_bytes()[15]);
        tracing::warn!(source.id = %source.id, code, "source {} waits {pause:?}: {detail}", source.id);
        let next_try_at = archive.clock().now().plus(pause);
        archive.retry_source_later(claim, code, &detail, next_try_at).await?;
        if source.state == SourceState::Discovered && !landing.spooled(source.id).exists() {
            landing.remove(source.id);
        }
        Ok(Ended::Retried)
    }

    async fn quarantine(&self, claim: &SourceClaim, code: &str, detail: &str) -> Result<Ended, ArchiveError> {
        self.shared.archive.quarantine(claim, code, detail).await?;
        self.shared.landing.remove(claim.source.id);
        tracing::warn!(source.id = %claim.source.id, code, "quarantined source {}: {code}", claim.source.id);
        Ok(Ended::Quarantined)
    }
}

fn say_lost(source: &Source) {
    tracing::warn!(source.id = %source.id, "lost the claim on source {}", source.id);
}

/// Does `work`, and `aside` whenever `every` has passed, both at the same time: `work` goes on while `aside` waits.
/// They want the same connections and the same rows, so neither may stand still because the other one does.
async fn while_repeating<T, A: Future>(work: impl Future<Output = T>, every: Duration, aside: impl Fn() -> A) -> T {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let repeating = async {
        ticks.tick().await;
        loop {
            ticks.tick().await;
            aside().await;
        }
    };
    tokio::select! {
        done = work => done,
        () = repeating => unreachable!("it repeats for ever"),
    }
}

/// What the tier asks for; nothing where it keeps originals, or where there is no PBX yet whose tier could ask.
fn encode_settings(place: Option<&PbxPlace>) -> Option<EncodeSettings> {
    let tier = &place?.tier;
    let format = tier.format.parse().ok()?;
    Some(EncodeSettings::at(format, tier.bitrate_bps))
}

#[cfg(test)]
mod tests {
    use tokio::sync::{Mutex, Notify};

    use super::*;

    #[tokio::test]
    async fn work_goes_on_while_the_prolonging_of_its_claim_waits_for_it() {
        // What a catalogue's only writer is, or a row that the work has changed and not yet committed.
        let (row, waiting) = (Mutex::new(()), Notify::new());
        let work = async {
            let _changed = row.lock().await;
            waiting.notified().await;
        };
        let prolong = || async {
            waiting.notify_one();
            let _prolonged = row.lock().await;
        };
        let worked = while_repeating(work, Duration::from_millis(1), prolong);
        let worked = tokio::time::timeout(Duration::from_secs(10), worked).await;
        worked.expect("neither keeps the other from going on");
    }
}
