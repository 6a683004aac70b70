//! Sabotage: what no method of the archive does, so that tests see what happens then.

use super::TestArchive;

impl TestArchive {
    /// Runs a statement on the catalogue as it is, past every guard; says how many rows it touched.
    pub async fn sabotage(&self, sql: &'static str) -> u64 {
        self.archive.db.execute(sql, vec![]).await.expect("sabotage the catalogue")
    }

    /// From now on no row can be added to the audit.
    pub async fn break_audit(&self) {
        self.break_audit_where("1 = 1").await;
    }

    /// From now on no row about that target can be added to the audit.
    pub async fn break_audit_for(&self, target: &str) {
        self.break_audit_where(&format!("NEW.target = '{target}'")).await;
    }

    async fn break_audit_where(&self, condition: &str) {
        let statements = match self.archive.engine() {
            "sqlite" => vec![format!(
                "CREATE TRIGGER full_audit BEFORE INSERT ON audit WHEN {condition}
                 BEGIN SELECT RAISE(ABORT, 'no room for the audit'); END"
            )],
            _ => vec![
                "CREATE OR REPLACE FUNCTION refuse_audit() RETURNS trigger
                 AS 'BEGIN RAISE ''no room for the audit''; END' LANGUAGE plpgsql"
                    .to_owned(),
                format!(
                    "CREATE TRIGGER full_audit BEFORE INSERT ON audit FOR EACH ROW WHEN ({condition})
                     EXECUTE FUNCTION refuse_audit()"
                ),
            ],
        };
        for sql in statements {
            self.archive.db.execute(sql, vec![]).await.expect("break the audit");
        }
    }

    /// Rows can be added to the audit again.
    pub async fn mend_audit(&self) {
        match self.archive.engine() {
            "sqlite" => self.sabotage("DROP TRIGGER full_audit").await,
            _ => self.sabotage("DROP TRIGGER full_audit ON audit").await,
        };
    }
}
