//! `fonoteca migrate`: the catalogue's schema, brought up to date; and the catalogue itself, moved to another database.

use archive::Error;

use crate::config::Config;
use crate::output::say;
use crate::{Outcome, WrongUse, instance};

fn look_up(url: &str) -> anyhow::Result<String> {
    archive::look_up(url).map_err(WrongUse::because)
}

pub(super) async fn migrate(config: &Config) -> anyhow::Result<Outcome> {
    let archive = instance::open_archive_for(config, "migrate").await?;
    say(&format!("the {} catalogue is up to date", archive.engine()));
    archive.close().await?;
    Ok(Outcome::Done)
}

pub(super) async fn move_catalogue(from: &str, to: &str) -> anyhow::Result<Outcome> {
    let (mut tables, mut rows) = (0, 0);
    let (from, to) = (look_up(from)?, look_up(to)?);
    let mut tell = |table: &archive::MovedTable| {
        say(&format!("{}: {} rows", table.table, table.rows));
        (tables, rows) = (tables + 1, rows + table.rows);
    };
    match archive::move_catalogue(&from, &to, &mut tell).await {
        Ok(()) => {}
        Err(error @ Error::Integrity { .. }) => {
            say(&format!("nothing was moved: {error}"));
            return Ok(Outcome::FoundSomethingWrong);
        }
        Err(error) => return Err(WrongUse::because(error)),
    }
    say(&format!("moved {rows} rows of {tables} tables, and read them back; set [database] url to the new one"));
    Ok(Outcome::Done)
}
