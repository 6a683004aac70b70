//! The marker: an object that says which store this is and whose, so that an unmounted disk or a restored copy of the
//! catalogue never writes into, or purges, a store that is not its own.

use std::sync::atomic::{AtomicU64, Ordering};

use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::health::For;
use super::{Store, Trouble, parse_key};
use crate::error::{Error, Result};
use crate::id::{CatalogueId, StoreId};

/// Where the marker lies.
pub(super) const KEY: &str = "fonoteca-store.txt";

const FOREIGN: &str = "its marker belongs to another store or another catalogue";

fn marker(store: StoreId, catalogue: CatalogueId) -> String {
    format!("fonoteca store\nstore {store}\ncatalogue {catalogue}\n")
}

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marked {
    pub(crate) store: StoreId,
    pub(crate) catalogue: CatalogueId,
}

/// The looks at a store's marker, one at a time.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// How many have begun.
    begun: AtomicU64,
    /// The number of the last one that has ended, and what it found.
    last: tokio::sync::Mutex<Option<(u64, Found)>>,
}

/// What a look found, for the others who wait for it.
#[derive(Debug)]
enum Found {
    Ours,
    Wrong(String, String),
    Unavailable(String, Trouble, String),
    /// Whoever wants to know looks again.
    Other,
}

impl Found {
    fn of(found: &Result<()>) -> Self {
        match found {
            Ok(()) => Self::Ours,
            Err(Error::Marker { store, what }) => Self::Wrong(store.clone(), what.clone()),
            Err(Error::StoreUnavailable { store, trouble, what }) => {
                Self::Unavailable(store.clone(), *trouble, what.clone())
            }
            Err(_) => Self::Other,
        }
    }

    fn share(&self) -> Option<Result<()>> {
        match self {
            Self::Ours => Some(Ok(())),
            Self::Wrong(store, what) => Some(Err(Error::Marker { store: store.clone(), what: what.clone() })),
            Self::Unavailable(store, trouble, what) => {
                let (store, trouble, what) = (store.clone(), *trouble, what.clone());
                Some(Err(Error::StoreUnavailable { store, trouble, what }))
            }
            Self::Other => None,
        }
    }
}

impl Store {
    /// What the store's marker says, whosever it is; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Marker`] when it is not one.
    pub(crate) async fn read_marker(&self) -> Result<Option<Marked>> {
        let Some(bytes) = self.get_bytes(KEY).await? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let marked = line("store").and_then(|id| id.parse().ok()).zip(line("catalogue").and_then(|id| id.parse().ok()));
        match marked {
            Some((store, catalogue)) => Ok(Some(Marked { store, catalogue })),
            None => Err(Error::Marker { store: self.name().to_owned(), what: "its marker cannot be read".to_owned() }),
        }
    }

    /// Makes the store this catalogue's, whosever it was: from now on the other one is refused. Only a restore does it.
    pub(crate) async fn take_over_marker(&self, catalogue: CatalogueId) -> Result<()> {
        let payload = PutPayload::from(marker(self.id(), catalogue).into_bytes());
        self.objects.put_opts(&parse_key(KEY)?, payload, PutOptions::default()).await?;
        self.check_marker(catalogue).await
    }

    /// Puts the marker into a store that the catalogue meets for the first time; refuses one that has another's.
    pub(crate) async fn place_marker(&self, catalogue: CatalogueId) -> Result<()> {
        if self.get_bytes(KEY).await?.is_none() {
            self.watched(For::Putting, self.put_marker(marker(self.id(), catalogue))).await?;
        }
        self.check_marker(catalogue).await
    }

