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
    #[cfg(feature = "testing")]
    sleep_point(name);
    #[cfg(not(feature = "testing"))]
    let _ = name;
}

/// Puts the process to sleep, as `kill -STOP` would, the first time that it comes by the point which `FONOTECA_SLEEP_AT`
/// names. Somebody must wake it.
#[cfg(feature = "testing")]
fn sleep_point(name: &str) {
    static SLEPT: std::sync::Once = std::sync::Once::new();
    if std::env::var("FONOTECA_SLEEP_AT").is_ok_and(|at| at == name) {
        SLEPT.call_once(|| {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("asleep at {name}\n").as_bytes());
            let process = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-STOP", &process]).status();
        });
    }
}
