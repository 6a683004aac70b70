//! What can be said of a declaration without looking into the catalogue.

use std::sync::Arc;

use super::{Declaration, DeclaredTier};
use crate::error::{Error, Result};
use crate::organisation::AfterArchive;
use crate::stores::Store;

const FORMATS: [&str; 5] = ["mp3", "opus", "flac", "wav", "original"];

pub(super) fn check(declaration: &Declaration, stores: &[Arc<Store>]) -> Result<()> {
    for reseller in &declaration.resellers {
        check_code("reseller", &reseller.code)?;
        reseller.limits().check("reseller", &reseller.code)?;
    }
    for tier in &declaration.tiers {
        check_code("tier", &tier.code)?;
        let invalid = |what: String| Error::Invalid(format!("tier \"{}\": {what}", tier.code));
        if !FORMATS.contains(&tier.format.as_str()) {
            return Err(invalid(format!("format \"{}\" is not one of {}", tier.format, FORMATS.join(", "))));
        }
        tier.limits().check("tier", &tier.code)?;
        if !(6_000..=512_000).contains(&tier.bitrate) {
            return Err(invalid(format!("bitrate {} is not between 6000 and 512000 bits a second", tier.bitrate)));
        }
        check_stores(tier, stores).map_err(invalid)?;
    }
    for tenant in &declaration.tenants {
        check_code("tenant", &tenant.code)?;
        tenant.limits().check("tenant", &tenant.code)?;
        check_zone("tenant", &tenant.code, &tenant.time_zone)?;
    }
    for pbx in &declaration.pbxs {
        check_code("PBX", &pbx.code)?;
        pbx.limits().check("PBX", &pbx.code)?;
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

fn check_stores(tier: &DeclaredTier, stores: &[Arc<Store>]) -> Result<(), String> {
    let mut last = 0;
    for step in &tier.moves {
        if step.to.is_empty() {
            return Err("a move names no store to move to".to_owned());
        }
        if step.after_days <= last {
            return Err(format!(
                "moves must come one after the other, a day apart at least: see {} days",
                step.after_days
            ));
        }
        last = step.after_days;
    }
    for named in std::iter::once(&tier.stores).chain(tier.moves.iter().map(|step| &step.to)) {
        for (n, name) in named.iter().enumerate() {
            if !stores.iter().any(|store| store.name() == name) {
                return Err(format!("store \"{name}\" is not configured"));
            }
            if named[..n].contains(name) {
                return Err(format!("store \"{name}\" is named twice: two copies in one store are lost together"));
            }
        }
    }
    match tier.copies {
        Some(copies) if copies == 0 || copies as usize > tier.stores.len().max(1) => {
            Err(format!("copies is {copies}, but it has {} stores to choose from", tier.stores.len().max(1)))
        }
        _ => Ok(()),
    }
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
