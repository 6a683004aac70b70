//! Points at which a test kills the process, so that what a crash leaves behind is proved and not hoped for.

/// Ends the process on the spot, as `kill -9` would, when `FONOTECA_CRASH_AT` names this point. Only in builds with the
/// `testing` feature; elsewhere it is nothing.
#[inline]
pub fn crash_point(name: &str) {
    #[cfg(feature = "testing")]
    if std::env::var("FONOTECA_CRASH_AT").is_ok_and(|at| at == name) {
        // Standard error is unbuffered: the test that set the variable prints where the kill fell.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("crashed at {name}\n").as_bytes());
        std::process::abort();
    }
    #[cfg(not(feature = "testing"))]
    let _ = name;
}
