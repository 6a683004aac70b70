//! The closed vocabularies of the catalogue: each word is the same in Rust, SQL, JSON and on the command line.

use std::fmt;
use std::str::FromStr;

use crate::db::{Column, Row, Value};
use crate::error::{Error, Result};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Error::Invalid(format!(
                        "\"{text}\" is not one of {}", [$($word),+].join(", ")
                    ))),
                }
            }
        }

        impl From<$name> for Value {
            fn from(word: $name) -> Self {
                Self::from(word.as_str())
            }
        }

        impl Column for $name {
            fn read(row: &Row, column: &'static str) -> Result<Self> {
                let text: String = row.get(column)?;
                text.parse().map_err(|error: Error| Error::integrity(column, "?", error.to_string()))
            }
        }
    )+};
}

words! {
    /// Where a source is on its way. The states are the queue: there is no other job table.
    SourceState {
        /// Its core server lists it as finished; nothing was read yet.
        Discovered = "discovered",
        /// Copied to an instance's landing zone, and hashed.
        Spooled = "spooled",
        /// Its recording is archived, or it turned out to be one that already was.
        Done = "done",
        /// Cannot be archived; kept where it is, with the reason.
        Quarantined = "quarantined",
    }

    /// Where a recording is in its life.
    RecordingState {
        /// At least one live object in each store that its tier requires.
        Archived = "archived",
        /// Due and no longer visible; can be brought back until it is purged.
        Expired = "expired",
        /// Its objects are being removed; there is no way back.
        Purging = "purging",
    }

    /// Where an object is in its life.
    ObjectState {
        /// Its bytes are on their way into the store.
        Writing = "writing",
        /// Its bytes are durable and it may be read.
        Live = "live",
        /// Its bytes are being removed.
        Dropping = "dropping",
    }

    /// Why a recording's copies are not where they should be.
    CopyReason {
        /// A copy that it had was damaged, or lost with its store.
        Repair = "repair",
        /// It is archived, and further copies that its tier names follow.
        Copy = "copy",
        /// It is old enough to lie in other stores.
        Move = "move",
        /// No sound copy of it is left to copy from.
        Lost = "lost",
    }

    /// Which side of the call a recording holds.
    Leg {
        /// Both parties in one.
        Mixed = "mixed",
        /// What the caller said.
        Caller = "caller",
        /// What the caller heard.
        Callee = "callee",
    }

    /// Which way a call went, seen from the PBX.
    Direction {
        /// From outside.
        In = "in",
        /// To outside.
        Out = "out",
        /// Between two extensions.
        Internal = "internal",
        /// The core server does not say.
        Unknown = "unknown",
    }

    /// How a done source ended.
    Outcome {
        /// Its recording was archived.
        Archived = "archived",
        /// The very recording was already there.
        Duplicate = "duplicate",
        /// The very recording was purged before, and does not come back.
        Refused = "refused",
    }

    /// How strict a retention lock is.
    LockMode {
        /// There is none.
        None = "none",
        /// May be lifted by one who is allowed to, and says so.
        Governance = "governance",
        /// Nobody may lift or shorten it.
        Compliance = "compliance",
    }

    /// What a byte of usage counts as.
    UsageClass {
        /// Visible, and counted to a quota.
        Live = "live",
        /// Expired but not yet purged.
        Grace = "grace",
        /// Older than its core server's enrolment, and not yet confirmed by an operator.
        Guarded = "guarded",
    }

    /// Why a recording expired.
    ExpiryReason {
        /// It was older than its PBX's days.
        Days = "days",
        /// Its PBX was over its quota and it was the oldest that could go.
        Quota = "quota",
        /// Its tenant was over its quota, and its PBX over its share of it.
        TenantQuota = "tenant-quota",
        /// Its reseller was over its quota, and its tenant and PBX over their shares of it.
        ResellerQuota = "reseller-quota",
    }
}
