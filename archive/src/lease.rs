//! Leases: which instance does a kind of work that only one may do at a time. They run on the database's clock, so
//! instances whose clocks differ agree; the fence grows with each new holder, so a late one can be told.

use std::time::Duration;

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Tx, params};
use crate::error::Result;

/// What the lease of an instance that is at work is called, before its name.
pub(crate) const INSTANCE: &str = "instance:";
/// How long an instance that died without a word counts as at work.
const INSTANCE_LEASE: Duration = Duration::from_secs(15);
/// How long what is known of an instance that is gone is kept.
const FORGET_INSTANCE: Duration = Duration::from_secs(30 * 86_400);

/// A lease that this instance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub name: String,
    /// Grows each time the lease changes hands.
    pub fence: u64,
}

/// An instance that works, or worked, on the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// Is it at work? Of one that died it is believed for a quarter of a minute.
    pub at_work: bool,
}

impl Archive {
    /// Takes the named lease, or prolongs it where this instance has it; `None` while another instance does.
    ///
    /// # Errors
    /// [`crate::Error::Moved`] when the catalogue was moved to another database.
    pub async fn acquire_lease(&self, name: &str, length: Duration) -> Result<Option<Lease>> {
        let now = self.db.now().await?;
        let mut tx = self.db.begin().await?;
        let row = tx
            .fetch_optional(
                "INSERT INTO leases (name, holder, fence, until) VALUES ($1, $2, 1, $3)
                 ON CONFLICT (name) DO UPDATE SET
                     fence = CASE WHEN leases.holder = excluded.holder THEN leases.fence ELSE leases.fence + 1 END,
                     holder = excluded.holder,
                     until = excluded.until
                 WHERE leases.holder = excluded.holder OR leases.until < $4
                 RETURNING fence",
                params![name, &self.instance, now.plus(length), now],
            )
            .await?;
        // Behind the change, which waits for a move that is under way.
        crate::db::schema::check_not_moved(&mut tx).await?;
        tx.commit().await?;
        row.map(|row| Ok(Lease { name: name.to_owned(), fence: row.get("fence")? })).transpose()
    }

    /// Gives the lease up, so that another instance need not wait for its end.
    pub async fn release_lease(&self, lease: &Lease) -> Result<()> {
        self.db
            .execute(
                "UPDATE leases SET until = 0 WHERE name = $1 AND holder = $2 AND fence = $3",
                params![&lease.name, &self.instance, lease.fence],
            )
            .await?;
        Ok(())
    }

    /// Sees to it that the transaction's changes are those of a holder: another instance cannot take the lease before
    /// the transaction ends.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] when the lease changed hands.
    pub(crate) async fn check_lease(&self, tx: &mut Tx, lease: &Lease) -> Result<()> {
        tx.change_one(
            "lease",
            "UPDATE leases SET until = until WHERE name = $1 AND holder = $2 AND fence = $3",
            params![&lease.name, &self.instance, lease.fence],
        )
        .await
    }

    /// Says to the others that this instance is at work. The root calls it every five seconds while it serves.
    pub async fn announce_instance(&self) -> Result<()> {
        self.acquire_lease(&format!("{INSTANCE}{}", self.instance), INSTANCE_LEASE).await.map(|_| ())
    }

    /// Says that this instance ends: its leases are free, its claims are given back. What it had in work and did not
    /// finish changes nothing from now on. What it has spooled waits for it a while, as for one that restarts.
    pub async fn retire_instance(&self) -> Result<()> {
        self.release_own_claims().await?;
        let now = self.db.now().await?;
        let mut tx = self.db.begin().await?;
        tx.execute(
            "UPDATE leases SET until = 0, fence = fence + 1 WHERE holder = $1 AND name <> $2 AND until > 0",
            params![&self.instance, format!("{INSTANCE}{}", self.instance)],
        )
        .await?;
        tx.execute(
            "UPDATE leases SET until = $1 WHERE name = $2 AND holder = $3 AND until > $1",
            params![now, format!("{INSTANCE}{}", self.instance), &self.instance],
        )
        .await?;
        tx.execute(
            "DELETE FROM leases WHERE until < $1 AND name = $2 || holder",
            params![now.minus(FORGET_INSTANCE), INSTANCE],
        )
        .await?;
        tx.commit().await
    }

    /// The instances that are at work, or were not long ago.
    pub async fn list_instances(&self) -> Result<Vec<Instance>> {
        let now = self.db.now().await?;
        let sql = "SELECT holder, until FROM leases WHERE name = $1 || holder ORDER BY holder";
        let rows = self.db.fetch_all(sql, params![INSTANCE]).await?;
        rows.iter()
            .map(|row| {
                let until: Instant = row.get("until")?;
                Ok(Instance { name: row.get("holder")?, at_work: until > now })
            })
            .collect()
    }
}
