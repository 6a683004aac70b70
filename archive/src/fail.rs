//! Points at which a test has an operation fail, so that what a failure leaves behind is proved at each of them and not
//! hoped for.

/// A kind of operation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A statement of the catalogue, the beginning of a transaction, or its commit: nothing comes of it.
    Statement,
    /// A commit, or a statement that is its own transaction: it is done, and whoever asked for it hears of a failure.
    StatementAnswer,
    /// A request to a store: nothing comes of it.
    Store,
    /// A request that changes something in a store: it is done, and whoever asked for it hears of a failure.
    StoreAnswer,
}

/// Fails when a test has this operation fail (`testing::fail_each`). Only in builds with the `testing` feature; elsewhere it
/// is nothing.
///
/// # Errors
/// The failure that the test wants.
#[inline]
pub(crate) fn fail_point(operation: Operation) -> std::io::Result<()> {
    #[cfg(any(test, feature = "testing"))]
    return crate::testing::come_by(operation);
    #[cfg(not(any(test, feature = "testing")))]
    {
        let _ = operation;
        Ok(())
    }
}
