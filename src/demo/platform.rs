//! The demo's platform: two resellers, three tenants, four PBXs, two core servers; and what is said of it.

use std::net::SocketAddr;
use std::path::Path;

use archive::Declaration;
use serde_json::json;

use super::secrets::{ROLES, Secrets, variable};

/// The PBXs, by code.
pub(super) const PBXS: [&str; 4] = ["acme-sales", "acme-support", "borealis", "cobalt"];

/// What `fonoteca apply` would be given.
pub(super) fn declaration(dir: &Path, secrets: &Secrets) -> anyhow::Result<Declaration> {
    let users = ROLES.map(|(role, login)| {
        let of = match role {
            "RESELLER" => Some("northwind"),
            "TENANT" => Some("acme"),
            "PBX" => Some("acme-sales"),
            _ => None,
        };
        json!({
            "login": login,
            "role": role.to_ascii_lowercase(),
            "of": of,
            "password": secrets.get(&format!("{role}_PASSWORD")),
            "token": secrets.get(&format!("{role}_TOKEN")),
        })
    });
    let accounts = PBXS.map(|pbx| {
        let password = secrets.get(&format!("FTP_{}_PASSWORD", variable(pbx)));
        json!({ "login": pbx, "pbx": pbx, "password": password })
    });
    Ok(serde_json::from_value(json!({
        "resellers": [
            { "code": "northwind", "name": "Northwind Telecom" },
            { "code": "southbay", "name": "Southbay Voice" },
        ],
        "tiers": [
            { "code": "premium", "name": "A year, MP3", "days": 365, "quota": "5 GB", "format": "mp3", "bitrate": 32_000 },
            { "code": "compact", "name": "200 kB a PBX, Opus", "quota": "200 kB", "format": "opus", "bitrate": 16_000 },
            { "code": "month", "name": "30 days, MP3", "days": 30, "format": "mp3", "bitrate": 32_000 },
        ],
        "tenants": [
            { "code": "acme", "name": "Acme", "reseller": "northwind", "tier": "premium", "time_zone": "Europe/Madrid" },
            { "code": "borealis", "name": "Borealis", "reseller": "northwind", "tier": "compact" },
            { "code": "cobalt", "name": "Cobalt", "reseller": "southbay", "tier": "month",
              "time_zone": "America/New_York" },
        ],
        "pbxs": [
            { "code": "acme-sales", "name": "Acme, sales", "tenant": "acme" },
            { "code": "acme-support", "name": "Acme, support", "tenant": "acme" },
            { "code": "borealis", "name": "Borealis", "tenant": "borealis" },
            { "code": "cobalt", "name": "Cobalt", "tenant": "cobalt" },
        ],
        "core_servers": [
            { "name": "core-a", "spool": dir.join("core-a"), "layout": "asterisk", "time_zone": "UTC" },
            { "name": "core-b", "spool": dir.join("core-b"), "layout": "fusionpbx", "time_zone": "UTC",
              "aliases": { "support.acme.example": "acme-support", "cobalt.example": "cobalt" } },
        ],
        "users": users,
        "ftp_accounts": accounts,
    }))?)
}

/// Where to look.
pub(super) fn welcome(
    dir: &Path,
    http: SocketAddr,
    operations: SocketAddr,
    ftp: SocketAddr,
    secrets: &Secrets,
) -> String {
    let mut lines = vec![
        String::new(),
        "Fonoteca is running. Two core servers are recording; watch their calls arrive:".to_owned(),
        String::new(),
        format!("  HTTP        http://{http}/api/v1/recordings"),
        format!("  operations  http://{operations}/metrics"),
        format!("  FTP         ftp://{ftp}   (explicit TLS with a self-made certificate, or clear)"),
        format!("  files       {}", dir.display()),
        String::new(),
        "  role      user             token".to_owned(),
    ];
    for (role, login) in ROLES {
        let token = secrets.get(&format!("{role}_TOKEN"));
        lines.push(format!("  {:<9} {login:<16} {token}", role.to_ascii_lowercase()));
    }
    lines.extend([String::new(), "  FTP account       password".to_owned()]);
    for pbx in PBXS {
        let password = secrets.get(&format!("FTP_{}_PASSWORD", variable(pbx)));
        lines.push(format!("  {pbx:<17} {password}"));
    }
    let (token, password) = (secrets.get("TENANT_TOKEN"), secrets.get("FTP_ACME_SALES_PASSWORD"));
    lines.extend([
        String::new(),
        "The tenant's newest recordings, then all that the PBX acme-sales has, by FTP:".to_owned(),
        String::new(),
        format!("  curl -sH 'Authorization: Bearer {token}' 'http://{http}/api/v1/recordings?limit=5'"),
        format!(
            "  lftp -u acme-sales,{password} -e 'set ssl:verify-certificate no; mirror / acme-sales; quit' ftp://{ftp}"
        ),
        String::new(),
        "borealis keeps 200 kB and cobalt 30 days (a few of its calls are older): both rotate while you watch."
            .to_owned(),
        format!("Everything above is in {}. Stop with Ctrl-C.", dir.join("demo.env").display()),
        String::new(),
    ]);
    lines.join("\n")
}
