//! The suite that every kind of store must pass: on a disk, on an S3 server in this process, and on an S3 server of
//! another make, which `FONOTECA_TEST_S3` names (`make test` starts one).

use futures_util::TryStreamExt;
use object_store::signer::{HeaderMap, Method};

use super::put::PART_BYTES;
use super::*;
use crate::clock::Instant;
use crate::id::CatalogueId;
use crate::testing::{FaultProxy, S3Server, s3_store};

mod faults;
mod full;
mod hanging;
mod keeping;

/// A store for one test, and what keeps it alive.
struct TestStore {
    store: Store,
    directory: tempfile::TempDir,
    _server: Option<S3Server>,
}

fn config(url: String, options: &[(&str, &str)]) -> StoreConfig {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    StoreConfig { name: "tested".to_owned(), url, options }
}

fn store_id() -> StoreId {
    StoreId::new(Instant::from_millis(1))
}

async fn on_disk() -> TestStore {
    let directory = tempfile::tempdir().unwrap();
    let url = directory.path().join("store").display().to_string();
    let store = Store::open(store_id(), &config(url, &[])).unwrap();
    TestStore { store, directory, _server: None }
}

async fn on_s3() -> TestStore {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(&directory.path().join("s3")).await;
    let store = Store::open(store_id(), &s3_store("tested", server.address)).unwrap();
    TestStore { store, directory, _server: Some(server) }
}

async fn on_another_make() -> TestStore {
    let (config, directory) = (another_make(HeaderMap::new()).await, tempfile::tempdir().unwrap());
    TestStore { store: Store::open(store_id(), &config).unwrap(), directory, _server: None }
}

/// A store in a new bucket, made with these headers, on the server that `FONOTECA_TEST_S3` names:
/// `http://KEY:SECRET@HOST:PORT/REGION`.
async fn another_make(headers: HeaderMap) -> StoreConfig {
    let server = std::env::var("FONOTECA_TEST_S3")
        .expect("FONOTECA_TEST_S3 is not set: run the tests by `make test`, which starts an S3 server for them");
    let (key, rest) = server.trim_start_matches("http://").split_once(':').expect("KEY:SECRET@");
    let (secret, rest) = rest.split_once('@').expect("KEY:SECRET@");
    let (host, region) = rest.split_once('/').expect("HOST/REGION");
    let endpoint = format!("http://{host}");
    let options = [
        ("endpoint", endpoint.as_str()),
        ("region", region),
        ("access_key_id", key),
        ("secret_access_key", secret),
        ("allow_http", "true"),
    ];
    let bucket = format!("fonoteca-{:032x}", rand::random::<u128>());
    let config = config(format!("s3://{bucket}/archive"), &options);
    let made = Bucket::open(&config, &Settings::read(&config).unwrap()).unwrap();
    let made = made.send(Method::PUT, &Key::default(), &[], headers, Bytes::new()).await.unwrap();
    assert!(made.is_success(), "make a bucket: {made:?}");
    config
}

/// The same store behind a proxy; it gives up soon.
async fn behind_proxy(config: StoreConfig) -> (FaultProxy, StoreConfig) {
    let endpoint = config.options.iter().find(|(key, _)| key == "endpoint").unwrap().1.clone();
    let server = endpoint.trim_start_matches("http://").parse().expect("an address and a port");
    let proxy = FaultProxy::start(server).await;
    let mut options = s3_store("any", proxy.address).options;
    options.retain(|(key, _)| key == "endpoint" || !config.options.iter().any(|(given, _)| given == key));
    options.extend(config.options.into_iter().filter(|(key, _)| key != "endpoint"));
    (proxy, StoreConfig { options, ..config })
}

impl TestStore {
    async fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.directory.path().join("to-put");
        std::fs::write(&path, bytes).unwrap();
        self.store.put_file(key, &path, bytes.len() as u64, Sha256::of(bytes)).await
    }

    async fn get(&self, key: &str, offset: u64, length: Option<u64>) -> Result<Vec<u8>> {
        let blocks: Vec<Bytes> = self.store.read(key, offset, length).await?.try_collect().await?;
        Ok(blocks.concat())
    }
}

fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + n / 251) as u8).collect()
}

