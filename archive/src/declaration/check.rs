//! What can be said of a declaration without looking into the catalogue.

use std::sync::Arc;

use super::Declaration;
use crate::error::{Error, Result};
use crate::organisation::AfterArchive;
use crate::stores::Store;

const FORMATS: [&str; 5] = ["mp3", "opus", "flac", "wav", "original"];

pub(super) fn check(declaration: &Declaration, stores: &[Arc<Store>]) -> Result<()> {
    for reseller in &declaration.resellers {
        check_code("reseller", &reseller.code)?;
    }
    for tier in &declaration.tiers {
        check_code("tier", &tier.code)?;
        let invalid = |what: String| Error::Invalid(format!("tier \"{}\": {what}", tier.code));
        if !FORMATS.contains(&tier.format.as_str()) {
            return Err(invalid(format!("format \"{}\" is not one of {}", tier.format, FORMATS.join(", "))));
        }
        check_limits("tier", &tier.code, tier.days, tier.quota)?;
        if !(6_000..=512_000).contains(&tier.bitrate) {
            return Err(invalid(format!("bitrate {} is not between 6000 and 512000 bits a second", tier.bitrate)));
        }
        if let Some(name) = tier.stores.iter().find(|name| !stores.iter().any(|store| store.name() == *name)) {
            return Err(invalid(format!("store \"{name}\" is not configured")));
        }
    }
    for tenant in &declaration.tenants {
        check_code("tenant", &tenant.code)?;
        check_zone("tenant", &tenant.code, &tenant.time_zone)?;
    }
    for pbx in &declaration.pbxs {
        check_code("PBX", &pbx.code)?;
        check_limits("PBX", &pbx.code, pbx.days, pbx.quota)?;
    }
    for server in &declaration.core_servers {
        check_code("core server", &server.name)?;
        check_zone("core server", &server.name, &server.time_zone)?;
        let invalid = |what: &str| Error::Invalid(format!("core server \"{}\": {what}", server.name));
        if !server.spool.is_absolute() {
            return Err(invalid("spool must be an absolute path"));
        }
        if let AfterArchive::Move { to, .. } = &server.after
            && (!to.is_absolute() || to.starts_with(&server.spool))
        {
            return Err(invalid("after.to must be an absolute path outside the spool, or its files would come back"));
        }
    }
    for user in &declaration.users {
        check_login("user", &user.login)?;
        check_secret("user", &user.login, user.password.as_deref(), user.password_hash.as_deref())?;
        if user.token.as_ref().is_some_and(|token| token.len() < 32) {
            return Err(Error::Invalid(format!("user \"{}\": a token has at least 32 characters", user.login)));
        }
    }
    for account in &declaration.ftp_accounts {
        check_login("FTP account", &account.login)?;
        check_secret("FTP account", &account.login, account.password.as_deref(), account.password_hash.as_deref())?;
    }
    Ok(())
}

/// Nought would mean that everything goes, and whoever writes it means that nothing does.
fn check_limits(kind: &str, code: &str, days: Option<u32>, quota: Option<u64>) -> Result<()> {
    let limit = match (days, quota) {
        (Some(0), _) => "days",
        (_, Some(0)) => "quota",
        _ => return Ok(()),
    };
    Err(Error::Invalid(format!("{kind} \"{code}\": {limit} is 0: leave it out where there is no limit")))
}

fn check_code(kind: &str, code: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let starts = code.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts && code.len() <= 100 && code.chars().all(fits) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{kind} \"{code}\": use letters, digits, \"-\", \"_\" and \".\", beginning with a letter or digit, 100 at most"
    )))
}

fn check_login(kind: &str, login: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/' | ':');
    if !login.is_empty() && login.len() <= 100 && login.chars().all(fits) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "{kind} \"{login}\": a login is up to 100 ASCII characters, without space, quote, / \\ or :"
    )))
}

fn check_secret(kind: &str, login: &str, password: Option<&str>, hash: Option<&str>) -> Result<()> {
    let what = match (password, hash) {
        (Some(_), Some(_)) => "give password or password_hash, not both",
        (Some(password), None) if password.chars().count() < 8 => "a password has at least 8 characters",
        (Some(password), None) if password.len() > 1024 => "a password has at most 1024 bytes",
        (None, Some(hash)) if !hash.starts_with("$argon2id$") => "password_hash must be an argon2id hash ($argon2id$…)",
        _ => return Ok(()),
    };
    Err(Error::Invalid(format!("{kind} \"{login}\": {what}")))
}

fn check_zone(kind: &str, code: &str, zone: &str) -> Result<()> {
    jiff::tz::TimeZone::get(zone).map(|_| ()).map_err(|_| {
        Error::Invalid(format!("{kind} \"{code}\": time_zone \"{zone}\" is not an IANA zone such as \"Europe/Madrid\""))
    })
}
