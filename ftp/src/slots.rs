//! How many sessions there may be at a time: in all, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places for sessions.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    most: usize,
    most_per_address: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A session's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    address: IpAddr,
}

impl Slots {
    /// So many places in all, and so many for one address.
    pub(crate) fn new(most: usize, most_per_address: usize) -> Self {
        Self { most, most_per_address, taken: Arc::default() }
    }

    /// Takes a place for a session from `address`; `None` when there is none.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Slot> {
        let address = address.to_canonical();
        let mut taken = self.lock();
        let in_all: usize = taken.values().sum();
        let here = taken.get(&address).copied().unwrap_or(0);
        if in_all >= self.most || here >= self.most_per_address {
            return None;
        }
        taken.insert(address, here + 1);
        drop(taken);
        Some(Slot { slots: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // A count is never left half-changed, so a panic elsewhere does not spoil it.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        if let Some(here) = taken.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_address() {
        let slots = Slots::new(3, 2);
        let [a, mapped_a, b, c]: [IpAddr; 4] =
            ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap());
        let first = slots.take(a).unwrap();
        let second = slots.take(mapped_a).unwrap();
        assert!(slots.take(a).is_none(), "two from one address");
        let third = slots.take(b).unwrap();
        assert!(slots.take(c).is_none(), "three in all");
        drop(first);
        let fourth = slots.take(c).unwrap();
        drop((second, third, fourth));
        assert!(slots.lock().is_empty());
    }
}
