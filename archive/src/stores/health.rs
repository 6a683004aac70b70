//! How a store is: may it be asked at all, does it take new recordings, how much room has it. A store that is not well
//! costs nobody more than asking here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::breaker::{Breaker, Shut};
use super::failure::{Trouble, trouble_of};
use super::settings::Watermark;
use super::space::{Room, Space};
use super::{Store, StoreState};
use crate::error::{Error, Result};

/// What an operation on the store is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Looking at the marker: the probe of a store that was down.
    Marker,
    /// Reading, listing.
    Reading,
    /// Putting something new there.
    Putting,
    /// Removing.
    Removing,
}

/// What is remembered of a store's health.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// May it be asked at all?
    reach: Breaker,
    /// Does it take something new?
    put: Breaker,
    /// Why it is not the store that the catalogue means, when last looked at.
    wrong_marker: Mutex<Option<&'static str>>,
    pub(super) room: Arc<Room>,
    /// Was it low on space when last looked at? It must rise a little above its watermark to be no more.
    was_low: AtomicBool,
    pub(super) days_until_full: Mutex<Option<f64>>,
}

impl Store {
    /// Does what `call` does, unless the store is known not to do it, and learns from how it ends.
    pub(super) async fn watched<T>(&self, purpose: For, call: impl Future<Output = Result<T>>) -> Result<T> {
        let health = &self.health;
        if self.is_closed {
            let what = "it was declared lost".to_owned();
            return Err(Error::StoreUnavailable { store: self.name().to_owned(), what, trouble: Trouble::Refused });
        }
        match purpose {
            For::Marker => health.reach.admit().map_err(|shut| self.unavailable(&shut))?,
            _ => health.reach.shut().map_or(Ok(()), |shut| Err(self.unavailable(&shut)))?,
        }
        if purpose == For::Putting {
            self.look_at_room().map_or(Ok(()), |shut| Err(self.unavailable(&shut)))?;
            health.put.admit().map_err(|shut| self.unavailable(&shut))?;
        }
        let error = match call.await {
            Ok(done) => {
                self.note_success(purpose);
                return Ok(done);
            }
            Err(error) => error,
        };
        let Some((trouble, why)) = trouble_of(&error) else {
            self.note_success(purpose);
            return Err(error);
        };
        match (purpose, trouble) {
            // A disk says by its room when it is well again; whoever else is full is asked again now and then.
            (_, Trouble::Full) => health.put.open(trouble, &why),
            (For::Marker, Trouble::Refused) => health.reach.open(trouble, &why),
            // What is forbidden for one object (a locked one cannot be removed) may be allowed for all others.
            (For::Reading | For::Removing, Trouble::Refused) => {}
            (For::Putting, Trouble::Refused) => health.put.open(trouble, &why),
            // A server may answer everything but what is large.
            (For::Putting, Trouble::Unreachable) => {
                health.reach.failed(trouble, &why);
                health.put.failed(trouble, &why);
            }
            _ => health.reach.failed(trouble, &why),
        }
        Err(Error::StoreUnavailable { store: self.name().to_owned(), what: why, trouble })
    }

    fn note_success(&self, purpose: For) {
        match purpose {
            For::Marker => self.health.reach.succeeded(),
            For::Putting => {
                self.health.reach.worked();
                self.health.put.succeeded();
            }
            For::Reading | For::Removing => self.health.reach.worked(),
        }
    }

    /// What looking at the marker found: nothing, or why this is not the store that the catalogue means.
    pub(super) fn note_marker(&self, wrong: Option<&'static str>) {
        *self.health.wrong_marker.lock().expect("nobody panics while holding it") = wrong;
    }

    fn unavailable(&self, shut: &Shut) -> Error {
        Error::StoreUnavailable { store: self.name().to_owned(), what: shut.why.clone(), trouble: shut.trouble }
    }

    /// Why nothing new can be put there, though it can be reached; `None` while it can. Whoever asks when it is time to
    /// try again may.
    pub(crate) fn shut_for_new(&self) -> Option<(Trouble, String)> {
        let shut = self.look_at_room();
        let shut = shut.or_else(|| self.health.put.shut().filter(|shut| !shut.probe_in.is_zero()));
        shut.map(|shut| (shut.trouble, shut.why))
    }

    /// Is it so full that its next store takes what is new?
    pub(crate) fn is_full(&self) -> bool {
        self.look_at_room().is_some() || self.health.put.shut().is_some_and(|shut| shut.trouble == Trouble::Full)
    }

    /// Can it be reached, and is it the store that the catalogue means, as far as is known?
    pub(crate) fn is_up(&self) -> bool {
        !self.is_closed
            && self.health.reach.shut().is_none()
            && self.health.wrong_marker.lock().expect("nobody panics while holding it").is_none()
    }

    /// How it is now.
    pub fn state(&self) -> StoreState {
        let trouble = |shut: Shut| (shut.trouble, shut.why);
        let wrong = *self.health.wrong_marker.lock().expect("nobody panics while holding it");
        let low = self.look_at_room();
        let space = self.room();
        StoreState {
            down: self.health.reach.shut().map(trouble).or(wrong.map(|why| (Trouble::Refused, why.to_owned()))),
            takes_nothing: low.or_else(|| self.health.put.shut()).map(trouble),
            free_bytes: space.map(|space| space.free_bytes),
            total_bytes: space.map(|space| space.total_bytes),
            days_until_full: *self.health.days_until_full.lock().expect("nobody panics while holding it"),
        }
    }

    /// What the disk said of its room when last asked.
    pub(super) fn room(&self) -> Option<Space> {
        self.health.room.last()
    }

    /// Free space below which it takes nothing new.
    pub(super) fn low_bytes(&self, space: Space) -> u64 {
        match self.settings.low_space {
            Some(watermark) => watermark.of(space.total_bytes),
            // So little that no disk of any size is wasted, and enough for what is in work to end.
            None => Watermark::Percent(5.0).of(space.total_bytes).min(1 << 30),
        }
    }

    /// Looks how much room a disk had when last asked, and says why it takes nothing new where that is too little.
    fn look_at_room(&self) -> Option<Shut> {
        let space = self.room()?;
        let low = self.low_bytes(space);
        let was_low = self.health.was_low.load(Ordering::Relaxed);
        let is_low = space.free_bytes < if was_low { low + low / 10 } else { low };
        self.health.was_low.store(is_low, Ordering::Relaxed);
        if !is_low {
            // Full it was only for want of room.
            if self.health.put.shut().is_some_and(|shut| shut.trouble == Trouble::Full && shut.probe_in.is_zero()) {
                self.health.put.succeeded();
            }
            return None;
        }
        let why = format!(
            "its disk is almost full ({} MB free, low_space is {} MB): make room, or name another store as its next",
            space.free_bytes / 1_000_000,
            low / 1_000_000
        );
        Some(Shut { trouble: Trouble::Full, why, probe_in: Duration::from_secs(1) })
    }
}

#[cfg(any(test, feature = "testing"))]
impl Store {
    /// Makes every probe due at once.
    pub(crate) fn forget_pauses(&self) {
        self.health.forget_pauses();
    }
}

#[cfg(any(test, feature = "testing"))]
impl Health {
    /// Makes every probe due at once.
    pub(super) fn forget_pauses(&self) {
        self.reach.forget_pause();
        self.put.forget_pause();
    }
}
