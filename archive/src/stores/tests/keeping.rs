//! Buckets that keep more than they are told to: versions, locks, uploads that nobody finished. On the server of another
//! make: the one in this process has none of these.

use object_store::signer::HeaderValue;

use super::*;
use crate::db::params;
use crate::testing::{Call, Fault, FaultProxy, TestArchive};
use crate::{ObjectId, RecordingId};

struct Keeping {
    t: TestArchive,
    bucket: Bucket,
}

impl Keeping {
    async fn start(more: &[(&str, &str)]) -> Self {
        let mut config = another_make(HeaderMap::new()).await;
        config.options.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        Self::start_in(config).await
    }

    /// In a bucket with Object Lock.
    async fn start_locked() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-bucket-object-lock-enabled", HeaderValue::from_static("true"));
        Self::start_in(another_make(headers).await).await
    }

    async fn start_in(config: StoreConfig) -> Self {
        let config = StoreConfig { name: "bucket".to_owned(), ..config };
        let bucket = bucket_of(&config);
        let t = TestArchive::start_with(vec![config]).await;
        t.store_in("bucket").await;
        Self { t, bucket }
    }

    async fn keep_versions(&self) {
        let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                    <Status>Enabled</Status></VersioningConfiguration>";
        configure(&self.bucket, "versioning", body).await;
    }

    fn store(&self) -> Arc<Store> {
        Arc::clone(self.t.archive.store_named("bucket").unwrap())
    }

    /// How many versions and delete markers the bucket has of recordings.
    async fn count_versions(&self) -> usize {
        let answer = self.bucket.ask(Method::GET, &Key::default(), &[("versions", "")]).await.unwrap();
        let of_recordings = |element| {
            xml::elements(&answer.body, element)
                .filter(|entry| !xml::text_of(entry, "Key").unwrap().ends_with(marker::KEY))
                .count()
        };
        of_recordings("Version") + of_recordings("DeleteMarker")
    }
}

fn bucket_of(config: &StoreConfig) -> Bucket {
    Bucket::open(config, &Settings::read(config).unwrap()).unwrap()
}

async fn configure(bucket: &Bucket, what: &str, body: &'static str) {
    let body = Bytes::from_static(body.as_bytes());
    let answer = bucket.send(Method::PUT, &Key::default(), &[(what, "")], HeaderMap::new(), body).await;
    assert!(answer.as_ref().is_ok_and(|it| it.is_success()), "{answer:?}");
}

#[tokio::test]
async fn what_is_removed_from_a_bucket_that_keeps_versions_is_gone_in_every_version() {
    let k = Keeping::start(&[]).await;
    assert_eq!(k.store().find_note().await, None, "a plain bucket needs no word");
    k.keep_versions().await;
    let note = k.store().find_note().await.unwrap();
    assert!(note.contains("\"bucket\": the bucket keeps versions: each is removed"), "{note}");
    let path = k.t.directory.path().join("to-put");
    std::fs::write(&path, b"bytes").unwrap();
    for _ in 0..2 {
        k.store().put_file("a/b.mp3", &path, 5, Sha256::of(b"bytes")).await.unwrap();
    }
    k.store().put_file("a/b.mp3.other", &path, 5, Sha256::of(b"bytes")).await.unwrap();
    assert_eq!(k.count_versions().await, 3);
    k.store().remove("a/b.mp3").await.unwrap();
    assert_eq!(k.count_versions().await, 1, "and nothing but its own versions");
    k.store().remove("a/b.mp3").await.unwrap();
    k.store().remove("a/b.mp3.other").await.unwrap();
    k.t.finish().await;
}

