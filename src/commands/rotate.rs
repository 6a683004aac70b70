//! `fonoteca rotate`: a run by hand and the copying that it asks for, its preview, the confirmation of what is older than an enrolment, and the word of
//! an operator for the clock.

use std::sync::Arc;

use archive::Actor;
use serde_json::json;

use crate::config::Config;
use crate::output::{Form, say, say_json};
use crate::{Outcome, WrongUse, instance};

pub(super) async fn rotate(config: &Config, form: Form) -> anyhow::Result<Outcome> {
    let (_lock, archive) = instance::open_archive_to_rotate(config).await?;
    let rotation = rotation::Rotation::new(Arc::clone(&archive), config.rotation.clone());
    let report = rotation.rotate_once().await?;
    let copies = rotation.copy_what_waits().await?;
    match form {
        Form::Json => {
            let mut answer = serde_json::to_value(&report)?;
            answer["copies"] = serde_json::to_value(copies)?;
            say_json(&answer)?;
        }
        Form::Text => {
            say(&report.to_string());
            if copies != rotation::CopyFigures::default() {
                say(&copies.to_string());
            }
        }
    }
    archive.close().await?;
    Ok(if report.is_clean() && copies.is_clean() { Outcome::Done } else { Outcome::FoundSomethingWrong })
}

pub(super) async fn preview(config: &Config, form: Form) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "rotate").await?;
    let rotation = rotation::Rotation::new(Arc::clone(&archive), config.rotation.clone());
    let mut items = Vec::new();
    let summary = rotation
        .plan(&mut |planned| match form {
            Form::Json => items.push(json!(planned)),
            Form::Text => say(&planned.to_string()),
        })
        .await?;
    match form {
        Form::Json => say_json(&json!({ "items": items, "summary": summary }))?,
        Form::Text => say(&summary.to_string()),
    }
    archive.close().await?;
    Ok(Outcome::Done)
}

pub(super) async fn confirm(config: &Config, name: &str) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "rotate").await?;
    let servers = archive.list_core_servers().await?;
    let server = servers.iter().find(|server| server.name == name);
    let server = server.ok_or_else(|| WrongUse::because(format!("there is no core server \"{name}\"")))?;
    let confirmed = archive.confirm_enrolment(&Actor::command_line(), server.id).await?;
    say(&format!("{confirmed} recordings older than the enrolment of {name} come under the rules now"));
    archive.close().await?;
    Ok(Outcome::Done)
}

pub(super) async fn accept_clock(config: &Config) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "rotate").await?;
    let rotation = rotation::Rotation::new(Arc::clone(&archive), config.rotation.clone());
    rotation.accept_clock(&Actor::command_line()).await?;
    say("the next run goes by the clock as it is now");
    archive.close().await?;
    Ok(Outcome::Done)
}
