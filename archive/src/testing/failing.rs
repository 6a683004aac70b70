//! Operations that fail: the n-th of a kind, or all from the n-th on. A test that does its work with n = 1, 2, 3 … until
//! nothing failed any more has seen a failure at each of them.

use std::cell::Cell;
use std::io;

pub use crate::fail::Operation;

thread_local! {
    /// What is to fail on this thread: the work of a test runs on its own.
    static TO_FAIL: Cell<Option<ToFail>> = const { Cell::new(None) };
}

/// How long a failure lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// One operation fails, and no other.
    Hiccup,
    /// It fails, and so does each one after it.
    Outage,
}

#[derive(Clone, Copy, Debug)]
struct ToFail {
    operation: Operation,
    lasting: Lasting,
    /// How many of them still succeed.
    spared: u64,
    failed: bool,
}

/// Does `work` with the first operation failing, with the second, and so on, until it says that nothing failed any more.
/// Tells how many failed.
///
/// # Panics
/// When there were so few that the work cannot have been done.
pub async fn fail_each(operation: Operation, lasting: Lasting, mut work: impl AsyncFnMut(Failing) -> bool) {
    let mut spared = 0;
    while work(Failing(ToFail { operation, lasting, spared, failed: false })).await {
        spared += 1;
    }
    let told = format!("    each of {spared} of {operation:?} has failed: {lasting:?}\n");
    // Past the capture of passing tests' output.
    let _ = io::Write::write_all(&mut io::stderr(), told.as_bytes());
    assert!(spared > 5, "the work has more than {spared} of {operation:?}");
}

/// What is to fail while the work is done.
#[derive(Debug)]
pub struct Failing(ToFail);

impl Failing {
    /// Does `work`, during which it fails; says what came of it, and whether anything failed.
    pub async fn during<T>(self, work: impl Future<Output = T>) -> (T, bool) {
        let before = TO_FAIL.replace(Some(self.0));
        assert!(before.is_none(), "one failure at a time");
        let done = work.await;
        (done, TO_FAIL.take().is_some_and(|it| it.failed))
    }
}

/// An operation is about to be done, or its answer to be given.
pub(crate) fn come_by(operation: Operation) -> io::Result<()> {
    let Some(mut it) = TO_FAIL.get().filter(|it| it.operation == operation) else { return Ok(()) };
    let fails = if it.failed { it.lasting == Lasting::Outage } else { it.spared == 0 };
    it.spared = it.spared.saturating_sub(1);
    it.failed |= fails;
    TO_FAIL.set(Some(it));
    if fails { Err(io::Error::other(format!("a test has this fail: {operation:?}"))) } else { Ok(()) }
}