#[tokio::test]
async fn a_bucket_that_may_not_be_asked_tells_by_its_first_put_that_it_keeps_versions() {
    let config = another_make(HeaderMap::new()).await;
    let (proxy, config) = behind_proxy(config).await;
    let k = Keeping::start_in(config).await;
    k.keep_versions().await;
    proxy.fail("GET", "versioning", usize::MAX, Fault::Refuse(403, "AccessDenied"));
    let note = k.store().find_note().await.unwrap();
    assert!(note.contains("cannot tell") && note.contains("s3:GetBucketVersioning"), "{note}");
    let path = k.t.directory.path().join("to-put");
    std::fs::write(&path, b"bytes").unwrap();
    k.store().put_file("a/b.mp3", &path, 5, Sha256::of(b"bytes")).await.unwrap();
    k.store().remove("a/b.mp3").await.unwrap();
    assert_eq!(k.count_versions().await, 0);
    k.t.finish().await;
}

#[tokio::test]
async fn versions_that_the_operator_answers_for_are_left_to_the_bucket() {
    let k = Keeping::start(&[("versions", "keep")]).await;
    k.keep_versions().await;
    let note = k.store().find_note().await.unwrap();
    assert!(note.contains("versions = \"keep\""), "{note}");
    let path = k.t.directory.path().join("to-put");
    std::fs::write(&path, b"bytes").unwrap();
    k.store().put_file("a/b.mp3", &path, 5, Sha256::of(b"bytes")).await.unwrap();
    k.store().remove("a/b.mp3").await.unwrap();
    assert_eq!(k.store().size_of("a/b.mp3").await.unwrap(), None);
    assert_eq!(k.count_versions().await, 2, "the version and its delete marker");
    k.t.finish().await;
}

#[tokio::test]
async fn a_bucket_with_object_lock_takes_recordings_and_purging_waits_for_the_lock() {
    let k = Keeping::start_locked().await;
    let note = k.store().find_note().await.unwrap();
    assert!(note.contains("Object Lock (no default retention)") && note.contains("until its lock ends"), "{note}");
    for (call_ref, length) in [("1", 1000), ("2", PART_BYTES + 1000)] {
        let call = Call::new("acme-lab", call_ref, k.t.now(), &some_bytes(length));
        let id = k.t.record(&call).await;
        let row = k.t.archive.db.fetch_one("SELECT key FROM objects WHERE recording_id = $1", params![id]).await;
        let key: String = row.unwrap().get("key").unwrap();
        let lock = "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>COMPLIANCE</Mode>\
                    <RetainUntilDate>2199-01-01T00:00:00Z</RetainUntilDate></Retention>";
        let (full, body) = (k.bucket.full(&parse_key(&key).unwrap()), Bytes::from_static(lock.as_bytes()));
        let locked = k.bucket.send(Method::PUT, &full, &[("retention", "")], HeaderMap::new(), body).await.unwrap();
        assert!(locked.is_success(), "{locked:?}");
        let error = k.store().remove(&key).await.unwrap_err();
        assert!(error.to_string().contains("AccessDenied"), "{error}");
        assert_eq!(k.store().size_of(&key).await.unwrap(), Some(length as u64), "it is still there, and not hidden");
    }
    // What one object's lock forbids is no trouble of the store.
    assert_eq!(k.store().state().down, None);
    k.t.finish().await;
}

