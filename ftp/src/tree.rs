//! The tree that a scope's recordings make: `/YYYY/MM/DD/<name>` in the tenant's zone. Independent of any FTP library.
//!
//! Only years, months and days that have recordings are there; each is found by seeking to the first recording at or
//! after an instant, so listing a folder costs what it lists, however much lies beside it. A folder spans what its
//! dates mean in the zone: a day of 23 or 25 hours is one.

use std::path::Path;
use std::sync::Arc;

use archive::{Archive, AudioReader, Error, Instant, Order, Recording, RecordingId, Result, Scope, Search};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use crate::path::{digits, id_part, settle};

/// Recordings read from the catalogue at once while a day is listed.
const PAGE: u32 = 1000;
/// The first and the last year that there can be a folder for.
const YEARS: (i16, i16) = (1, 9998);

/// What a scope sees.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    archive: Arc<Archive>,
    scope: Scope,
    zone: TimeZone,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// `/`.
    Root,
    /// `/YYYY`, by its first day.
    Year(Date),
    /// `/YYYY/MM`, by its first day.
    Month(Date),
    /// `/YYYY/MM/DD`.
    Day(Date),
    /// A recording.
    Recording(Box<Recording>),
}

/// What a folder lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name in the folder.
    pub(crate) name: String,
    /// Bytes of a recording; `None`: it is a folder.
    pub(crate) size_bytes: Option<u64>,
    /// When a recording ended, which never changes; of a folder, when its time begins.
    pub(crate) modified: Instant,
}

impl Tree {
    /// The tree of `scope`, its folders in the IANA zone `time_zone`; in UTC where this machine does not know that.
    pub(crate) fn new(archive: Arc<Archive>, scope: Scope, time_zone: &str) -> Self {
        // The file names in it were made by the same rule.
        Self { archive, scope, zone: TimeZone::get(time_zone).unwrap_or(TimeZone::UTC) }
    }

    /// What the path leads to.
    ///
    /// The id in a recording's name is all that finds it: the folders must be dates, but need not be its own, so that a
    /// tenant who changes the zone does not break paths that were listed before.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is nothing, nothing any more, or nothing in this scope: all the same.
    pub(crate) async fn resolve(&self, path: &Path) -> Result<Node> {
        let absent = || Error::NotFound("path");
        let parts = settle(path).ok_or_else(absent)?;
        if parts.is_empty() {
            return Ok(Node::Root);
        }
        let date = date_of(&parts).ok_or_else(absent)?;
        let node = match parts.as_slice() {
            [_] => Node::Year(date),
            [_, _] => Node::Month(date),
            [_, _, _] => Node::Day(date),
            [.., name] => {
                let id: RecordingId = id_part(name).ok_or_else(absent)?.parse()?;
                return self.archive.get_recording(self.scope, id).await.map(|it| Node::Recording(Box::new(it)));
            }
            [] => unreachable!("the root was dealt with above"),
        };
        let (from, until) = self.time_of(&node)?;
        match self.archive.has_recordings(self.scope, from, until).await? {
            true => Ok(node),
            false => Err(absent()),
        }
    }

    /// What the folder lists, oldest first; of a recording, itself.
    ///
    /// # Errors
    /// What the catalogue fails with.
    pub(crate) async fn list(&self, node: &Node) -> Result<Vec<Entry>> {
        match node {
            Node::Root => self.list_folders(node, Node::Year).await,
            Node::Year(_) => self.list_folders(node, Node::Month).await,
            Node::Month(_) => self.list_folders(node, Node::Day).await,
            Node::Day(_) => self.list_recordings(node).await,
            Node::Recording(_) => Ok(vec![self.entry(node)?]),
        }
    }

    /// Opens the recording that the path leads to, to be read from `offset` on.
    ///
    /// # Errors
    /// As [`Tree::resolve`]; also [`Error::NotFound`] when it is a folder, or ends before `offset`.
    pub(crate) async fn open(&self, path: &Path, offset: u64) -> Result<AudioReader> {
        match self.resolve(path).await? {
            Node::Recording(recording) if offset <= recording.size_bytes => {
                self.archive.open_audio(self.scope, recording.id).await
            }
            _ => Err(Error::NotFound("recording")),
        }
    }

