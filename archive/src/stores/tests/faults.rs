//! What servers and networks do wrong, and what is promised for each: tests are named by the rows of `tests/FAULTS.md`.

use super::*;
use crate::testing::{Call, Fault, FaultProxy, TestArchive};
use crate::{Archive, Delivered, Depth};

/// An archive whose recordings of the PBX `acme-lab` go into a bucket behind a proxy.
struct Faulty {
    t: TestArchive,
    proxy: FaultProxy,
}

impl Faulty {
    async fn start() -> Self {
        let (proxy, config) = behind_proxy(another_make(HeaderMap::new()).await).await;
        let t = TestArchive::start_with(vec![StoreConfig { name: "bucket".to_owned(), ..config }]).await;
        t.store_in("bucket").await;
        Self { t, proxy }
    }

    fn store(&self) -> Arc<Store> {
        Arc::clone(self.t.archive.store_named("bucket").unwrap())
    }

    /// Delivers a recording of so many bytes; where it fails, that it can be delivered once all is well again.
    async fn deliver(&self, call_ref: &str, length: usize) -> Result<Delivered> {
        let call = Call::new("acme-lab", call_ref, self.t.now(), &some_bytes(length));
        let delivery = self.t.delivery(self.t.spool(&call).await, &call).await;
        let outcome = self.t.archive.deliver(&delivery).await;
        if outcome.is_err() {
            self.proxy.mend();
            self.well_again().await;
            let again = self.t.archive.deliver(&delivery).await.unwrap();
            assert!(matches!(again, Delivered::Archived(_)), "{again:?}");
        }
        outcome
    }

    /// Until the store has been found well again.
    async fn well_again(&self) {
        let well = async {
            while self.store().state().down.is_some() || self.store().state().takes_nothing.is_some() {
                self.t.archive.watch_stores().await;
                self.store().health.forget_pauses();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), well).await.expect("the store is well again");
    }

    /// One object a recording, each as it was sent, and nothing else in the bucket.
    async fn finish(self, recordings: u64) {
        self.proxy.mend();
        self.well_again().await;
        while self.t.archive.sweep_objects(10).await.unwrap() > 0 {}
        let report = self.t.archive.verify(Depth::Deep).await.unwrap();
        assert_eq!((report.objects, report.findings), (recordings, vec![]));
        self.t.finish().await;
    }
}

const SMALL: usize = 10_000;
const LARGE: usize = PART_BYTES + 100_000;

#[tokio::test]
async fn fault_07_a_burst_of_500_and_slow_down_is_retried_within_a_bound() {
    let f = Faulty::start().await;
    f.proxy.fail("PUT", ".mp3", 1, Fault::Refuse(503, "SlowDown"));
    f.proxy.fail("PUT", ".mp3", 1, Fault::Refuse(500, "InternalError"));
    f.deliver("1", SMALL).await.unwrap();
    f.proxy.fail("PUT", "partNumber", 1, Fault::Refuse(503, "SlowDown"));
    f.proxy.fail("PUT", "partNumber", 1, Fault::Reset);
    f.deliver("2", LARGE).await.unwrap();
    // One that does not end fails, clearly, after as many repetitions as were allowed.
    f.proxy.take_seen();
    f.proxy.fail("PUT", ".mp3", usize::MAX, Fault::Refuse(503, "SlowDown"));
    let error = f.deliver("3", SMALL).await.unwrap_err();
    assert!(matches!(&error, Error::StoreUnavailable { trouble: Trouble::Unreachable, .. }), "{error}");
    assert!(error.to_string().contains("(SlowDown)") && error.is_transient(), "{error}");
    f.finish(3).await;
}

#[tokio::test]
async fn fault_08_an_answer_lost_after_the_server_did_it_is_success_and_one_object() {
    let f = Faulty::start().await;
    f.proxy.fail("PUT", ".mp3", 1, Fault::LoseAnswer);
    f.deliver("1", SMALL).await.unwrap();
    f.proxy.fail("PUT", "partNumber=1", 1, Fault::LoseAnswer);
    f.deliver("2", LARGE).await.unwrap();
    // The repetition of Complete finds no upload any longer: it is the object that tells.
    f.proxy.fail("POST", "uploadId", 1, Fault::LoseAnswer);
    f.deliver("3", LARGE).await.unwrap();
    assert_eq!(f.t.archive.sweep_objects(10).await.unwrap(), 0, "no second object was begun");
    f.finish(3).await;
}

#[tokio::test]
async fn fault_09_an_error_in_the_body_of_200_on_complete_is_a_failure() {
    let f = Faulty::start().await;
    // The codes that are repeated, and others.
    f.proxy.fail("POST", "uploadId", 1, Fault::FailInBody("InternalError"));
    f.deliver("1", LARGE).await.unwrap();
    f.proxy.fail("POST", "uploadId", usize::MAX, Fault::FailInBody("AccessDenied"));
    let error = f.deliver("2", LARGE).await.unwrap_err();
    assert!(matches!(error, Error::StoreUnavailable { .. }), "{error}");
    f.finish(2).await;
}

