//! `fonoteca migrate`: the catalogue's schema, brought up to date; and the catalogue itself, moved to another database.

use archive::Error;

use crate::config::Config;
use crate::output::say;
use crate::{Outcome, WrongUse, instance};

/// The URL that was typed, or stands where `env:NAME` or `file:PATH` says. What is typed is seen by everybody on the machine.
fn look_up(url: &str) -> anyhow::Result<String> {
    if has_password(url) {
        return Err(WrongUse::because(
            "a password on the command line is seen by everybody on this machine: write the URL into a file or an \
             environment variable, and give file:PATH or env:NAME instead",
        ));
    }
    archive::look_up(url).map_err(WrongUse::because)
}

/// Does it look like a URL that carries a password: between user and host, or as a parameter?
fn has_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = base.split('/').next().unwrap_or_default();
    // A password may have an `@` or a `/` of its own that somebody forgot to encode.
    let between = base.rsplit_once('@').or_else(|| authority.rsplit_once('@'));
    between.is_some_and(|(user, _)| user.contains(':')) || parameters.split('&').any(|it| it.starts_with("password="))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_password_is_not_taken_from_the_command_line() {
        for url in [
            "postgres://fonoteca:secret@db/fonoteca",
            "postgresql://fonoteca:se/cr@et@db/fonoteca",
            "postgres://db/fonoteca?user=fonoteca&password=secret",
        ] {
            let refused = look_up(url).unwrap_err();
            assert!(refused.is::<WrongUse>() && refused.to_string().contains("file:PATH"), "{refused}");
            assert!(!refused.to_string().contains("sec"), "{refused}");
        }
        for url in
            ["postgres://fonoteca@db:5432/fonoteca", "postgres://db:5432/fonoteca?sslmode=require", "sqlite:a@b:c"]
        {
            assert_eq!(look_up(url).unwrap(), url);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://fonoteca:secret@db/fonoteca\n").unwrap();
        let found = look_up(&format!("file:{}", file.path().display())).unwrap();
        assert_eq!(found, "postgres://fonoteca:secret@db/fonoteca");
    }
}
