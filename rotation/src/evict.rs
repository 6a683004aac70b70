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
    /// Nothing more of it goes, whatever it keeps: it failed.
    given_up: bool,
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

    /// Adds a member, with the numbers of its bounds. Members are numbered as they come.
    pub(crate) fn add_member(&mut self, bounds: Vec<usize>) {
        self.members.push(Member { bounds, waiting: VecDeque::new(), given_up: false });
        self.to_load.push(self.members.len() - 1);
    }

    /// The bounds of a member.
    pub(crate) fn bounds_of(&self, member: usize) -> Vec<Bound> {
        self.members[member].bounds.iter().map(|&n| self.counted[n].bound).collect()
    }

    /// Brings the next recordings of a member, oldest first; none: there are no more.
    pub(crate) fn bring(&mut self, member: usize, page: Vec<Candidate>) {
        let it = &mut self.members[member];
        it.waiting.extend(page);
        if let Some(first) = it.waiting.front() {
            self.oldest.push(Reverse((first.retain_from, first.id, member)));
        }
    }

    /// Nothing more of this member goes.
    pub(crate) fn give_up(&mut self, member: usize) {
        self.members[member].given_up = true;
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

    /// May more of the member go: is every bound of it exceeded?
    fn is_over(&self, member: usize) -> bool {
        let Member { bounds, given_up, .. } = &self.members[member];
        !given_up && bounds.iter().all(|&n| self.counted[n].kept > self.counted[n].bound.most)
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

#[cfg(test)]
mod tests {
    use archive::{Level, Measure, PbxId, TenantId};
    use proptest::prelude::*;

    use super::*;
    use crate::fair;

    /// A recording of a test: whose, when it is from, how large, and whether it may go.
    #[derive(Clone, Debug)]
    struct Recorded {
        pbx: usize,
        from: i64,
        size: u64,
        may_go: bool,
    }

    fn at(millis: i64) -> Instant {
        Instant::from_millis(millis)
    }

    fn candidate(it: &Recorded) -> Candidate {
        let kept = Kept { stored_bytes: it.size, audio_ms: 0, recordings: 1 };
        let from = at(it.from);
        Candidate { id: RecordingId::new(from), started_at: from, retain_from: from, archived_at: from, kept }
    }

    /// Two PBXs to a tenant, all tenants of one reseller. What each keeps, and may.
    struct Shares {
        of_pbx: Vec<(u64, u64)>,
        of_tenant: Vec<(u64, u64)>,
        whole: (u64, u64),
    }

    fn shares(recordings: &[Recorded], pbxs: usize, quota: u64) -> Shares {
        let kept = |pbx| recordings.iter().filter(|it| it.pbx == pbx).map(|it| it.size).sum::<u64>();
        let kept: Vec<u64> = (0..pbxs).map(kept).collect();
        let member = |kept| fair::Member { kept, own: None };
        let of_tenants: Vec<u64> = kept.chunks(2).map(|pair| pair.iter().sum()).collect();
        let tenant_shares = fair::shares(quota, &of_tenants.iter().map(|&kept| member(kept)).collect::<Vec<_>>());
        let pbx_shares = kept
            .chunks(2)
            .zip(&tenant_shares)
            .flat_map(|(pair, &share)| fair::shares(share, &pair.iter().map(|&kept| member(kept)).collect::<Vec<_>>()));
        Shares {
            of_pbx: kept.iter().copied().zip(pbx_shares).collect(),
            of_tenant: of_tenants.iter().copied().zip(tenant_shares).collect(),
            whole: (of_tenants.iter().sum(), quota),
        }
    }

    /// The slow way: everything that may go in its order, each looked at by itself.
    fn naive(recordings: &[Candidate], of: &[usize], mut it: Shares) -> Vec<RecordingId> {
        let mut order: Vec<usize> = (0..recordings.len()).collect();
        order.sort_by_key(|&n| (recordings[n].retain_from, recordings[n].id));
        let mut gone = Vec::new();
        for n in order {
            let (pbx, size) = (of[n], recordings[n].kept.stored_bytes);
            let over = |(kept, most): (u64, u64)| kept > most;
            if size > 0 && over(it.of_pbx[pbx]) && over(it.of_tenant[pbx / 2]) && over(it.whole) {
                for counted in [&mut it.of_pbx[pbx], &mut it.of_tenant[pbx / 2], &mut it.whole] {
                    counted.0 -= size;
                }
                gone.push(recordings[n].id);
            }
        }
        gone
    }

    fn evicted(recordings: &[Candidate], of: &[usize], it: &Shares, page: usize) -> Vec<RecordingId> {
        let mut eviction = Eviction::default();
        let bound = |level, most| Bound { level, measure: Measure::Bytes, most };
        let tenant = |n: usize| Level::Tenant(TenantId::new(at(n as i64)));
        let whole = eviction.add_bound(bound(tenant(99), it.whole.1), it.whole.0);
        let tenants: Vec<usize> = (it.of_tenant.iter().enumerate())
            .map(|(n, &(kept, share))| eviction.add_bound(bound(tenant(n), share), kept))
            .collect();
        for (n, &(kept, share)) in it.of_pbx.iter().enumerate() {
            let own = eviction.add_bound(bound(Level::Pbx(PbxId::new(at(n as i64))), share), kept);
            eviction.add_member(vec![own, tenants[n / 2], whole]);
        }
        let mut brought = vec![0; it.of_pbx.len()];
        let mut gone = Vec::new();
        loop {
            match eviction.next() {
                Next::End => return gone,
                Next::Load(member) => {
                    let mut own: Vec<Candidate> = recordings
                        .iter()
                        .zip(of)
                        .filter(|(_, pbx)| **pbx == member)
                        .map(|(it, _)| it.clone())
                        .collect();
                    own.sort_by_key(|it| (it.retain_from, it.id));
                    let next: Vec<Candidate> = own.into_iter().skip(brought[member]).take(page).collect();
                    brought[member] += next.len();
                    eviction.bring(member, next);
                }
                Next::Take { candidate, .. } => gone.push(candidate.id),
            }
        }
    }

    proptest! {
        #[test]
        fn the_oldest_of_those_over_their_share_go_and_no_other_and_no_more(
            recordings in prop::collection::vec((0_usize..6, 0_i64..50, 0_u64..30, prop::bool::weighted(0.8)), 0..80),
            quota in 0_u64..600,
            page in 1_usize..5,
        ) {
            let recordings: Vec<Recorded> = recordings
                .into_iter()
                .map(|(pbx, from, size, may_go)| Recorded { pbx, from, size, may_go })
                .collect();
            let (of, candidates): (Vec<usize>, Vec<Candidate>) =
                recordings.iter().filter(|it| it.may_go).map(|it| (it.pbx, candidate(it))).unzip();
            let gone = evicted(&candidates, &of, &shares(&recordings, 6, quota), page);
            prop_assert_eq!(&gone, &naive(&candidates, &of, shares(&recordings, 6, quota)));

            let before = shares(&recordings, 6, quota);
            let sizes: Vec<u64> = gone
                .iter()
                .map(|id| candidates.iter().find(|it| it.id == *id).map_or(0, |it| it.kept.stored_bytes))
                .collect();
            let left = before.whole.0 - sizes.iter().sum::<u64>();
            if let Some(last) = sizes.last() {
                prop_assert!(left + last > quota, "the last one still had to go");
            }
            for (pbx, (kept, share)) in before.of_pbx.iter().enumerate() {
                let lost = gone.iter().any(|id| candidates.iter().zip(&of).any(|(it, of)| it.id == *id && *of == pbx));
                prop_assert!(!lost || kept > share, "a quiet neighbour loses nothing");
            }
            if recordings.iter().all(|it| it.may_go) {
                prop_assert!(left <= quota, "enough went");
            }
        }
    }
}
