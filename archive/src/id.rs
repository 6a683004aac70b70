//! Ids: 16-byte ULIDs, each kind a type of its own so that a tenant's id never stands where a recording's is meant.
//!
//! In the catalogue they are 16 bytes; to people they are 26 letters and digits. A [`RecordingId`]'s time is the
//! instant its retention counts from, so ids sort by age.

use std::fmt;
use std::str::FromStr;

use crate::clock::Instant;
use crate::error::{Error, Result};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(ulid::Ulid);

        impl $name {
            /// A new id whose time part is `at`.
            pub fn new(at: Instant) -> Self {
                Self(ulid::Ulid::from_parts(u64::try_from(at.millis()).unwrap_or(0), rand::random()))
            }

            /// The smallest id whose time part is `at`: every id of an earlier time sorts before it.
            pub fn first_of(at: Instant) -> Self {
                Self(ulid::Ulid::from_parts(u64::try_from(at.millis()).unwrap_or(0), 0))
            }

            /// The id's 16 bytes, as the catalogue keeps them.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// An id from the catalogue's bytes; `None` unless there are exactly 16.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Some(Self(ulid::Ulid::from_bytes(bytes.try_into().ok()?)))
            }

            /// The instant in the id.
            pub fn instant(self) -> Instant {
                Instant::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0.array_to_str(&mut [0; 26]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// Reads the 26 letters; anything else is [`Error::NotFound`], for no such id can exist.
            fn from_str(text: &str) -> Result<Self> {
                ulid::Ulid::from_string(text).map(Self).map_err(|_| Error::NotFound($what))
            }
        }

        impl From<$name> for crate::db::Value {
            fn from(id: $name) -> Self {
                crate::db::Value::Bytes(Some(id.to_bytes().to_vec()))
            }
        }

        impl From<Option<$name>> for crate::db::Value {
            fn from(id: Option<$name>) -> Self {
                crate::db::Value::Bytes(id.map(|id| id.to_bytes().to_vec()))
            }
        }

        impl crate::db::Column for $name {
            fn read(row: &crate::db::Row, column: &'static str) -> Result<Self> {
                let bytes: Vec<u8> = row.get(column)?;
                Self::from_slice(&bytes).ok_or_else(|| Error::integrity(column, "?", "id is not 16 bytes long"))
            }
        }

        impl crate::db::Column for Option<$name> {
            fn read(row: &crate::db::Row, column: &'static str) -> Result<Self> {
                let bytes: Option<Vec<u8>> = row.get(column)?;
                bytes
                    .map(|bytes| {
                        $name::from_slice(&bytes)
                            .ok_or_else(|| Error::integrity(column, "?", "id is not 16 bytes long"))
                    })
                    .transpose()
            }
        }
    )+};
}

ids! {
    /// A catalogue.
    CatalogueId = "catalogue";
    /// A reseller.
    ResellerId = "reseller";
    /// A tenant.
    TenantId = "tenant";
    /// A virtual PBX.
    PbxId = "PBX";
    /// A tier.
    TierId = "tier";
    /// A rotation policy of one PBX.
    PolicyId = "policy";
    /// A store.
    StoreId = "store";
    /// A core server.
    CoreServerId = "core server";
    /// A source.
    SourceId = "source";
    /// A call.
    CallId = "call";
    /// A recording; its time is `retain_from`.
    RecordingId = "recording";
    /// An object in a store.
    ObjectId = "object";
    /// A legal hold.
    HoldId = "hold";
    /// A user.
    UserId = "user";
    /// A bearer token.
    TokenId = "token";
    /// An FTP account.
    FtpAccountId = "FTP account";
    /// A row of the audit.
    AuditId = "audit row";
    /// An event in the outbox.
    EventId = "event";
    /// A run of rotation.
    RunId = "run";
    /// A backup of the catalogue.
    BackupId = "backup";
    /// A part of the journal.
    JournalId = "part of the journal";
    /// A restore.
    RestoreId = "restore";
    /// A request at a door.
    RequestId = "request";
}

impl TenantId {
    /// Under this id usage of unassigned recordings is counted.
    pub const UNASSIGNED: Self = Self(ulid::Ulid::nil());
}

impl PbxId {
    /// Under this id usage of unassigned recordings is counted.
    pub const UNASSIGNED: Self = Self(ulid::Ulid::nil());
}

impl TierId {
    /// Under this id usage of recordings outside every tier is counted.
    pub const NONE: Self = Self(ulid::Ulid::nil());
}
