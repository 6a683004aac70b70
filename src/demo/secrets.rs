//! The demo's logins: made at its first start, kept in `demo.env`, the same at every later one.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use archive::random_text;

use super::platform::PBXS;

/// The four roles, as `demo.env` and people call them.
pub(super) const ROLES: [(&str, &str); 4] =
    [("OPERATOR", "operator"), ("RESELLER", "northwind-admin"), ("TENANT", "acme-admin"), ("PBX", "acme-sales-user")];

/// Every variable of `demo.env`.
pub(super) struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Those of an earlier start, completed where some are missing.
    pub(super) fn load_or_make(dir: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(dir.join("demo.env")).unwrap_or_default();
        let mut known: BTreeMap<String, String> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (role, login) in ROLES {
            known.insert(format!("{role}_USER"), login.to_owned());
            known.entry(format!("{role}_PASSWORD")).or_insert_with(|| random_text(20));
            known.entry(format!("{role}_TOKEN")).or_insert_with(|| format!("fon_{}", random_text(40)));
        }
        for pbx in PBXS {
            let code = variable(pbx);
            known.insert(format!("FTP_{code}_USER"), pbx.to_owned());
            known.entry(format!("FTP_{code}_PASSWORD")).or_insert_with(|| random_text(20));
        }
        Ok(Self(known))
    }

    /// The value of a variable that [`Secrets::load_or_make`] has set.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Writes `demo.env`, for its owner's eyes, complete or not at all.
    pub(super) fn write(&self, dir: &Path, http: SocketAddr, ftp: SocketAddr) -> anyhow::Result<()> {
        let mut all = self.0.clone();
        all.insert("FONOTECA_HTTP".to_owned(), format!("http://{http}"));
        all.insert("FONOTECA_FTP".to_owned(), format!("ftp://{ftp}"));
        let text: String = all.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        let (new, path) = (dir.join("demo.env.new"), dir.join("demo.env"));
        let _ = std::fs::remove_file(&new);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .context("write demo.env")?;
        file.write_all(text.as_bytes()).context("write demo.env")?;
        std::fs::rename(&new, &path).context("write demo.env")
    }
}

/// A PBX's code as a part of a variable's name: `acme-sales` is `ACME_SALES`.
pub(super) fn variable(code: &str) -> String {
    code.to_ascii_uppercase().replace(['-', '.'], "_")
}