    async fn put_marker(&self, text: String) -> Result<()> {
        let key = parse_key(KEY)?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(&key, PutPayload::from(text.clone().into_bytes()), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            // Some servers do not know conditions. It was not there a moment ago, and what is there is looked at below.
            Err(error) if is_unknown_to(&error) => {
                self.objects.put(&key, PutPayload::from(text.into_bytes())).await?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Which store its marker says it is, where that is one of this catalogue.
    pub(crate) async fn find_marked_id(&self, catalogue: CatalogueId) -> Result<Option<StoreId>> {
        let Some(bytes) = self.get_bytes(KEY).await? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let id = text.lines().find_map(|line| line.strip_prefix("store ")?.parse().ok());
        Ok(id.filter(|id| marker(*id, catalogue) == text))
    }

    /// Looks whether this is still the store that the catalogue means. Those who ask while somebody looks share the next
    /// look, which begins after they asked: a bucket is not asked for each of them.
    ///
    /// # Errors
    /// [`Error::Marker`] when it is not, or when its disk is not mounted; [`Error::StoreUnavailable`].
    pub(crate) async fn check_marker(&self, catalogue: CatalogueId) -> Result<()> {
        let asked = self.looks.begun.load(Ordering::SeqCst);
        let mut last = self.looks.last.lock().await;
        if let Some((begun, found)) = &*last
            && *begun > asked
            && let Some(found) = found.share()
        {
            return found;
        }
        let begun = self.looks.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let found = self.look_at_marker(catalogue).await;
        *last = Some((begun, Found::of(&found)));
        found
    }

    async fn look_at_marker(&self, catalogue: CatalogueId) -> Result<()> {
        let what = match self.get_bytes(KEY).await? {
            Some(bytes) if bytes == marker(self.id(), catalogue).as_bytes() => {
                self.note_marker(None);
                return Ok(());
            }
            Some(_) => FOREIGN,
            None => "its marker is not there: is the disk mounted, the bucket the right one?",
        };
        self.note_marker(Some(what));
        Err(Error::Marker { store: self.name().to_owned(), what: what.to_owned() })
    }

    /// Looks whether a store that was never met may become one of this catalogue.
    ///
    /// # Errors
    /// [`Error::Marker`] when it is somebody else's; [`Error::StoreUnavailable`].
    pub(crate) async fn check_free(&self, catalogue: CatalogueId) -> Result<()> {
        match self.find_marked_id(catalogue).await? {
            Some(_) => Ok(()),
            None if self.get_bytes(KEY).await?.is_none() => Ok(()),
            None => Err(Error::Marker { store: self.name().to_owned(), what: FOREIGN.to_owned() }),
        }
    }

    /// Why the store cannot be used now, where that may pass or be mended while others are used.
    ///
    /// # Errors
    /// It belongs to somebody else: no start goes on with that.
    pub(crate) async fn find_obstacle(&self, catalogue: CatalogueId) -> Result<Option<Error>> {
        match self.check_marker(catalogue).await {
            Ok(()) => Ok(None),
            Err(Error::Marker { store, what }) if what == FOREIGN => Err(Error::Marker { store, what }),
            Err(error) => Ok(Some(error)),
        }
    }
}

/// Does the server say that it does not know conditional puts?
fn is_unknown_to(error: &object_store::Error) -> bool {
    let text = error.to_string();
    matches!(error, object_store::Error::NotImplemented { .. })
        || (text.contains("status code: 501") || text.contains("status code: 400"))
}

#[cfg(test)]
mod tests {
    use super::super::StoreConfig;
    use super::*;
    use crate::clock::Instant;

    #[tokio::test]
    async fn a_store_of_another_catalogue_and_an_unmounted_one_are_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let at = Instant::from_millis(1);
        let config = StoreConfig {
            name: "disk".to_owned(),
            url: directory.path().to_str().expect("UTF-8").to_owned(),
            options: vec![],
        };
        let (store_id, ours, theirs) = (StoreId::new(at), CatalogueId::new(at), CatalogueId::new(at));
        let store = Store::open(store_id, &config).expect("open");
        store.place_marker(ours).await.expect("first meeting");
        store.place_marker(ours).await.expect("second meeting");
        assert!(matches!(store.place_marker(theirs).await, Err(Error::Marker { .. })));
        std::fs::remove_file(directory.path().join(KEY)).expect("remove the marker");
        assert!(matches!(store.check_marker(ours).await, Err(Error::Marker { .. })));
    }
}