#[tokio::test]
async fn fault_11_expired_credentials_wait_with_one_clear_line_and_go_on_when_renewed() {
    let f = Faulty::start().await;
    for (n, (code, advice)) in [
        ("ExpiredToken", "renew them"),
        ("RequestTimeTooSkewed", "set this machine's clock"),
        ("NoSuchBucket", "does not exist"),
        ("AccessDenied", "may read, write, list and delete"),
    ]
    .into_iter()
    .enumerate()
    {
        f.proxy.take_seen();
        f.proxy.fail_always(Fault::Refuse(403, code));
        let error = f.deliver(&n.to_string(), SMALL).await.unwrap_err();
        let Error::StoreUnavailable { trouble, what, .. } = &error else { panic!("{error}") };
        assert_eq!(*trouble, Trouble::Refused, "{what}");
        assert!(what.contains(advice) && !what.contains('\n'), "{what}");
    }
    f.finish(4).await;
}

#[tokio::test]
async fn fault_12_what_a_listing_does_not_show_is_never_taken_for_deleted() {
    let f = Faulty::start().await;
    f.deliver("1", SMALL).await.unwrap();
    // An empty listing: the objects are asked for one by one, and are there.
    f.proxy.fail("GET", "list-type", usize::MAX, Fault::FailInBody("Empty"));
    let looked = f.t.archive.verify(Depth::Fast).await;
    assert!(looked.is_err() || looked.unwrap().findings.is_empty());
    // What is not there is asked for twice, and then it is a finding; nothing is removed or given up for it.
    for (answers, findings) in [(1, 0), (2, 1)] {
        f.proxy.mend();
        f.proxy.fail("HEAD", ".mp3", answers, Fault::Refuse(404, "NoSuchKey"));
        let report = f.t.archive.verify(Depth::Fast).await.unwrap();
        assert_eq!(report.findings.len(), findings, "{report:?}");
    }
    f.finish(1).await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_given_up_soon_and_costs_the_next_ones_nothing() {
    let f = Faulty::start().await;
    f.proxy.fail_always(Fault::Stall);
    let store = f.store();
    let (begun, mut asked) = (tokio::time::Instant::now(), 0);
    // Each look at it costs a stalled request, until it is known.
    while store.state().down.is_none() {
        f.t.archive.check_store(&store).await.unwrap_err();
        asked += 1;
    }
    assert!(asked <= 3 && begun.elapsed() < Duration::from_secs(40), "{asked} in {:?}", begun.elapsed());
    f.proxy.take_seen();
    for _ in 0..1000 {
        assert!(matches!(f.t.archive.check_store(&store).await, Err(Error::StoreUnavailable { .. })));
        assert!(store.size_of("a/b.mp3").await.is_err());
    }
    let seen = f.proxy.take_seen();
    assert!(seen.len() <= 1, "at most one probe: {seen:?}");
    f.finish(0).await;
}

#[tokio::test]
async fn a_server_that_does_not_know_conditional_puts_gets_a_plain_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path()).await;
    let proxy = FaultProxy::start(server.address).await;
    proxy.fail("PUT", marker::KEY, 1, Fault::Refuse(501, "NotImplemented"));
    let mut config = s3_store("tested", proxy.address);
    config.options.retain(|(key, _)| key != "max_retries");
    config.options.push(("max_retries".to_owned(), "0".to_owned()));
    let store = Store::open(store_id(), &config).unwrap();
    store.place_marker(CatalogueId::new(Instant::from_millis(1))).await.unwrap();
}

#[tokio::test]
async fn a_dead_store_stops_nothing_that_is_for_others_nor_a_start() {
    let f = Faulty::start().await;
    f.deliver("1", SMALL).await.unwrap();
    f.proxy.fail_always(Fault::Reset);
    f.t.archive.watch_stores().await;
    while f.store().state().down.is_none() {
        f.t.archive.watch_stores().await;
    }
    f.t.archive.watch_stores().await;
    // The tier `basic` stores on the disk.
    for n in 0..20 {
        let call = Call::new("acme", &format!("2.{n}"), f.t.now(), b"for the disk");
        f.t.record(&call).await;
    }
    let lacking = f.t.archive.check_ready().await.unwrap();
    assert_eq!(lacking.len(), 1, "{lacking:?}");
    // An instance that starts meanwhile does the same.
    let another: Arc<Archive> = f.t.open_again("test-2").await.unwrap();
    assert!(another.check_ready().await.unwrap()[0].to_string().contains("store bucket: "));
    another.close().await.unwrap();
    // Told once when it went, and once when it came back.
    f.proxy.mend();
    f.well_again().await;
    f.t.archive.watch_stores().await;
    f.t.archive.watch_stores().await;
    let events = f.t.archive.list_unsent_events(1000).await.unwrap();
    let mut told: Vec<&str> =
        events.iter().map(|it| it.event.as_str()).filter(|event| event.starts_with("store.")).collect();
    told.sort_unstable();
    assert_eq!(told, ["store.down", "store.up"]);
    let down = events.iter().find(|it| it.event == "store.down").unwrap();
    assert!(down.payload.contains("\"store\":\"bucket\"") && down.payload.contains("unreachable"), "{}", down.payload);
    f.finish(21).await;
}
