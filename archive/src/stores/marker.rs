//! The marker: an object that says which store this is and whose, so that an unmounted disk or a restored copy of the
//! catalogue never writes into, or purges, a store that is not its own.

use object_store::{PutMode, PutOptions, PutPayload};

use super::{Store, parse_key};
use crate::error::{Error, Result};
use crate::id::{CatalogueId, StoreId};

/// Where the marker lies.
pub(super) const KEY: &str = "fonoteca-store.txt";

fn marker(store: StoreId, catalogue: CatalogueId) -> String {
    format!("fonoteca store\nstore {store}\ncatalogue {catalogue}\n")
}

impl Store {
    /// Puts the marker into a store that the catalogue meets for the first time; refuses one that has another's.
    pub(crate) async fn place_marker(&self, catalogue: CatalogueId) -> Result<()> {
        if self.get_bytes(KEY).await?.is_none() {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let payload = PutPayload::from(marker(self.id(), catalogue).into_bytes());
            match self.objects.put_opts(&parse_key(KEY)?, payload, options).await {
                Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.check_marker(catalogue).await
    }

    /// Which store its marker says it is, where that is one of this catalogue.
    pub(crate) async fn find_marked_id(&self, catalogue: CatalogueId) -> Result<Option<StoreId>> {
        let Some(bytes) = self.get_bytes(KEY).await? else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let id = text.lines().find_map(|line| line.strip_prefix("store ")?.parse().ok());
        Ok(id.filter(|id| marker(*id, catalogue) == text))
    }

    /// Looks whether this is still the store that the catalogue means.
    ///
    /// # Errors
    /// [`Error::Marker`] when it is not, or when its disk is not mounted.
    pub(crate) async fn check_marker(&self, catalogue: CatalogueId) -> Result<()> {
        let what = match self.get_bytes(KEY).await? {
            Some(bytes) if bytes == marker(self.id(), catalogue).as_bytes() => return Ok(()),
            Some(_) => "its marker belongs to another store or another catalogue",
            None => "its marker is not there: is the disk mounted, the bucket the right one?",
        };
        Err(Error::Marker { store: self.name().to_owned(), what: what.to_owned() })
    }
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
