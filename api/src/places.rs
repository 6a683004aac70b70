//! Places for conversions: so many at a time, of which one tenant's recordings take at most half, so that nobody who asks
//! for many keeps the others from theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use archive::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Whose recordings how many places are taken for; those of nobody are one more owner.
type Taken = Arc<Mutex<HashMap<Option<TenantId>, usize>>>;

/// The places. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    most_of_one: usize,
    taken: Taken,
}

/// A place that is taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    tenant: Option<TenantId>,
    taken: Taken,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// As many as `most`.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), most_of_one: (most / 2).max(1), taken: Taken::default() }
    }

    /// A place for a recording of that tenant; `None`: none is free, or the tenant has its share.
    pub(crate) fn take(&self, tenant: Option<TenantId>) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has = taken.get(&tenant).copied().unwrap_or_default();
        let permit = (has < self.most_of_one).then(|| Arc::clone(&self.free).try_acquire_owned().ok())??;
        taken.insert(tenant, has + 1);
        Some(Place { tenant, taken: Arc::clone(&self.taken), _permit: permit })
    }

    #[cfg(test)]
    pub(crate) fn count_free(&self) -> usize {
        self.free.available_permits()
    }

    /// Waits until a place is free.
    #[cfg(test)]
    pub(crate) async fn wait_for_free(&self) {
        drop(self.free.acquire().await.expect("the semaphore is never closed"));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.tenant) {
            Some(has) if *has > 1 => *has -= 1,
            _ => {
                taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use archive::Instant;

    use super::*;

    #[test]
    fn a_tenant_has_at_most_half_of_the_places_and_at_least_one() {
        let tenant = || Some(TenantId::new(Instant::from_millis(1)));
        let (greedy, other) = (tenant(), tenant());
        for (most, share) in [(1, 1), (2, 1), (3, 1), (8, 4)] {
            let places = Places::new(most);
            let taken: Vec<_> = std::iter::from_fn(|| places.take(greedy)).collect();
            assert_eq!(taken.len(), share, "of {most}");
            assert_eq!(places.take(other).is_some(), most > 1, "another one gets its own");
            assert_eq!(places.take(None).is_some(), most > 1, "and so does who listens to what is nobody's");
            drop(taken);
            assert_eq!((places.count_free(), places.take(greedy).is_some()), (most, true), "and all come back");
            assert!(places.taken.lock().unwrap().is_empty(), "nothing is kept of who has none");
        }
    }
}