async fn what_is_put_reads_back_whole_and_in_parts(t: TestStore) {
    let large = PART_BYTES * 2 + 12_345;
    for length in [1, 1000, 300_000, large] {
        let (key, bytes) = (format!("tenant/pbx/2026/11/21/{length}.mp3"), some_bytes(length));
        t.put(&key, &bytes).await.unwrap();
        assert_eq!(t.store.size_of(&key).await.unwrap(), Some(length as u64));
        assert_eq!(t.store.hash_of(&key).await.unwrap(), (Sha256::of(&bytes), length as u64));
        let end = length as u64;
        for (offset, count) in [(0, end), (0, 1), (end - 1, 1), (end / 2, end - end / 2), (0, 0)] {
            let part = t.get(&key, offset, Some(count)).await.unwrap();
            assert_eq!(part, bytes[offset as usize..(offset + count) as usize], "{count} bytes from {offset}");
        }
        assert_eq!(t.get(&key, end / 3, None).await.unwrap(), bytes[length / 3..]);
    }
}

async fn what_changed_on_the_way_is_refused(t: TestStore) {
    let path = t.directory.path().join("to-put");
    std::fs::write(&path, b"not what was hashed").unwrap();
    for (size, hash) in [(19, Sha256::of(b"what was hashed")), (18, Sha256::of(b"not what was hashed"))] {
        let error = t.store.put_file("a/b.mp3", &path, size, hash).await.unwrap_err();
        assert!(matches!(error, Error::Integrity { .. }), "{error}");
        assert!(!error.is_transient());
    }
}

async fn what_is_removed_is_gone_and_removing_it_again_is_fine(t: TestStore) {
    t.put("a/b/c.mp3", b"bytes").await.unwrap();
    t.store.remove("a/b/c.mp3").await.unwrap();
    assert_eq!(t.store.size_of("a/b/c.mp3").await.unwrap(), None);
    assert!(t.get("a/b/c.mp3", 0, None).await.is_err());
    t.store.remove("a/b/c.mp3").await.unwrap();
}

async fn the_list_has_every_object_and_not_the_marker(t: TestStore) {
    t.store.place_marker(CatalogueId::new(Instant::from_millis(1))).await.unwrap();
    let keys: Vec<String> = (0..30).map(|n| format!("t/{}/{n:02}.opus", n % 3)).collect();
    for key in &keys {
        t.put(key, key.as_bytes()).await.unwrap();
    }
    let mut listed: Vec<(String, u64)> = t.store.list().try_collect().await.unwrap();
    listed.sort();
    let mut expected: Vec<(String, u64)> = keys.iter().map(|key| (key.clone(), key.len() as u64)).collect();
    expected.sort();
    assert_eq!(listed, expected);
}

async fn what_lies_beside_the_objects_is_never_taken_for_one(t: TestStore) {
    let at = Instant::from_millis(1);
    let (lost, restored) = (CatalogueId::new(at), CatalogueId::new(at));
    t.store.place_marker(lost).await.unwrap();
    let prefix = format!("catalogue/{lost}/journal/holds/");
    assert_eq!(t.store.list_keys(&prefix).await.unwrap(), Vec::<String>::new(), "nothing is there yet");
    let key = format!("{prefix}2026/11/21/one.jsonl");
    t.store.put_bytes(&key, b"entries".to_vec()).await.unwrap();
    t.store.put_bytes(&key, b"entries".to_vec()).await.unwrap();
    assert_eq!(t.store.read_bytes(&key).await.unwrap().as_deref(), Some(&b"entries"[..]));
    t.put("a/b.mp3", b"whose?").await.unwrap();
    t.store.copy("a/b.mp3", "orphans/a/b.mp3").await.unwrap();
    assert_eq!(t.get("orphans/a/b.mp3", 0, None).await.unwrap(), b"whose?");
    let listed: Vec<_> = t.store.list().try_collect().await.unwrap();
    assert_eq!(listed, [("a/b.mp3".to_owned(), 6)]);
    assert_eq!(t.store.list_keys(&prefix).await.unwrap(), [key]);
    // Only a restore does it: from then on the lost catalogue is refused.
    t.store.take_over_marker(restored).await.unwrap();
    t.store.check_marker(restored).await.unwrap();
    assert!(matches!(t.store.check_marker(lost).await, Err(Error::Marker { .. })));
    assert_eq!(t.store.read_marker().await.unwrap().unwrap().catalogue, restored);
}

