//! Tiers: what is sold, and with it where recordings lie: in which stores at first, and where they go with age.

use serde::{Deserialize, Serialize};

use crate::Archive;
use crate::db::{Row, params};
use crate::error::{Error, Result};
use crate::id::{ResellerId, TierId};
use crate::levels::Quota;
use crate::scope::Scope;

/// What is sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Its id.
    pub id: TierId,
    /// Its short name, unique on the platform.
    pub code: String,
    /// The reseller whose own tier it is; `None`: the operator's.
    pub reseller: Option<ResellerId>,
    /// Its full name.
    pub name: String,
    /// Recordings older than this many days rotate out; `None`: no age does.
    pub days: Option<u32>,
    /// A PBX's live recordings beyond these rotate out, oldest first.
    pub quota: Quota,
    /// `mp3`, `opus`, `flac`, `wav`, or `original`.
    pub format: String,
    /// What mp3 and opus are encoded at.
    pub bitrate_bps: u32,
    /// The stores that new recordings go to, the preferred one first; none: the first one configured.
    pub stores: Vec<String>,
    /// How many of the stores a recording must be in to be archived: the first so many that take it. The others follow.
    /// `None`: all of them.
    pub copies: Option<u32>,
    /// Where recordings go with age, the earliest move first.
    pub moves: Vec<TierMove>,
}

/// A tier move: from some age on, recordings lie in other stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierMove {
    /// How many days after their call began recordings move.
    pub after_days: u32,
    /// The stores that they move to, all of them; out of any other they go.
    pub to: Vec<String>,
}

impl Tier {
    /// The stores that a recording belongs in which has begun so many of the tier's moves.
    pub fn stores_after(&self, moves_begun: u32) -> &[String] {
        // A tier that has fewer moves than it once had leaves the recordings where its last one brings them.
        let moves = &self.moves[..self.moves.len().min(moves_begun as usize)];
        moves.last().map_or(&self.stores, |last| &last.to)
    }

    /// How many copies `archived` needs, in a tier of so many stores.
    pub fn required_copies(&self, stores: usize) -> usize {
        self.copies.map_or(stores, |copies| stores.min(copies as usize)).max(1)
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self> {
        let (id, stores, moves): (TierId, String, String) =
            (row.get("tier_id")?, row.get("stores")?, row.get("tier_moves")?);
        Ok(Self {
            id,
            code: row.get("tier_code")?,
            reseller: row.get("tier_reseller_id")?,
            name: row.get("tier_name")?,
            days: optional_u32(row, "tier_days")?,
            quota: Quota::from_row(row, ["tier_quota_bytes", "tier_quota_audio_ms", "tier_quota_recordings"])?,
            format: row.get("format")?,
            bitrate_bps: row.get("bitrate_bps")?,
            stores: stores.split_whitespace().map(str::to_owned).collect(),
            copies: optional_u32(row, "tier_copies")?,
            moves: serde_json::from_str(&moves).map_err(|error| Error::integrity("tiers", id, error.to_string()))?,
        })
    }
}

pub(crate) fn optional_u32(row: &Row, column: &'static str) -> Result<Option<u32>> {
    let value: Option<u64> = row.get(column)?;
    value.map(|value| u32::try_from(value).map_err(|_| Error::integrity(column, value, "does not fit"))).transpose()
}

pub(crate) const TIER_COLUMNS: &str = "tiers.id AS tier_id, tiers.code AS tier_code, \
    tiers.reseller_id AS tier_reseller_id, tiers.name AS tier_name, tiers.days AS tier_days, \
    tiers.quota_bytes AS tier_quota_bytes, tiers.quota_audio_ms AS tier_quota_audio_ms, \
    tiers.quota_recordings AS tier_quota_recordings, tiers.format AS format, tiers.bitrate_bps AS bitrate_bps, \
    tiers.stores AS stores, tiers.copies AS tier_copies, tiers.moves AS tier_moves";

impl Archive {
    /// Every tier that the scope may know of, by code: the operator's, and those of its own reseller.
    pub async fn list_tiers(&self, scope: Scope) -> Result<Vec<Tier>> {
        let (condition, params) = match scope {
            Scope::Platform => ("1 = 1", params![]),
            Scope::Reseller(id) => ("reseller_id = $1", params![id]),
            Scope::Tenant(id) => ("reseller_id = (SELECT t.reseller_id FROM tenants t WHERE t.id = $1)", params![id]),
            Scope::Pbx(id) => (
                "reseller_id = (SELECT t.reseller_id
                                FROM pbxs p
                                JOIN tenants t ON t.id = p.tenant_id
                                WHERE p.id = $1)",
                params![id],
            ),
        };
        let sql = format!("SELECT {TIER_COLUMNS} FROM tiers WHERE reseller_id IS NULL OR {condition} ORDER BY code");
        self.db.fetch_all(sql, params).await?.iter().map(Tier::from_row).collect()
    }

    /// The tier of that id, for work that is nobody's in particular (copies).
    pub(crate) async fn find_tier(&self, id: TierId) -> Result<Option<Tier>> {
        let sql = format!("SELECT {TIER_COLUMNS} FROM tiers WHERE id = $1");
        self.db.fetch_optional(sql, params![id]).await?.as_ref().map(Tier::from_row).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Instant;

    #[test]
    fn a_recording_belongs_where_the_last_of_its_moves_says() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let step = |after_days, to: &[&str]| TierMove { after_days, to: names(to) };
        let tier = Tier {
            id: TierId::new(Instant::from_millis(0)),
            code: "year".to_owned(),
            reseller: None,
            name: "A year".to_owned(),
            days: Some(365),
            quota: Quota::default(),
            format: "mp3".to_owned(),
            bitrate_bps: 32_000,
            stores: names(&["disk", "bucket"]),
            copies: Some(1),
            moves: vec![step(30, &["bucket"]), step(90, &["cold"])],
        };
        let belongs = |moves_begun| tier.stores_after(moves_begun).join(" ");
        assert_eq!([belongs(0), belongs(1), belongs(2), belongs(3)], ["disk bucket", "bucket", "cold", "cold"]);
        let without = Tier { moves: vec![], ..tier.clone() };
        assert_eq!(without.stores_after(2).join(" "), "disk bucket");
        // (copies, stores) -> required
        for (copies, stores, required) in [(None, 2, 2), (Some(1), 2, 1), (Some(3), 2, 2), (None, 0, 1)] {
            assert_eq!(Tier { copies, ..tier.clone() }.required_copies(stores), required, "{copies:?} of {stores}");
        }
    }
}
