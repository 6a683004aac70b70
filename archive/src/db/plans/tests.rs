//! Every statement that pages, claims or counts, at size: by an index, in order, and at a cost in proportion to what it
//! answers; page 1,000 like page 1.

use std::time::Duration;

use super::grown::{BEGINNING, TENANTS, grow, id_of};
use super::*;
use crate::testing::TestArchive;
use crate::{
    AuditId, CoreServerId, Cursor, Direction, ExpiryReason, Instant, Level, Order, PbxId, PurgeRound, RecordingId,
    ResellerId, RunId, Scope, ScrubRound, Search, SourceId, SourceState, TenantId,
};

const PAGE: u32 = 50;
/// Statements that look at everything there is of something small: what waits, the platform's own lists.
const SMALL: [&str; 10] =
    ["holds", "pbxs", "tenants", "tiers", "leases", "stores", "core_servers", "usage", "restores", "orphans"];

/// Its name, how many rows are looked at for one that fits, and how a search asks for it.
type Filter = (&'static str, u64, fn(&mut Search, Instant));

struct Grown {
    t: TestArchive,
    recordings: u64,
    /// What costs too much, all of it.
    dear: RefCell<Vec<String>>,
}

fn at(n: u64) -> Instant {
    Instant::from_millis(BEGINNING + n as i64 * 1000)
}

fn of<T>(from_slice: fn(&[u8]) -> Option<T>, n: u64) -> T {
    from_slice(&id_of(n)).unwrap()
}

impl Grown {
    /// Runs the work, explains what it ran, and holds that against `rows`: what may be read, beside a few for the way.
    async fn costs<T>(&self, what: &str, rows: u64, sorts: bool, work: impl Future<Output = crate::Result<T>>) -> T {
        // Boxed: some are large.
        let (done, statements) = noting(Box::pin(work)).await;
        let done = done.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!statements.is_empty(), "{what} asked nothing");
        for (sql, params) in statements {
            if sql.contains("julianday") || sql.contains("clock_timestamp") {
                continue;
            }
            let plan = explain(&self.t.archive.db, &sql, params).await.unwrap();
            let text =
                || format!("{what}: {sql}\n{}", plan.lines.iter().take(20).cloned().collect::<Vec<_>>().join("\n"));
            let whole = plan.whole_tables();
            let large = whole.iter().any(|line| !SMALL.iter().any(|small| line.contains(&format!(" {small}"))));
            // A table of a few pages is read whole on PostgreSQL, and rightly so.
            if large && !(self.t.archive.engine() == "postgres" && plan.rows_read < 500) {
                self.dear.borrow_mut().push(format!("reads a table whole: {}", text()));
            }
            if plan.sorts() && !sorts {
                self.dear.borrow_mut().push(format!("sorts: {}", text()));
            }
            // Rows beside one another on a page cost less than fewer ones far apart.
            let read = plan.rows_read.min(plan.buffers);
            if read > 2 * rows + 100 {
                self.dear.borrow_mut().push(format!("reads {read} rows or pages for {rows}: {}", text()));
            }
        }
        done
    }

    fn scopes(&self) -> [(&'static str, Scope); 5] {
        [
            ("platform", Scope::Platform),
            ("reseller", Scope::Reseller(of(ResellerId::from_slice, 0))),
            ("large tenant", Scope::Tenant(of(TenantId::from_slice, 0))),
            ("small tenant", Scope::Tenant(of(TenantId::from_slice, 77))),
            ("PBX", Scope::Pbx(of(PbxId::from_slice, 77 * 4 + 1))),
        ]
    }

    /// Every combination of filters, in every scope: by an index, in order; a page that is full costs a page.
    async fn searches(&self, at_most: u32) {
        let middle = self.recordings / 2;
        let filters: [Filter; 8] = [
            ("pbx", 1, |it, _| it.pbx = PbxId::from_slice(&id_of(77 * 4 + 1))),
            ("core server", 8, |it, _| it.core_server = CoreServerId::from_slice(&id_of(3))),
            ("time", 1, |it, at| (it.from, it.until) = (Some(at.minus(Duration::from_secs(1 << 40))), Some(at))),
            ("number", 1, |it, _| it.number = Some("107".to_owned())),
            ("callee", 1, |it, _| it.callee = Some("+49104729".to_owned())),
            ("call", 1, |it, _| it.call_ref = Some("call-5000".to_owned())),
            ("direction", 3, |it, _| it.direction = Some(Direction::In)),
            ("duration", 2, |it, _| it.min_duration_ms = Some(300_000)),
        ];
        for (scope_name, scope) in self.scopes() {
            for combination in 0..1_u32 << filters.len() {
                if combination.count_ones() > at_most {
                    continue;
                }
                let (mut search, mut name, mut factor) = (Search::default(), scope_name.to_owned(), 1);
                for (n, (filter, looked_at, set)) in filters.iter().enumerate() {
                    if combination & (1 << n) != 0 {
                        set(&mut search, at(middle));
                        name += &format!(", {filter}");
                        factor *= looked_at;
                    }
                }
                if combination.count_ones() % 2 == 1 {
                    search.order = Order::OldestFirst;
                }
                self.search(&name, scope, &search, factor).await;
            }
        }
    }

    async fn search(&self, name: &str, scope: Scope, search: &Search, factor: u64) {
        let archive = &self.t.archive;
        // An arm looks one row ahead.
        let arms = if matches!(scope, Scope::Reseller(_)) { u64::from(TENANTS) / 2 } else { 2 };
        let by_number = search.number.is_some() || search.callee.is_some();
        // The whole platform's recordings of one number, and the few of one call, are sorted.
        let sorts = by_number && scope == Scope::Platform || search.call_ref.is_some();
        // Numbers are found in a tenant; its PBXs share them.
        let shared = if by_number && (search.pbx.is_some() || matches!(scope, Scope::Pbx(_))) { 4 } else { 1 };
        let (found, _) = noting(archive.search(scope, search, None, PAGE)).await;
        let found = found.unwrap();
        // A page that is not full has looked at all that its index has: how much that is, is the data's affair.
        let rows = match found.next {
            Some(_) if !sorts => (u64::from(PAGE) + arms) * factor * shared,
            _ => self.recordings,
        };
        let first = self.costs(name, rows, sorts, archive.search(scope, search, None, PAGE)).await;
        if first.next.is_some() && !sorts {
            // Far behind, the same.
            let middle = Some(Cursor::at(at(self.recordings / 2), of(RecordingId::from_slice, 0)));
            let page = archive.search(scope, search, middle, PAGE).await.unwrap();
            assert!(!page.items.is_empty() || search.from.is_some(), "{name}: the data goes on there");
            let rows = if page.next.is_some() { rows } else { self.recordings };
            let deep = archive.search(scope, search, middle, PAGE);
            self.costs(&format!("{name}, far behind"), rows, sorts, deep).await;
        }
    }

    async fn folders(&self) {
        let (archive, pbx) = (&self.t.archive, Scope::Pbx(of(PbxId::from_slice, 77 * 4 + 1)));
        let (from, until) = (at(self.recordings / 2), at(self.recordings));
        self.costs("FTP folder", 1, false, archive.has_recordings(pbx, from, until)).await;
        let listing = Search { from: Some(from), until: Some(until), order: Order::OldestFirst, ..Search::default() };
        self.costs("FTP listing", u64::from(PAGE), false, archive.search(pbx, &listing, None, PAGE)).await;
        let id = archive.search(pbx, &listing, None, 1).await.unwrap().items[0].id;
        self.costs("FTP path", 1, false, archive.get_recording(pbx, id)).await;
    }

    async fn work(&self) {
        let (archive, page) = (&self.t.archive, u64::from(PAGE));
        let server: CoreServerId = of(CoreServerId::from_slice, 0);
        let lease = Duration::from_secs(60);
        // A short queue may be sorted: a few hundred rows are one page or two.
        self.costs("claim", 20 * page, false, archive.claim_sources(server, lease, PAGE)).await;
        self.costs("claim spooled", 20 * page, false, archive.claim_spooled_sources(server, lease, PAGE)).await;
        let paths: Vec<_> = (0..100).map(|n| format!("no/{n}").into()).collect();
        self.costs("known sources", 200, false, archive.list_known_sources(server, &paths)).await;
        self.costs("sources to remove", 3 * page, false, archive.list_sources_to_remove(server, PAGE)).await;
        // What lies in landing zones is bounded by their budget.
        let spooled = self.recordings / 1000;
        self.costs("own spool", spooled, false, archive.list_spooled_here()).await;
        self.costs("reclaim", spooled, false, archive.reclaim_spooled(server, lease, lease)).await;
        for state in [SourceState::Discovered, SourceState::Spooled, SourceState::Quarantined] {
            let after: SourceId = of(SourceId::from_slice, 0);
            self.costs("sources", page, false, archive.list_sources(state, PAGE)).await;
            self.costs("sources after", page, false, archive.list_sources_after(state, after, PAGE)).await;
        }
        // What waits is counted, and nothing else.
        self.costs("what waits", self.recordings / 200, true, archive.list_waiting()).await;
    }

    async fn leaving(&self) {
        let (archive, page) = (&self.t.archive, u64::from(PAGE));
        let (tenant, pbx): (TenantId, PbxId) = (of(TenantId::from_slice, 77), of(PbxId::from_slice, 77 * 4 + 1));
        let end = at(10 * self.recordings);
        let ever = at(0)..end;
        for (what, before) in [("due by days", at(self.recordings / 2)), ("quota order", end)] {
            // Each with its objects.
            let first =
                self.costs(what, 3 * page, false, archive.list_expirable(pbx, before, ever.clone(), None, PAGE)).await;
            let last = first.last().unwrap();
            let after = Some((last.retain_from, last.id));
            self.costs(what, 3 * page, false, archive.list_expirable(pbx, before, ever.clone(), after, PAGE)).await;
        }
        let mut round = PurgeRound::default();
        let (found, statements) = noting(archive.purge_batch(&mut round, 0)).await;
        found.unwrap();
        assert_eq!(statements.len(), 2, "whether it may, and what is due");
        let mut round = PurgeRound::default();
        self.costs("purge batch", 0, false, archive.purge_batch(&mut round, 0)).await;
        let mut round = ScrubRound::through(archive.stores()[0].id());
        self.costs("scrub", 0, false, archive.scrub_batch(&mut round, end, 0, 1)).await;
        self.costs("health", 10, true, archive.list_store_health()).await;
        self.costs("sweep", self.recordings / 10_000, false, archive.sweep_objects(0)).await;
        let ids = [of(RecordingId::from_slice, 0)];
        let expired = archive.expire(tenant, pbx, &ids, end, ExpiryReason::Days, Duration::ZERO);
        self.costs("expire", 10, false, expired).await;
        // The totals that a plan shows count what is in its grace period, and nothing else.
        self.costs("what a purge would take", self.recordings / 100, false, archive.count_purgeable()).await;
    }

    async fn records(&self) {
        let (archive, page) = (&self.t.archive, u64::from(PAGE));
        self.costs("outbox", page, false, archive.list_unsent_events(PAGE)).await;
        for (name, scope) in self.scopes() {
            let what = format!("audit of {name}");
            let rows = page + u64::from(TENANTS) / 2;
            self.costs(&what, rows, false, archive.list_audit(scope, None, PAGE)).await;
            let before = AuditId::first_of(at(self.recordings / 20));
            self.costs(&format!("{what}, far behind"), rows, false, archive.list_audit(scope, Some(before), PAGE))
                .await;
            let usage = if scope == Scope::Platform { 4 * u64::from(TENANTS) } else { u64::from(TENANTS) };
            self.costs(&format!("usage of {name}"), usage, true, archive.list_usage(scope)).await;
        }
        self.costs("quota", 4, false, archive.kept_by(Level::Pbx(of(PbxId::from_slice, 9)))).await;
        self.costs("last run", 1, false, archive.find_last_run("rotation-refused")).await;
        let before = RunId::first_of(at(self.recordings));
        self.costs("runs", page, false, archive.list_runs(Scope::Platform, "rotation", Some(before), PAGE)).await;
        self.costs("seal", 1100, false, archive.seal_audit()).await;
    }
}

/// With so many recordings, and every combination of at most so many filters.
async fn every_statement_costs_what_it_answers(t: TestArchive, recordings: u64, filters: u32) {
    grow(&t, recordings).await;
    let grown = Grown { t, recordings, dear: RefCell::default() };
    grown.searches(filters).await;
    grown.folders().await;
    Box::pin(grown.work()).await;
    Box::pin(grown.leaving()).await;
    Box::pin(grown.records()).await;
    let dear = grown.dear.into_inner();
    let first = dear.iter().take(10).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(dear.is_empty(), "{} statements cost too much, such as\n{first}", dear.len());
}

/// How many recordings, and how many filters at a time. `make test-all` asks for as many as a platform keeps, which takes
/// many minutes and gigabytes.
fn size(of_a_platform: u64) -> (u64, u32) {
    match std::env::var_os("FONOTECA_TEST_AS_MANY_AS_A_PLATFORM_KEEPS") {
        Some(_) => (of_a_platform, 8),
        None => (200_000, 2),
    }
}

#[tokio::test]
async fn every_statement_costs_what_it_answers_on_postgres() {
    let (recordings, filters) = size(10_000_000);
    every_statement_costs_what_it_answers(TestArchive::start_on_postgres().await, recordings, filters).await;
}

#[tokio::test]
async fn every_statement_costs_what_it_answers_on_sqlite() {
    let (recordings, filters) = size(1_000_000);
    every_statement_costs_what_it_answers(TestArchive::start().await, recordings, filters).await;
}
