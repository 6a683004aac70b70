//! Metrics for Prometheus: what the program counts as it goes, and what is asked of the catalogue at a scrape. Labels
//! name core servers, tiers, stores and routes; never a tenant, a number or an id.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use archive::{Archive, CopyReason, Scope, SourceState, StoreState, TierId, UsageClass};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How old the figures from the catalogue may be: counting sources reads many rows, and scrapers ask often.
const MAX_AGE: Duration = Duration::from_secs(10);
/// Upper bounds of the buckets of `fonoteca_http_request_seconds`.
const SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The recorder of this process: everything that any crate counts by the `metrics` macros from now on goes there. The
/// root calls it first thing; later calls answer the same one.
pub fn metrics_recorder() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
                .expect("the list of buckets is not empty")
                .build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another recorder was installed before: /metrics shows only what the catalogue says");
            }
            describe();
            handle
        })
        .clone()
}

fn describe() {
    metrics::describe_counter!("fonoteca_http_requests_total", "Requests answered.");
    metrics::describe_histogram!("fonoteca_http_request_seconds", "Time until an answer began.");
    metrics::describe_counter!("fonoteca_http_sent_bytes_total", "Bytes of recordings sent.");
    metrics::describe_counter!("fonoteca_copied_recordings_total", "Recordings copied, moved or repaired.");
    metrics::describe_counter!("fonoteca_copied_bytes_total", "Bytes put into stores for those.");
    metrics::describe_counter!("fonoteca_copy_failures_total", "Copies that a store did not take or give.");
    metrics::describe_gauge!("fonoteca_spool_waiting_bytes", "Bytes in the landing zone that wait for a store.");
}

/// The figures that come from the catalogue.
#[derive(Debug)]
pub(crate) struct Figures {
    archive: Arc<Archive>,
    last: Mutex<Option<(Instant, String)>>,
}

impl Figures {
    pub(crate) fn new(archive: Arc<Archive>) -> Self {
        Self { archive, last: Mutex::default() }
    }

    /// The figures as text for Prometheus, asked of the catalogue at most every ten seconds, by one scrape at a time.
    pub(crate) async fn render(&self) -> archive::Result<String> {
        let mut last = self.last.lock().await;
        match &*last {
            Some((at, text)) if at.elapsed() < MAX_AGE => Ok(text.clone()),
            _ => {
                let text = self.ask().await?;
                *last = Some((Instant::now(), text.clone()));
                Ok(text)
            }
        }
    }

    async fn ask(&self) -> archive::Result<String> {
        let mut text = String::new();
        let at_work = self.archive.list_instances().await?.into_iter().filter(|instance| instance.at_work).count();
        gauge(&mut text, "fonoteca_instances", "Instances at work on this catalogue.", [("", at_work)]);
        self.waiting(&mut text).await?;
        self.copies(&mut text).await?;
        self.rotation(&mut text).await?;
        self.usage(&mut text).await?;
        self.stores(&mut text);
        self.integrity(&mut text).await?;
        Ok(text)
    }

    /// How this instance finds the stores; asks none of them.
    fn stores(&self, text: &mut String) {
        let states: Vec<(String, StoreState)> =
            self.archive.stores().iter().map(|store| (labels(&[("store", store.name())]), store.state())).collect();
        let flags = |flag: fn(&StoreState) -> bool| states.iter().map(move |(it, state)| (it, u8::from(flag(state))));
        let up = flags(|state| state.down.is_none());
        gauge(text, "fonoteca_store_up", "1 while a store can be used, 0 while it is down.", up);
        let takes = flags(|state| state.down.is_none() && state.takes_nothing.is_none());
        gauge(text, "fonoteca_store_takes_recordings", "1 while a store takes new recordings.", takes);
        // An S3 server does not tell its room, and a disk that does not fill is full on no day.
        let free = states.iter().filter_map(|(it, state)| Some((it, state.free_bytes?)));
        gauge(text, "fonoteca_store_free_bytes", "Room on a store's disk.", free);
        let days = states.iter().filter_map(|(it, state)| Some((it, state.days_until_full?)));
        let help = "Days until a store's disk is down to its watermark, at the rate of the last days.";
        gauge(text, "fonoteca_store_days_until_full", help, days);
    }

    async fn integrity(&self, text: &mut String) -> archive::Result<()> {
        let now = self.archive.clock().now();
        let health = self.archive.list_store_health().await?;
        let lines = |figure: fn(&archive::StoreHealth) -> u64| {
            let lines = health.iter().map(move |it| (labels(&[("store", &it.store)]), figure(it)));
            lines.collect::<Vec<_>>()
        };
        gauge(text, "fonoteca_objects_damaged", "Objects found damaged or missing.", lines(|it| it.damaged));
        gauge(
            text,
            "fonoteca_orphans",
            "Objects that no recording owns, not yet moved to orphans/.",
            lines(|it| it.orphans),
        );
        let unread = health.iter().map(|it| {
            let seconds = it.oldest.map_or(0, |oldest| now.millis().saturating_sub(oldest.millis()) / 1000);
            (labels(&[("store", &it.store)]), seconds)
        });
        gauge(text, "fonoteca_unread_seconds", "How long the object that is unread longest has not been read.", unread);
        let last = self.archive.find_last_run("backup").await?.and_then(|run| run.finished_at);
        let line = [("", last.map_or(0, |at| at.millis() / 1000))];
        gauge(text, "fonoteca_backup_finished_seconds", "When the catalogue was last backed up, in Unix time.", line);
        Ok(())
    }

