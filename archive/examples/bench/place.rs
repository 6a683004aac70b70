//! Where a run keeps what it makes: an empty catalogue of either engine, an empty store of either kind.

use std::path::Path;
use std::sync::Arc;

use archive::testing::S3Server;
use archive::{Actor, Archive, Declaration, Options, Pbx, Scope, StoreConfig};
use serde_json::json;
use sqlx::Connection;

use crate::Outcome;

/// PBXs of the platform: a few recordings a second make so many of them busy.
pub(crate) const PBXS: usize = 1_000;
const PBXS_OF_A_TENANT: usize = 5;
/// Core servers that are declared; a run takes as many of them as it is told.
pub(crate) const CORE_SERVERS: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// An empty database.
    pub(crate) async fn database(self, directory: &Path) -> Outcome<String> {
        match self {
            Self::Sqlite => Ok(format!("sqlite:{}", directory.join("catalogue.db").display())),
            Self::Postgres => {
                let server = std::env::var("FONOTECA_TEST_POSTGRES")
                    .map_err(|_| "FONOTECA_TEST_POSTGRES is not set: run this by `make bench-archive`")?;
                let name = format!("bench_{:032x}", rand::random::<u128>());
                let mut connection = sqlx::PgConnection::connect(&server).await?;
                let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
                sqlx::query(sql).execute(&mut connection).await?;
                let (base, _) = server.rsplit_once('/').ok_or("a URL without a database")?;
                Ok(format!("{base}/{name}"))
            }
        }
    }
}

/// Drops what [`Engine::database`] made.
pub(crate) async fn drop_database(url: &str) -> Outcome<()> {
    let Some((base, name)) = url.strip_prefix("postgres://").and(url.rsplit_once('/')) else { return Ok(()) };
    let mut connection = sqlx::PgConnection::connect(&format!("{base}/postgres")).await?;
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&mut connection).await?;
    Ok(())
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum StoreKind {
    Disk,
    S3,
}

impl StoreKind {
    pub(crate) const ALL: [Self; 2] = [Self::Disk, Self::S3];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::S3 => "S3",
        }
    }
}

/// An empty store, and the server that it needs: one in this process, whose CPU time is part of the run's, bare or not.
pub(crate) struct Place {
    pub(crate) config: StoreConfig,
    _server: Option<S3Server>,
}

impl Place {
    pub(crate) async fn new(kind: StoreKind, directory: &Path) -> Outcome<Self> {
        let directory = directory.join("store");
        match kind {
            StoreKind::Disk => {
                let url = directory.display().to_string();
                Ok(Self { config: StoreConfig { name: "disk".to_owned(), url, options: vec![] }, _server: None })
            }
            StoreKind::S3 => {
                let server = S3Server::start(&directory).await;
                let endpoint = format!("http://{}", server.address);
                let options = [
                    ("endpoint", endpoint.as_str()),
                    ("region", "us-east-1"),
                    ("access_key_id", "access"),
                    ("secret_access_key", "secret"),
                    ("allow_http", "true"),
                ];
                let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
                let url = "s3://recordings".to_owned();
                Ok(Self { config: StoreConfig { name: "s3".to_owned(), url, options }, _server: Some(server) })
            }
        }
    }
}

/// Opens the archive and declares the platform; its PBXs, in the order of their codes.
pub(crate) async fn open(database_url: &str, store: StoreConfig) -> Outcome<(Arc<Archive>, Vec<Pbx>)> {
    let archive = Arc::new(Archive::open(Options::new(database_url, vec![store], "bench")).await?);
    let tenants = PBXS / PBXS_OF_A_TENANT;
    let declaration: Declaration = serde_json::from_value(json!({
        "resellers": [{ "code": "north", "name": "North Telecom" }],
        "tiers": [{ "code": "basic", "name": "A year", "days": 365, "format": "mp3" }],
        "tenants": (0..tenants).map(|n| json!({
            "code": format!("tenant-{n:04}"), "name": format!("Tenant {n}"), "reseller": "north", "tier": "basic",
        })).collect::<Vec<_>>(),
        "pbxs": (0..PBXS).map(|n| json!({
            "code": pbx_code(n), "name": format!("PBX {n}"), "tenant": format!("tenant-{:04}", n / PBXS_OF_A_TENANT),
        })).collect::<Vec<_>>(),
        "core_servers": (1..=CORE_SERVERS).map(|n| json!({
            "name": format!("core-{n}"), "spool": format!("/nowhere/{n}"), "layout": "asterisk",
        })).collect::<Vec<_>>(),
    }))?;
    archive.apply(&Actor::command_line(), &declaration).await?;
    let pbxs = archive.list_pbxs(Scope::Platform).await?;
    Ok((archive, pbxs))
}

pub(crate) fn pbx_code(n: usize) -> String {
    format!("pbx-{n:04}")
}
