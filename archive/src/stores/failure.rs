//! What a store's failure means, and what a person does about it. Servers word the same thing differently; here it
//! becomes one of a few kinds and one clear line.

use std::error::Error as StdError;
use std::io;

use crate::error::Error;

/// What kind of trouble a store is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer, or answers that it is not well: it passes, or somebody mends the machine.
    Unreachable,
    /// It answers, and refuses us: somebody must change something.
    Refused,
    /// It takes nothing new, and everything else works.
    Full,
}

impl Trouble {
    /// Its name in events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Full => "full",
        }
    }
}

/// Where a local file is read that is to be put: its failures are not the store's.
pub(super) const OPEN_LOCAL: &str = "open the file to archive";
pub(super) const READ_LOCAL: &str = "read the file to archive";

const UNREACHABLE: &str = "it cannot be reached or does not answer properly";
const CREDENTIALS: &str =
    "it refuses the credentials: check access_key_id and secret_access_key, or the instance's role";
const FORBIDDEN: &str = "it forbids this: check the credentials, and that they may read, write, list and delete there";
const FULL: &str = "it is full: make room, raise its quota, or name another store in its tiers";
const READ_ONLY: &str = "it is read-only: its disk may be failing, look at the machine's log and mount it again";

/// Codes of S3 and its imitators.
const CODES: [(&str, Trouble, &str); 18] = [
    ("InvalidAccessKeyId", Trouble::Refused, CREDENTIALS),
    ("SignatureDoesNotMatch", Trouble::Refused, CREDENTIALS),
    ("NotSignedUp", Trouble::Refused, CREDENTIALS),
    ("InvalidToken", Trouble::Refused, CREDENTIALS),
    ("ExpiredToken", Trouble::Refused, "the credentials have expired: renew them"),
    ("TokenRefreshRequired", Trouble::Refused, "the credentials have expired: renew them"),
    (
        "RequestTimeTooSkewed",
        Trouble::Refused,
        "our clock and its clock differ too much: set this machine's clock (NTP)",
    ),
    ("NoSuchBucket", Trouble::Refused, "the bucket does not exist: make it, or mend the url"),
    ("PermanentRedirect", Trouble::Refused, "the bucket is in another region: set region"),
    ("AuthorizationHeaderMalformed", Trouble::Refused, "the bucket is in another region: set region"),
    ("Received redirect", Trouble::Refused, "the bucket is in another region: set region"),
    ("QuotaExceeded", Trouble::Full, FULL),
    ("XMinioStorageFull", Trouble::Full, FULL),
    ("InsufficientStorage", Trouble::Full, FULL),
    ("507 ", Trouble::Full, FULL),
    ("AccessDenied", Trouble::Refused, FORBIDDEN),
    ("403 ", Trouble::Refused, FORBIDDEN),
    ("401 ", Trouble::Refused, CREDENTIALS),
];

/// What the error says of the store; `None`: nothing, the store did as it should, or was not the one that failed.
pub(super) fn trouble_of(error: &Error) -> Option<(Trouble, String)> {
    let source: &(dyn StdError + 'static) = match error {
        Error::Io { context, .. } if [OPEN_LOCAL, READ_LOCAL].contains(context) => return None,
        Error::Io { source, .. } => source,
        Error::Store(source) => source,
        _ => return None,
    };
    let text = chain(source);
    let answered = matches!(
        error,
        Error::Store(
            object_store::Error::NotFound { .. }
                | object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                | object_store::Error::InvalidPath { .. }
                | object_store::Error::NotSupported { .. }
                | object_store::Error::NotImplemented { .. }
        )
    );
    if answered && !text.contains("NoSuchBucket") {
        return None;
    }
    let (trouble, advice) = match io_kind(source) {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => (Trouble::Full, FULL),
        Some(io::ErrorKind::ReadOnlyFilesystem) => (Trouble::Full, READ_ONLY),
        Some(io::ErrorKind::PermissionDenied) => {
            (Trouble::Refused, "its directory is not ours to use: check its owner and mode")
        }
        Some(_) => (Trouble::Unreachable, UNREACHABLE),
        None if text.contains("credentials: ") => (Trouble::Refused, CREDENTIALS),
        None => CODES
            .iter()
            .find(|(code, ..)| text.contains(code))
            .map_or((Trouble::Unreachable, UNREACHABLE), |(_, trouble, advice)| (*trouble, *advice)),
    };
    Some((trouble, format!("{advice} ({})", in_short(&text))))
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    let mut at = Some(error);
    while let Some(error) = at {
        // An error of the network has none of a file's numbers.
        if let Some(error) = error.downcast_ref::<io::Error>()
            && (error.raw_os_error().is_some() || error.kind() == io::ErrorKind::PermissionDenied)
        {
            return Some(error.kind());
        }
        at = error.source();
    }
    None
}