async fn a_marker_of_another_catalogue_is_refused(t: TestStore) {
    let at = Instant::from_millis(1);
    let ours = CatalogueId::new(at);
    t.store.place_marker(ours).await.unwrap();
    t.store.check_marker(ours).await.unwrap();
    assert!(matches!(t.store.place_marker(CatalogueId::new(at)).await, Err(Error::Marker { .. })));
    t.store.remove(marker::KEY).await.unwrap();
    assert!(matches!(t.store.check_marker(ours).await, Err(Error::Marker { .. })));
}

macro_rules! store_suite {
    ($($case:ident),+ $(,)?) => {
        mod disk {$(
            #[tokio::test]
            async fn $case() {
                super::$case(super::on_disk().await).await;
            }
        )+}
        mod s3 {$(
            #[tokio::test]
            async fn $case() {
                super::$case(super::on_s3().await).await;
            }
        )+}
        mod s3_of_another_make {$(
            #[tokio::test]
            async fn $case() {
                super::$case(super::on_another_make().await).await;
            }
        )+}
    };
}

store_suite!(
    what_is_put_reads_back_whole_and_in_parts,
    what_changed_on_the_way_is_refused,
    what_is_removed_is_gone_and_removing_it_again_is_fine,
    the_list_has_every_object_and_not_the_marker,
    what_lies_beside_the_objects_is_never_taken_for_one,
    a_marker_of_another_catalogue_is_refused,
);

#[tokio::test]
async fn wrong_credentials_a_missing_bucket_and_no_server_are_told_apart_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path()).await;
    let good = s3_store("tested", server.address);
    let with = |key: &str, value: &str| {
        let mut config = good.clone();
        config.options.retain(|(name, _)| name != key);
        config.options.push((key.to_owned(), value.to_owned()));
        config
    };
    // The server in this process makes any bucket that it is asked for.
    let missing = StoreConfig { url: "s3://no-such-bucket".to_owned(), ..another_make(HeaderMap::new()).await };
    for (config, trouble, advice) in [
        (with("secret_access_key", "wrong"), Trouble::Refused, "check access_key_id and secret_access_key"),
        (with("access_key_id", "stranger"), Trouble::Refused, "check access_key_id and secret_access_key"),
        (missing, Trouble::Refused, "the bucket does not exist"),
        (with("endpoint", "http://127.0.0.1:1"), Trouble::Unreachable, "cannot be reached"),
    ] {
        let store = Store::open(store_id(), &config).unwrap();
        let error = store.place_marker(CatalogueId::new(Instant::from_millis(1))).await.unwrap_err();
        let Error::StoreUnavailable { trouble: found, what, .. } = &error else { panic!("{error}") };
        assert_eq!(*found, trouble, "{what}");
        assert!(what.contains(advice) && !what.contains('\n'), "{what}");
        assert!(!what.contains("secret\"") && !what.contains("wrong"), "{what}");
    }
}

#[tokio::test]
async fn credentials_that_change_in_their_file_are_used_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(&directory.path().join("s3")).await;
    let file = directory.path().join("secret");
    std::fs::write(&file, "not yet\n").unwrap();
    let mut config = s3_store("tested", server.address);
    config.options.retain(|(key, _)| key != "secret_access_key");
    config.options.push(("secret_access_key".to_owned(), format!("file:{}", file.display())));
    let store = Store::open(store_id(), &config).unwrap();
    assert!(store.size_of("a/b.mp3").await.is_err());
    std::fs::write(&file, "secret\n").unwrap();
    assert_eq!(store.size_of("a/b.mp3").await.unwrap(), None);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let complaint = Store::open(store_id(), &config("/proc/nowhere".to_owned(), &[])).unwrap_err().to_string();
    assert!(complaint.contains("/proc/nowhere"), "{complaint}");
}

#[tokio::test]
async fn what_a_put_that_was_cut_off_left_on_a_disk_goes_with_its_object() {
    let t = on_disk().await;
    let unfinished = t.directory.path().join("store/a/b.mp3#1");
    std::fs::create_dir_all(unfinished.parent().unwrap()).unwrap();
    std::fs::write(&unfinished, b"half").unwrap();
    t.store.remove("a/b.mp3").await.unwrap();
    assert!(!unfinished.exists());
    t.store.remove("a/b.mp3").await.unwrap();
}
