//! Fair shares: who of those that share a quota keeps more than its part. Pure.
//!
//! When a tenant or a reseller keeps more than its quota, the quota is shared out among its members in proportion to what
//! each was sold (its own quota; an equal part where it has none), and what one leaves unused goes to those that use
//! more. Recordings go only from members that keep more than their share, the oldest of all these first. A member that
//! keeps no more than its proportional part never loses one, however much its neighbours record.

/// One of those that share a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// How much it keeps.
    pub(crate) kept: u64,
    /// The quota of its own that it was sold.
    pub(crate) own: Option<u64>,
}

/// What each member may keep so that all of them together keep no more than `quota`: at least what it keeps now where that
/// is no more than its part.
pub(crate) fn shares(quota: u64, members: &[Member]) -> Vec<u64> {
    let equal = quota / (members.len() as u64).max(1);
    let weight = |member: &Member| u128::from(member.own.unwrap_or(equal).max(1));
    let mut shares: Vec<Option<u64>> = vec![None; members.len()];
    let mut left = quota;
    loop {
        let sharing = || members.iter().zip(&shares).filter(|(_, share)| share.is_none()).map(|(member, _)| member);
        let weights: u128 = sharing().map(weight).sum();
        if weights == 0 {
            break;
        }
        let part = |member: &Member| (u128::from(left) * weight(member) / weights) as u64;
        let content: Vec<usize> =
            (0..members.len()).filter(|&n| shares[n].is_none() && members[n].kept <= part(&members[n])).collect();
        if content.is_empty() {
            // Nobody leaves anything to the others any more.
            let parts: Vec<u64> = members.iter().map(part).collect();
            return shares.into_iter().zip(parts).map(|(share, part)| share.unwrap_or(part)).collect();
        }
        for n in content {
            shares[n] = Some(members[n].kept);
            left = left.saturating_sub(members[n].kept);
        }
    }
    shares.into_iter().map(|share| share.unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(kept: u64, own: Option<u64>) -> Member {
        Member { kept, own }
    }

    #[test]
    fn what_one_leaves_unused_goes_to_those_that_use_more() {
        // (quota, what each keeps and was sold) -> shares
        type Row = (u64, &'static [(u64, Option<u64>)], &'static [u64]);
        let table: &[Row] = &[
            (100, &[], &[]),
            (100, &[(170, None)], &[100]),
            (100, &[(40, None), (40, None)], &[40, 40]),
            (100, &[(90, None), (60, None)], &[50, 50]),
            // A quiet neighbour keeps what it has, and the busy one gets the rest.
            (100, &[(120, None), (10, None)], &[90, 10]),
            (150, &[(145, None), (55, None), (10, None)], &[85, 55, 10]),
            // In proportion to what was sold.
            (100, &[(90, Some(30)), (90, Some(10))], &[75, 25]),
            (100, &[(90, Some(30)), (5, Some(10))], &[90, 5]),
            (100, &[(100, Some(30)), (5, Some(10))], &[95, 5]),
            (0, &[(5, None), (0, None)], &[0, 0]),
        ];
        for (quota, members, expected) in table {
            let members: Vec<Member> = members.iter().map(|&(kept, own)| of(kept, own)).collect();
            assert_eq!(shares(*quota, &members), *expected, "{quota} among {members:?}");
        }
    }

    /// The slow way: everybody gets a grain in turn by weight until nothing is left or everybody is content.
    fn poured(quota: u64, members: &[Member]) -> Vec<u64> {
        let mut shares = vec![0; members.len()];
        for _ in 0..quota {
            let thirsty = (0..members.len()).filter(|&n| shares[n] < members[n].kept);
            // Who has the least for its weight drinks next.
            let equal = quota / members.len() as u64;
            let level = |n: usize| {
                let weight = members[n].own.unwrap_or(equal).max(1);
                u128::from(shares[n]) * 1_000_000 / u128::from(weight)
            };
            let Some(next) = thirsty.min_by_key(|&n| level(n)) else { break };
            shares[next] += 1;
        }
        shares
    }

    proptest! {
        #[test]
        fn shares_are_what_pouring_grain_by_grain_gives(
            quota in 0_u64..400,
            members in prop::collection::vec((0_u64..200, prop::option::of(1_u64..100)), 1..6),
        ) {
            let members: Vec<Member> = members.into_iter().map(|(kept, own)| of(kept, own)).collect();
            let (shares, poured) = (shares(quota, &members), poured(quota, &members));
            for ((share, poured), member) in shares.iter().zip(&poured).zip(&members) {
                let difference = share.min(&member.kept).abs_diff(*poured);
                prop_assert!(difference <= members.len() as u64, "{members:?}: {share} and {poured}");
            }
            prop_assert!(shares.iter().sum::<u64>() <= quota);
        }

        #[test]
        fn whoever_keeps_no_more_than_its_part_is_content_and_if_all_are_too_much_somebody_is_not(
            quota in 0_u64..1_000_000,
            members in prop::collection::vec((0_u64..500_000, prop::option::of(1_u64..500_000)), 1..20),
        ) {
            let members: Vec<Member> = members.into_iter().map(|(kept, own)| of(kept, own)).collect();
            let shares = shares(quota, &members);
            let equal = quota / members.len() as u64;
            let weight = |member: &Member| u128::from(member.own.unwrap_or(equal).max(1));
            let weights: u128 = members.iter().map(weight).sum();
            for (member, share) in members.iter().zip(&shares) {
                if u128::from(member.kept) * weights <= u128::from(quota) * weight(member) {
                    prop_assert!(*share >= member.kept, "{member:?} of {members:?}");
                }
            }
            let kept: u64 = members.iter().map(|member| member.kept).sum();
            let too_much = members.iter().zip(&shares).any(|(member, share)| member.kept > *share);
            prop_assert_eq!(too_much, kept > quota);
        }
    }
}