    /// The node as its folder lists it.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a folder outside time.
    pub(crate) fn entry(&self, node: &Node) -> Result<Entry> {
        let name = match node {
            Node::Root => return Ok(Entry { name: String::new(), size_bytes: None, modified: Instant::default() }),
            Node::Recording(recording) => return Ok(recording_entry(recording)),
            Node::Year(date) => format!("{:04}", date.year()),
            Node::Month(date) => format!("{:02}", date.month()),
            Node::Day(date) => format!("{:02}", date.day()),
        };
        Ok(Entry { name, size_bytes: None, modified: self.time_of(node)?.0 })
    }

    /// The folders in `parent`: from one recording's to that of the first recording after it.
    async fn list_folders(&self, parent: &Node, folder: fn(Date) -> Node) -> Result<Vec<Entry>> {
        let (mut from, until) = self.time_of(parent)?;
        let mut entries = Vec::new();
        while let Some(started_at) = self.first_start(from, until).await? {
            let node = folder_of(folder, started_at.timestamp().to_zoned(self.zone.clone()).date());
            entries.push(self.entry(&node)?);
            from = self.time_of(&node)?.1;
        }
        Ok(entries)
    }

    async fn list_recordings(&self, day: &Node) -> Result<Vec<Entry>> {
        let (from, until) = self.time_of(day)?;
        let search = oldest_first(from, until);
        let (mut entries, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.archive.search(self.scope, &search, cursor, PAGE).await?;
            entries.extend(page.items.iter().map(recording_entry));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(entries);
            }
        }
    }

    async fn first_start(&self, from: Instant, until: Instant) -> Result<Option<Instant>> {
        let page = self.archive.search(self.scope, &oldest_first(from, until), None, 1).await?;
        Ok(page.items.first().map(|recording| recording.started_at))
    }

    /// From when until before when a folder's recordings began.
    fn time_of(&self, node: &Node) -> Result<(Instant, Instant)> {
        let (first, span): (Date, Span) = match node {
            Node::Root => {
                let (from, until) = (Date::constant(YEARS.0, 1, 1), Date::constant(YEARS.1 + 1, 1, 1));
                return Ok((self.beginning(from)?, self.beginning(until)?));
            }
            Node::Year(first) => (*first, 1.year()),
            Node::Month(first) => (*first, 1.month()),
            Node::Day(first) => (*first, 1.day()),
            Node::Recording(recording) => return Ok((recording.started_at, recording.started_at)),
        };
        let next = first.checked_add(span).map_err(|_| Error::NotFound("path"))?;
        Ok((self.beginning(first)?, self.beginning(next)?))
    }

    /// The first instant of the date: where the clocks skip midnight, the one that they skip to.
    fn beginning(&self, date: Date) -> Result<Instant> {
        let midnight = date.to_zoned(self.zone.clone()).map_err(|_| Error::NotFound("path"))?;
        Ok(midnight.timestamp().into())
    }
}

/// The year's, month's or day's folder that the date is in.
fn folder_of(folder: fn(Date) -> Node, date: Date) -> Node {
    match folder(date) {
        Node::Year(date) => Node::Year(date.first_of_year()),
        Node::Month(date) => Node::Month(date.first_of_month()),
        node => node,
    }
}

/// The date that a path's first parts are: its first day where it is a year's or month's.
fn date_of(parts: &[&str]) -> Option<Date> {
    let year = digits(parts.first()?, 4).filter(|year| (YEARS.0..=YEARS.1).contains(year))?;
    let month = parts.get(1).map_or(Some(1), |month| digits(month, 2))?;
    let day = parts.get(2).map_or(Some(1), |day| digits(day, 2))?;
    Date::new(year, month, day).ok()
}

fn oldest_first(from: Instant, until: Instant) -> Search {
    Search { from: Some(from), until: Some(until), order: Order::OldestFirst, ..Search::default() }
}

fn recording_entry(recording: &Recording) -> Entry {
    Entry {
        name: recording.file_name.clone(),
        size_bytes: Some(recording.size_bytes),
        modified: recording.started_at.plus(std::time::Duration::from_millis(recording.duration_ms)),
    }
}