    /// Every core server and state has its line, so that a figure falls to 0 instead of staying where it was.
    async fn waiting(&self, text: &mut String) -> archive::Result<()> {
        let servers = self.archive.list_core_servers().await?;
        let waiting = self.archive.list_waiting().await?;
        let now = self.archive.clock().now();
        let states = [SourceState::Discovered, SourceState::Spooled, SourceState::Quarantined];
        let lines = servers.iter().flat_map(|server| {
            states.map(|state| {
                let found = waiting.iter().find(|it| it.core_server == server.id && it.state == state);
                let labels = labels(&[("core_server", &server.name), ("state", state.as_str())]);
                let age = found.map_or(0, |it| now.millis().saturating_sub(it.oldest.millis()) / 1000);
                (labels, found.map_or(0, |it| it.sources), age)
            })
        });
        let lines: Vec<_> = lines.collect();
        let counts = lines.iter().map(|(labels, count, _)| (labels, count));
        gauge(text, "fonoteca_sources_waiting", "Sources that wait, by core server and state.", counts);
        let ages = lines.iter().map(|(labels, _, age)| (labels, age));
        gauge(text, "fonoteca_sources_waiting_seconds", "How long the oldest of them has waited.", ages);
        Ok(())
    }

    /// Every reason has its line, and beside it each store that something waits for.
    async fn copies(&self, text: &mut String) -> archive::Result<()> {
        let now = self.archive.clock().now();
        let mut lines: BTreeMap<String, (u64, i64)> = BTreeMap::new();
        for why in CopyReason::ALL {
            lines.insert(labels(&[("why", why.as_str()), ("store", "")]), (0, 0));
        }
        for it in self.archive.list_copies_waiting().await? {
            let labels = labels(&[("why", it.why.as_str()), ("store", it.store.as_deref().unwrap_or_default())]);
            let seconds = now.millis().saturating_sub(it.oldest.millis()) / 1000;
            lines.insert(labels, (it.recordings, seconds));
        }
        let counts = lines.iter().map(|(labels, (recordings, _))| (labels, recordings));
        gauge(text, "fonoteca_copies_waiting", "Recordings whose copies are not where they should be.", counts);
        let ages = lines.iter().map(|(labels, (_, seconds))| (labels, seconds));
        gauge(text, "fonoteca_copies_waiting_seconds", "How long the oldest of them has waited.", ages);
        Ok(())
    }

    async fn rotation(&self, text: &mut String) -> archive::Result<()> {
        let last = self.archive.find_last_run("rotation").await?.and_then(|run| run.finished_at);
        let line = [("", last.map_or(0, |at| at.millis() / 1000))];
        gauge(text, "fonoteca_rotation_finished_seconds", "When rotation last finished a run, in Unix time.", line);
        Ok(())
    }

    async fn usage(&self, text: &mut String) -> archive::Result<()> {
        let tiers = self.archive.list_tiers(Scope::Platform).await?;
        let tier_code = |id: TierId| tiers.iter().find(|tier| tier.id == id).map_or("none", |tier| &tier.code);
        let mut totals: BTreeMap<String, [u64; 3]> = BTreeMap::new();
        for store in self.archive.stores() {
            for tier in tiers.iter().map(|tier| tier.code.as_str()).chain(["none"]) {
                for class in UsageClass::ALL {
                    let labels = labels(&[("tier", tier), ("store", store.name()), ("class", class.as_str())]);
                    totals.insert(labels, [0; 3]);
                }
            }
        }
        for usage in self.archive.list_usage(Scope::Platform).await? {
            let store = self.archive.stores().iter().find(|store| store.id() == usage.store);
            let store = store.map_or("unknown", |store| store.name());
            let labels = labels(&[("tier", tier_code(usage.tier)), ("store", store), ("class", usage.class.as_str())]);
            let total = totals.entry(labels).or_default();
            total[0] += usage.recordings;
            total[1] += usage.stored_bytes;
            total[2] += usage.audio_ms;
        }
        let line = |n: usize| totals.iter().map(move |(labels, total)| (labels.clone(), total[n]));
        gauge(text, "fonoteca_recordings", "Recordings in a store.", line(0));
        gauge(text, "fonoteca_stored_bytes", "Bytes of recordings in a store.", line(1));
        let seconds = totals.iter().map(|(labels, total)| (labels.clone(), total[2] as f64 / 1000.0));
        gauge(text, "fonoteca_audio_seconds", "Playing time of recordings in a store.", seconds);
        Ok(())
    }
}

fn gauge<L: Display, N: Display>(text: &mut String, name: &str, help: &str, lines: impl IntoIterator<Item = (L, N)>) {
    write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n").expect("writing to a String cannot fail");
    for (labels, value) in lines {
        writeln!(text, "{name}{labels} {value}").expect("writing to a String cannot fail");
    }
}

/// `{name="value",…}`, escaped as the text format wants it.
fn labels(pairs: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        assert_eq!(labels(&[("a", "x"), ("b", "q\"\\\n")]), "{a=\"x\",b=\"q\\\"\\\\\\n\"}");
    }
}
