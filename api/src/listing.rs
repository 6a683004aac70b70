//! The envelope of every list: `{"items": […], "next": cursor or null}`, sought by a key and never counted.

use axum::Json;
use serde::Serialize;

use crate::parameters::Parameters;
use crate::problem::Problem;

/// How many items a page holds unless asked.
const DEFAULT_LIMIT: u32 = 100;
/// The most that one page holds.
const MAX_LIMIT: u32 = 1000;

/// What a handler of JSON answers with.
pub(crate) type Answer<T> = Result<Json<T>, Problem>;

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Listing<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

/// Which page is asked for: the parameters `limit` and `cursor`.
#[derive(Debug)]
pub(crate) struct PageRequest {
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

impl PageRequest {
    pub(crate) fn take(parameters: &mut Parameters) -> Result<Self, Problem> {
        const EXPECTED: &str = "a whole number from 1 to 1000";
        let limit = parameters.parsed("limit", EXPECTED)?.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::invalid("limit", EXPECTED));
        }
        Ok(Self { limit, cursor: parameters.text("cursor")? })
    }

    /// For lists that take no other parameters.
    pub(crate) fn only(mut parameters: Parameters) -> Result<Self, Problem> {
        let page = Self::take(&mut parameters)?;
        parameters.finish()?;
        Ok(page)
    }

    /// The cursor as the id that it is in lists sought by id.
    pub(crate) fn cursor_id<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        let invalid = |_| Problem::invalid("cursor", "the \"next\" of an earlier page of the same list");
        self.cursor.as_ref().map(|cursor| cursor.parse().map_err(invalid)).transpose()
    }
}

impl<T> Listing<T> {
    /// The asked page of a short list that is here in full, in ascending order of the key.
    pub(crate) fn ascending(mut items: Vec<T>, page: &PageRequest, key: impl Fn(&T) -> String) -> Self {
        items.sort_by_cached_key(&key);
        if let Some(cursor) = &page.cursor {
            items.retain(|item| key(item) > *cursor);
        }
        Self::cut(items, page, key)
    }

    /// The asked page of a short list that is here in full, in descending order of the key.
    pub(crate) fn descending(mut items: Vec<T>, page: &PageRequest, key: impl Fn(&T) -> String) -> Self {
        items.sort_by_cached_key(|item| std::cmp::Reverse(key(item)));
        if let Some(cursor) = &page.cursor {
            items.retain(|item| key(item) < *cursor);
        }
        Self::cut(items, page, key)
    }

    /// Cuts what begins with the asked page; one item more than the page holds tells that there is another.
    pub(crate) fn cut(mut items: Vec<T>, page: &PageRequest, key: impl Fn(&T) -> String) -> Self {
        let limit = page.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(key);
        Self { items, next }
    }
}
