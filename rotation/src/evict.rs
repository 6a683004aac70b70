//! Evicting: the oldest go first, from those that keep more than they may, until enough is gone. Pure; whoever drives it
//! brings the recordings of each member, oldest first, a page at a time.
//!
//! A recording goes while every bound of its member is exceeded: its PBX's quota; or its share of a tenant's quota, and
//! that quota; or its share of its tenant's share of a reseller's quota, and those two.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use archive::{Bound, Candidate, Instant, Kept, RecordingId};

/// A quota, or a share of one, and how much is kept that counts to it.
#[derive(Clone, Copy, Debug)]
struct Counted {
    bound: Bound,
    kept: u64,
}

/// What must be exceeded for a recording of a member to go.
#[derive(Clone, Debug)]
struct Member {
    bounds: Vec<usize>,
    waiting: VecDeque<Candidate>,
    /// Whether all its recordings were brought.
    ended: bool,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Bring the next page of this member's recordings.
    Load(usize),
    /// This recording of that member goes; the last of its bounds was exceeded by so much.
    Take { member: usize, candidate: Candidate, exceeded_by: u64 },
    /// Enough is gone, or nothing more may go.
    End,
}

/// An eviction in progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eviction {
    counted: Vec<Counted>,
    members: Vec<Member>,
    to_load: Vec<usize>,
    /// The oldest of each member that has one waiting.
    oldest: BinaryHeap<Reverse<(Instant, RecordingId, usize)>>,
}

impl Eviction {
    /// Adds a bound, of which `kept` is used; answers its number.
    pub(crate) fn add_bound(&mut self, bound: Bound, kept: u64) -> usize {
        self.counted.push(Counted { bound, kept });
        self.counted.len() - 1
    }

    /// Adds a member, with the numbers of its bounds; answers its own.
    pub(crate) fn add_member(&mut self, bounds: Vec<usize>) -> usize {
        self.members.push(Member { bounds, waiting: VecDeque::new(), ended: false });
        self.to_load.push(self.members.len() - 1);
        self.members.len() - 1
    }

    /// The bounds of a member.
    pub(crate) fn bounds_of(&self, member: usize) -> Vec<Bound> {
        self.members[member].bounds.iter().map(|&n| self.counted[n].bound).collect()
    }

    /// Brings the next recordings of a member, oldest first; none: there are no more.
    pub(crate) fn bring(&mut self, member: usize, page: Vec<Candidate>) {
        let it = &mut self.members[member];
        it.ended = page.is_empty();
        it.waiting.extend(page);
        if let Some(first) = it.waiting.front() {
            self.oldest.push(Reverse((first.retain_from, first.id, member)));
        }
    }

    /// Says how much is really kept, after something did not go that was taken.
    pub(crate) fn correct(&mut self, kept: impl Fn(Bound) -> Option<u64>) {
        for counted in &mut self.counted {
            if let Some(kept) = kept(counted.bound) {
                counted.kept = kept;
            }
        }
    }

    /// What is to be done next.
    pub(crate) fn next(&mut self) -> Next {
        while let Some(member) = self.to_load.pop() {
            if self.is_over(member) {
                return Next::Load(member);
            }
        }
        while let Some(Reverse((.., member))) = self.oldest.pop() {
            if !self.is_over(member) {
                continue;
            }
            let Some(candidate) = self.members[member].waiting.pop_front() else { continue };
            match self.members[member].waiting.front() {
                Some(first) => self.oldest.push(Reverse((first.retain_from, first.id, member))),
                None => self.to_load.push(member),
            }
            let Some(exceeded_by) = self.take(member, candidate.kept) else {
                // Without anything of what is too much it would go for nothing: it stays, and the next is asked.
                if !self.to_load.is_empty() {
                    return self.next();
                }
                continue;
            };
            return Next::Take { member, candidate, exceeded_by };
        }
        Next::End
    }

    /// Is every bound of the member exceeded?
    fn is_over(&self, member: usize) -> bool {
        self.members[member].bounds.iter().all(|&n| self.counted[n].kept > self.counted[n].bound.most)
    }

    /// Counts out what goes; answers by how much the member's last bound was exceeded.
    fn take(&mut self, member: usize, gone: Kept) -> Option<u64> {
        let bounds = &self.members[member].bounds;
        if bounds.iter().all(|&n| gone.of(self.counted[n].bound.measure) == 0) {
            return None;
        }
        let last = &self.counted[*bounds.last()?];
        let exceeded_by = last.kept - last.bound.most;
        for &n in bounds {
            let counted = &mut self.counted[n];
            counted.kept = counted.kept.saturating_sub(gone.of(counted.bound.measure));
        }
        Some(exceeded_by)
    }
}
