//! Writing an object: its row says `writing` until its bytes are there, and says so anew for as long as they move, however
//! long that takes. What is swept is only what nobody writes any longer.

use std::sync::Arc;
use std::time::Duration;

use crate::Archive;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::{ObjectId, StoreId};
use crate::organisation::PbxPlace;
use crate::stores::{Store, Trouble};

/// How long an object may be in writing, since that was said last, before it counts as left behind.
pub(crate) const WRITING_LEASE: Duration = Duration::from_secs(3600);

/// A store that takes nothing new at the moment, though a recording must be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShutStore {
    /// The store.
    pub id: StoreId,
    /// Its name.
    pub name: String,
    /// What kind of trouble it is in.
    pub trouble: Trouble,
    /// Why, in one line.
    pub why: String,
    /// How many bytes of a landing zone may wait for it, where that is configured.
    pub spool_budget: Option<u64>,
}

impl Archive {
    /// Does `put`, and keeps the object's row from being swept meanwhile.
    ///
    /// # Errors
    /// What `put` fails with; [`Error::Conflict`] when the row is no longer in writing: somebody believed that nobody
    /// writes it, and what is put would be an orphan.
    pub(crate) async fn while_writing(&self, object: ObjectId, put: impl Future<Output = Result<()>>) -> Result<()> {
        self.while_prolonging(object, WRITING_LEASE / 3, put).await
    }

    async fn while_prolonging(
        &self,
        object: ObjectId,
        every: Duration,
        put: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        let prolonging = async {
            loop {
                tokio::time::sleep(every).await;
                self.prolong_writing(object).await?;
            }
        };
        tokio::select! {
            done = put => done,
            lost = prolonging => lost,
        }
    }

    async fn prolong_writing(&self, object: ObjectId) -> Result<()> {
        let prolong = async {
            let until = self.db.now().await?.plus(WRITING_LEASE);
            let sql = "UPDATE objects SET lease_until = $1 WHERE id = $2 AND state = 'writing'";
            self.db.execute(sql, params![until, object]).await
        };
        match prolong.await {
            Ok(0) => Err(Error::Conflict("object")),
            Ok(_) => Ok(()),
            Err(error) if error.is_transient() => {
                // Two thirds of the lease are left, and the commit looks at the row again.
                tracing::warn!(object.id = %object, "failed to prolong the writing of object {object}: {error}");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Each store that is full gives way to its next one, unless that is full too or is there already.
    pub(crate) fn instead_of_full(&self, stores: &[Arc<Store>]) -> Result<Vec<Arc<Store>>> {
        let mut chosen: Vec<Arc<Store>> = Vec::with_capacity(stores.len());
        for store in stores {
            let mut taking = Arc::clone(store);
            // A ring of full stores ends where it began.
            for _ in 0..self.stores().len() {
                match taking.next_store() {
                    Some(next) if taking.is_full() => taking = Arc::clone(self.store_named(next)?),
                    _ => break,
                }
            }
            let is_there = |other: &Arc<Store>| other.id() == taking.id();
            let is_better = !taking.is_full() && !stores.iter().any(is_there) && !chosen.iter().any(is_there);
            chosen.push(if is_better { taking } else { Arc::clone(store) });
        }
        Ok(chosen)
    }

    /// The stores of a recording of this PBX (or an unassigned one) that take nothing new now, where too few are left for
    /// it to be archived; none while enough are.
    /// Asked before any work is spent; one that is known to be down is not asked.
    ///
    /// # Errors
    /// [`Error::UnknownStore`].
    pub async fn list_shut_stores(&self, place: Option<&PbxPlace>) -> Result<Vec<ShutStore>> {
        let stores = self.stores_for(place)?;
        let required = place.map_or(1, |place| place.tier.required_copies(stores.len()));
        let mut shut = Vec::new();
        for store in &stores {
            let found = match self.check_store(store).await {
                Ok(()) => store.shut_for_new(),
                Err(Error::StoreUnavailable { trouble, what, .. }) => Some((trouble, what)),
                Err(Error::Marker { what, .. }) => Some((Trouble::Refused, what)),
                Err(error) => Some((Trouble::Unreachable, error.to_string())),
            };
            if let Some((trouble, why)) = found {
                let (name, spool_budget) = (store.name().to_owned(), store.spool_budget());
                shut.push(ShutStore { id: store.id(), name, trouble, why, spool_budget });
            }
        }
        if stores.len() - shut.len() >= required {
            shut.clear();
        }
        Ok(shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Call, TestArchive};

    #[tokio::test]
    async fn an_object_that_takes_long_to_put_is_not_swept_under_its_writer() {
        let t = TestArchive::start().await;
        let call = Call::new("acme", "1.1", t.now(), b"long");
        let delivery = t.delivery(t.spool(&call).await, &call).await;
        let store = Arc::clone(&t.archive.stores()[0]);
        let object = t.archive.put_object(&delivery, &store).await.unwrap();
        // As if an hour had passed without a word.
        t.sabotage("UPDATE objects SET lease_until = 0 WHERE state = 'writing'").await;
        let still = || async {
            loop {
                let left = "SELECT lease_until FROM objects WHERE lease_until > 0 AND state = 'writing'";
                if t.archive.db.fetch_optional(left, params![]).await?.is_some() {
                    return Ok(());
                }
                tokio::task::yield_now().await;
            }
        };
        t.archive.while_prolonging(object, Duration::from_millis(1), still()).await.unwrap();
        assert_eq!(t.archive.sweep_objects(10).await.unwrap(), 0);
        // One that was swept all the same is given up, for what is put now would be an orphan.
        t.sabotage("UPDATE objects SET lease_until = 0, state = 'dropping' WHERE state = 'writing'").await;
        let lost = t.archive.while_prolonging(object, Duration::from_millis(1), std::future::pending()).await;
        assert!(matches!(lost, Err(Error::Conflict("object"))), "{lost:?}");
        assert_eq!(t.archive.sweep_objects(10).await.unwrap(), 1);
        t.finish().await;
    }
}
