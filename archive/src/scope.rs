//! Who may see what ([`Scope`]), and who does what ([`Actor`]).
//!
//! Every read on a person's behalf takes a scope as its first argument. What is out of scope looks exactly like what
//! does not exist: the scope is a condition of the statement, never a check after it.

use std::fmt;

use crate::db::Value;
use crate::error::{Error, Result};
use crate::id::{PbxId, ResellerId, TenantId, UserId};

/// How far a person's eyes reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The operator: everything, unassigned recordings included.
    Platform,
    /// A reseller: all of its tenants.
    Reseller(ResellerId),
    /// A tenant: all of its PBXs.
    Tenant(TenantId),
    /// One PBX.
    Pbx(PbxId),
}

impl Scope {
    /// The word for this level: `platform`, `reseller`, `tenant` or `pbx`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Reseller(_) => "reseller",
            Self::Tenant(_) => "tenant",
            Self::Pbx(_) => "pbx",
        }
    }

    /// The id at this level, where there is one.
    pub fn id(self) -> Option<[u8; 16]> {
        match self {
            Self::Platform => None,
            Self::Reseller(id) => Some(id.to_bytes()),
            Self::Tenant(id) => Some(id.to_bytes()),
            Self::Pbx(id) => Some(id.to_bytes()),
        }
    }

    pub(crate) fn from_parts(kind: &str, id: Option<&[u8]>) -> Result<Self> {
        let broken = || Error::integrity("users", "?", format!("scope \"{kind}\" does not fit its id"));
        match kind {
            "platform" => Ok(Self::Platform),
            "reseller" => id.and_then(ResellerId::from_slice).map(Self::Reseller).ok_or_else(broken),
            "tenant" => id.and_then(TenantId::from_slice).map(Self::Tenant).ok_or_else(broken),
            "pbx" => id.and_then(PbxId::from_slice).map(Self::Pbx).ok_or_else(broken),
            _ => Err(broken()),
        }
    }

    pub(crate) fn id_value(self) -> Value {
        Value::Bytes(self.id().map(|id| id.to_vec()))
    }

    /// The SQL condition by which rows that carry `tenant_id` and `pbx_id` are this scope's; adds its parameter.
    pub(crate) fn condition(self, params: &mut Vec<Value>) -> String {
        let mut id = || {
            params.push(self.id_value());
            params.len()
        };
        match self {
            Self::Platform => "1 = 1".to_owned(),
            Self::Reseller(_) => {
                format!("tenant_id IN (SELECT t.id FROM tenants t WHERE t.reseller_id = ${})", id())
            }
            Self::Tenant(_) => format!("tenant_id = ${}", id()),
            Self::Pbx(_) => format!("pbx_id = ${}", id()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("platform"),
            Self::Reseller(id) => write!(f, "reseller {id}"),
            Self::Tenant(id) => write!(f, "tenant {id}"),
            Self::Pbx(id) => write!(f, "pbx {id}"),
        }
    }
}

/// Who is behind a change or a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Fonoteca itself: the named part of it.
    System(&'static str),
    /// A person at the machine's command line.
    CommandLine,
    /// A user, by password or token.
    User(UserId),
    /// An FTP account, by its login.
    FtpAccount(String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(part) => write!(f, "system:{part}"),
            Self::CommandLine => f.write_str("command-line"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::FtpAccount(login) => write!(f, "ftp:{login}"),
        }
    }
}

/// Who does something, from where: every change takes one, and the audit keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Who.
    pub principal: Principal,
    /// How far this one may reach.
    pub scope: Scope,
    /// The network address it came from.
    pub address: Option<std::net::IpAddr>,
    /// The request it was part of.
    pub request_id: Option<String>,
}

impl Actor {
    /// The named part of Fonoteca, which may do everything.
    pub fn system(part: &'static str) -> Self {
        Self { principal: Principal::System(part), scope: Scope::Platform, address: None, request_id: None }
    }

    /// A person at the machine's command line, who may do everything.
    pub fn command_line() -> Self {
        Self { principal: Principal::CommandLine, scope: Scope::Platform, address: None, request_id: None }
    }
}
