//! Tier moves: which recordings are old enough to lie in other stores. What is due is only noted here; the copier moves
//! the bytes.

use std::time::Duration;

use crate::Archive;
use crate::crash::crash_point;
use crate::db::params;
use crate::error::Result;
use crate::scope::Scope;
use crate::tier::Tier;

const DAY: Duration = Duration::from_secs(86_400);

/// The condition of what has come to a move: `$1` is the tier, `$2` how many moves were begun before, `$3` since when it
/// is old enough. Holds and locks do not matter: the recording is as much kept there as here.
const IS_DUE: &str = "tier_id = $1 AND moves_begun = $2 AND state = 'archived' AND retain_from < $3";

impl Archive {
    /// Begins the moves that are due: has the copier bring up to `limit` recordings of each tier and move where they
    /// belong. Says how many began.
    pub async fn begin_moves(&self, limit: u32) -> Result<u64> {
        let now = self.clock.now();
        let mut begun = 0;
        for (tier, moves_begun, after_days) in self.list_moves().await? {
            // What else its copies wait for goes on being why.
            let sql = format!(
                "WITH due AS MATERIALIZED (
                     SELECT id FROM recordings WHERE {IS_DUE} ORDER BY retain_from, id LIMIT $5{skip_locked})
                 UPDATE recordings
                 SET moves_begun = $2 + 1, copies_since = COALESCE(copies_since, $4),
                     copies_why = COALESCE(copies_why, 'move')
                 WHERE id IN (SELECT id FROM due) AND {IS_DUE}",
                skip_locked = self.db.skip_locked()
            );
            let due_before = now.minus(DAY * after_days);
            begun += self.db.execute(sql, params![tier.id, moves_begun, due_before, now, limit]).await?;
        }
        if begun > 0 {
            crash_point("moves begun");
        }
        Ok(begun)
    }

    /// How many recordings are old enough to move now and have not begun to.
    pub async fn count_due_moves(&self) -> Result<u64> {
        let now = self.clock.now();
        let mut due = 0;
        for (tier, moves_begun, after_days) in self.list_moves().await? {
            let sql = format!("SELECT count(*) AS n FROM recordings WHERE {IS_DUE}");
            let row = self.db.fetch_one(sql, params![tier.id, moves_begun, now.minus(DAY * after_days)]).await?;
            due += row.get::<u64>("n")?;
        }
        Ok(due)
    }

    /// Every move of every tier: the tier, how many moves come before it, and after how many days it is due. In that
    /// order, so that what is old enough for several goes straight to the last.
    async fn list_moves(&self) -> Result<Vec<(Tier, u32, u32)>> {
        let tiers = self.list_tiers(Scope::Platform).await?;
        let moves = tiers.into_iter().flat_map(|tier| {
            let steps: Vec<u32> = tier.moves.iter().map(|step| step.after_days).collect();
            (0..).zip(steps).map(move |(moves_begun, after_days)| (tier.clone(), moves_begun, after_days))
        });
        Ok(moves.collect())
    }
}
