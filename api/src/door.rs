//! What every handler shares: the archive, and the few numbers of the configuration that requests need.

use std::sync::Arc;
use std::time::Duration;

use archive::Archive;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::network::Network;
use crate::places::Places;

/// What every handler shares. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) archive: Arc<Archive>,
    pub(crate) trusted_proxies: Arc<[Network]>,
    pub(crate) request_timeout: Duration,
    /// Every download in progress holds a token of it, so that stopping waits until each is in the audit.
    pub(crate) downloads: TaskTracker,
    /// Where conversions take their places.
    pub(crate) conversions: Places,
}

impl Door {
    pub(crate) fn new(archive: Arc<Archive>, config: &Config) -> Self {
        Self {
            archive,
            trusted_proxies: config.trusted_proxies.clone().into(),
            request_timeout: config.request_timeout,
            downloads: TaskTracker::new(),
            conversions: Places::new(config.conversions),
        }
    }
}