#[tokio::test]
async fn fault_10_an_unfinished_upload_of_ours_is_ended_in_time_and_no_other() {
    let k = Keeping::start(&[("unfinished_after", "24 h")]).await;
    let begin = async |key: &str| {
        let key = k.bucket.full(&parse_key(key).unwrap());
        let answer = k.bucket.ask(Method::POST, &key, &[("uploads", "")]).await.unwrap();
        assert!(answer.is_success(), "{answer:?}");
    };
    let count = async || {
        let answer = k.bucket.ask(Method::GET, &Key::default(), &[("uploads", "")]).await.unwrap();
        xml::elements(&answer.body, "Upload").count()
    };
    // One that a crash left, one whose object is being written, and somebody else's.
    let at = Instant::from_millis(1);
    let (recording, left, written) = (RecordingId::new(at), ObjectId::new(at), ObjectId::new(at));
    begin(&format!("{recording}/{recording}/2026/01/01/{recording}-{left}.mp3")).await;
    let key = format!("{recording}/{recording}/2026/01/01/{recording}-{written}.mp3");
    begin(&key).await;
    begin("somebody/elses.tar").await;
    // By the server's own clock, whatever that shows.
    let begun_at = k.store().list_unfinished().await.unwrap().iter().map(|it| it.begun_at).max().unwrap();
    let after = |hours: u64| begun_at.plus(Duration::from_secs(hours * 3600));
    let until = after(1000);
    let sql = "INSERT INTO objects (id, recording_id, store_id, key, size_bytes, sha256, encoding, state, created_at,
                   lease_until)
               VALUES ($1, $2, $3, $4, 1, $5, 'identity', 'writing', 1, $6)";
    let hash = Sha256::of(b"x");
    let params = params![written, recording, k.store().id(), &key, hash, until];
    k.t.archive.db.execute(sql, params).await.unwrap();
    assert_eq!(k.t.archive.sweep_uploads_at(&k.store(), after(23)).await.unwrap(), 0, "none is old enough");
    assert_eq!(count().await, 3);
    // Usage knows none of their bytes.
    let usage = k.t.archive.list_usage(crate::Scope::Platform).await.unwrap();
    assert_eq!(usage.iter().map(|it| it.stored_bytes).sum::<u64>(), 0);
    assert_eq!(k.t.archive.sweep_uploads_at(&k.store(), after(25)).await.unwrap(), 1);
    assert_eq!(count().await, 2);
    k.t.sabotage("DELETE FROM objects WHERE state = 'writing'").await;
    assert_eq!(k.t.archive.sweep_uploads_at(&k.store(), after(25)).await.unwrap(), 1);
    assert_eq!(count().await, 1, "somebody else's stays");
    k.t.finish().await;
}

#[tokio::test]
async fn every_put_carries_checksum_encryption_and_storage_class_as_they_are_configured() {
    for (options, expected) in [
        (vec![], vec!["x-amz-checksum-sha256: "]),
        (
            vec![("storage_class", "STANDARD_IA"), ("server_side_encryption", "AES256")],
            vec!["x-amz-storage-class: standard_ia", "x-amz-server-side-encryption: aes256", "x-amz-checksum-sha256: "],
        ),
        (
            vec![
                ("server_side_encryption", "aws:kms"),
                ("sse_kms_key_id", "a-key"),
                ("checksum_algorithm", "crc64nvme"),
            ],
            vec![
                "x-amz-server-side-encryption: aws:kms",
                "x-amz-server-side-encryption-aws-kms-key-id: a-key",
                "x-amz-checksum-crc64nvme: ",
            ],
        ),
        (
            vec![
                ("server_side_encryption", "sse-c"),
                ("sse_customer_key_base64", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
                ("checksum_algorithm", "none"),
            ],
            vec!["x-amz-server-side-encryption-customer-algorithm: aes256"],
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let server = S3Server::start(&directory.path().join("s3")).await;
        let proxy = FaultProxy::start(server.address).await;
        let mut config = s3_store("tested", proxy.address);
        config.options.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let store = Store::open(store_id(), &config).unwrap();
        let path = directory.path().join("to-put");
        std::fs::write(&path, b"bytes").unwrap();
        // Whether this server can do it all does not matter: what is asked of it does.
        let _ = store.put_file("a/b.mp3", &path, 5, Sha256::of(b"bytes")).await;
        let heads = proxy.take_heads();
        let put = heads.iter().find(|head| head.starts_with("put ")).expect("a put");
        for header in &expected {
            assert!(put.contains(header), "{header} with {options:?}: {put}");
        }
        let checksummed = put.contains("x-amz-checksum-");
        assert_eq!(checksummed, !options.contains(&("checksum_algorithm", "none")), "{put}");
    }
}
