//! `fonoteca audit`: who did what, and is the record of it whole?

use archive::{AuditRow, Error, Scope};
use serde_json::json;

use crate::config::Config;
use crate::output::{Form, say, say_json};
use crate::{Outcome, WrongUse, instance};

pub(super) async fn verify(config: &Config) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "audit").await?;
    let outcome = match archive.verify_audit().await {
        Ok(rows) => {
            say(&format!("{rows} rows, and every one links to the one before it"));
            Outcome::Done
        }
        Err(error @ Error::Integrity { .. }) => {
            say(&error.to_string());
            Outcome::FoundSomethingWrong
        }
        Err(error) => return Err(error.into()),
    };
    archive.close().await?;
    Ok(outcome)
}

pub(super) async fn list(
    config: &Config,
    tenant: Option<&str>,
    pbx: Option<&str>,
    limit: u32,
    form: Form,
) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "audit").await?;
    let scope = match (tenant, pbx) {
        (Some(code), _) => {
            let found = archive.list_tenants(Scope::Platform).await?.into_iter().find(|tenant| tenant.code == code);
            let tenant = found.ok_or_else(|| WrongUse::because(format!("there is no tenant \"{code}\"")))?;
            Scope::Tenant(tenant.id)
        }
        (None, Some(code)) => {
            let found = archive.find_pbx(Scope::Platform, code).await?;
            Scope::Pbx(found.ok_or_else(|| WrongUse::because(format!("there is no PBX \"{code}\"")))?.id)
        }
        (None, None) => Scope::Platform,
    };
    let rows = archive.list_audit(scope, None, limit).await?;
    match form {
        Form::Json => say_json(&rows.iter().map(as_json).collect::<Vec<_>>())?,
        Form::Text => rows.iter().for_each(|row| {
            let address = row.address.as_deref().unwrap_or("-");
            let target = row.target.as_deref().unwrap_or("-");
            say(&format!("{} {} {address} {} {target} {}", row.at, row.principal, row.action, row.detail));
        }),
    }
    archive.close().await?;
    Ok(Outcome::Done)
}

fn as_json(row: &AuditRow) -> serde_json::Value {
    json!({
        "id": row.id.to_string(),
        "at": row.at.to_string(),
        "principal": row.principal,
        "address": row.address,
        "action": row.action,
        "tenant": row.tenant.map(|id| id.to_string()),
        "pbx": row.pbx.map(|id| id.to_string()),
        "target": row.target,
        "detail": serde_json::from_str::<serde_json::Value>(&row.detail).unwrap_or_default(),
        "seal_number": row.seal_number,
    })
}
