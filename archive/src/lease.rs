//! Leases: which instance does a kind of work that only one may do at a time. They run on the database's clock, so
//! instances whose clocks differ agree; the fence grows with each new holder, so a late one can be told.

use std::time::Duration;

use crate::Archive;
use crate::db::params;
use crate::error::Result;

/// A lease that this instance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What for.
    pub name: String,
    /// Grows each time the lease changes hands.
    pub fence: u64,
}

impl Archive {
    /// Takes the named lease, or prolongs it where this instance has it; `None` while another instance does.
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
}