/// The code or the last word of it: the whole of what a server says is many lines, and may repeat an access key.
fn in_short(text: &str) -> String {
    if let Some((_, rest)) = text.split_once("<Code>")
        && let Some((code, _)) = rest.split_once('<')
    {
        return code.to_owned();
    }
    let last = text.split("status code: ").last().unwrap_or(text);
    let last = last.rsplit(" - ").next().unwrap_or(last).lines().next().unwrap_or_default();
    let end = last.char_indices().nth(160).map_or(last.len(), |(at, _)| at);
    last[..end].trim_end_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(text: &str) -> Error {
        Error::Store(object_store::Error::Generic { store: "S3", source: text.to_owned().into() })
    }

    #[test]
    fn each_failure_has_its_kind_and_one_line_that_says_what_to_do() {
        for (error, trouble, advice) in [
            (s3("status code: 403 Forbidden: <Code>InvalidAccessKeyId</Code>"), Trouble::Refused, "access_key_id"),
            (s3("403 Forbidden: <Code>RequestTimeTooSkewed</Code>\n<x>"), Trouble::Refused, "clock"),
            (s3("404 Not Found: <Error><Code>NoSuchBucket</Code>"), Trouble::Refused, "bucket does not exist"),
            (s3("status code: 403 Forbidden: "), Trouble::Refused, "check the credentials"),
            (s3("403: <Code>QuotaExceeded</Code>"), Trouble::Full, "raise its quota"),
            (s3("status code: 503 Slow Down: <Code>SlowDown</Code>"), Trouble::Unreachable, "(SlowDown)"),
            (s3("error sending request: Connection refused"), Trouble::Unreachable, "cannot be reached"),
            (Error::io("put")(io::Error::from_raw_os_error(28)), Trouble::Full, "make room"),
            (Error::io("put")(io::Error::from_raw_os_error(30)), Trouble::Full, "read-only"),
            (Error::io("put")(io::Error::from_raw_os_error(13)), Trouble::Refused, "owner and mode"),
            (Error::io("put")(io::Error::from_raw_os_error(5)), Trouble::Unreachable, "cannot be reached"),
        ] {
            let (found, line) = trouble_of(&error).unwrap_or_else(|| panic!("{error}"));
            assert_eq!(found, trouble, "{line}");
            assert!(line.contains(advice) && line.lines().count() == 1, "{line}");
        }
    }

    #[test]
    fn what_is_no_fault_of_the_store_is_no_trouble() {
        let not_found = object_store::Error::NotFound { path: "a".to_owned(), source: "404".into() };
        assert_eq!(trouble_of(&Error::Store(not_found)), None);
        let no_bucket = object_store::Error::NotFound { path: "a".to_owned(), source: "<Code>NoSuchBucket<".into() };
        assert!(trouble_of(&Error::Store(no_bucket)).is_some());
        assert_eq!(trouble_of(&Error::io(READ_LOCAL)(io::Error::from_raw_os_error(5))), None);
        assert_eq!(trouble_of(&Error::integrity("objects", "a", "cut")), None);
    }
}
