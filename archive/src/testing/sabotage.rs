//! Sabotage: what no method of the archive does, so that tests see what happens then.

use super::TestArchive;

impl TestArchive {
    /// Runs a statement on the catalogue as it is, past every guard; says how many rows it touched.
    pub async fn sabotage(&self, sql: &'static str) -> u64 {
        self.archive.db.execute(sql, vec![]).await.expect("sabotage the catalogue")
    }
}
