//! The two listeners, from binding to the last request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use archive::Archive;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::connection::{Connections, Peer};
use crate::door::Door;
use crate::error::Error;
use crate::metrics::metrics_recorder;
use crate::operations::operations_router;
use crate::routes::router_of;

/// The most connections of the operations listener: a scraper, a prober, and an operator or two.
const MAX_OPERATIONS_CONNECTIONS: usize = 32;
/// How often the recorder tidies up, so that it does not grow while nobody scrapes it.
const UPKEEP: Duration = Duration::from_secs(5);

/// The HTTP door, bound but not yet serving.
#[derive(Debug)]
pub struct HttpServer {
    archive: Arc<Archive>,
    config: Config,
    listener: TcpListener,
    operations: TcpListener,
    address: SocketAddr,
    operations_address: SocketAddr,
}

impl HttpServer {
    /// Listens on both addresses. Connections are accepted from now on, and answered once it runs.
    ///
    /// # Errors
    /// A configuration that cannot work, or an address that cannot be listened on.
    pub async fn bind(archive: Arc<Archive>, config: Config) -> Result<Self, Error> {
        config.validate().map_err(Error::Config)?;
        let (listener, address) = listen(config.listen, "the API", "listen").await?;
        let (operations, operations_address) =
            listen(config.operations_listen, "health and metrics", "operations_listen").await?;
        Ok(Self { archive, config, listener, operations, address, operations_address })
    }

    /// Where the API is served.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where health and metrics are served.
    pub fn operations_addr(&self) -> SocketAddr {
        self.operations_address
    }

    /// Serves until `stop`; then accepts no more, lets requests finish for the grace period, which `at_once` ends, and cuts
    /// what is left. When it returns, every download has been noted in the archive's audit.
    pub async fn run(self, stop: CancellationToken, at_once: CancellationToken) {
        let Self { archive, config, listener, operations, .. } = self;
        let door = Door::new(Arc::clone(&archive), &config);
        let downloads = door.downloads.clone();
        let cut = CancellationToken::new();
        let api = Connections::new(listener, config.max_connections, config.stall_timeout, cut.clone());
        let operations = Connections::new(operations, MAX_OPERATIONS_CONNECTIONS, config.stall_timeout, cut.clone());

        let served = async {
            tokio::join!(
                serve(api, router_of(door), stop.clone()),
                serve(operations, operations_router(archive), stop.clone())
            )
        };
        let overdue = async {
            stop.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(config.shutdown_grace) => {}
                () = at_once.cancelled() => {}
            }
            tracing::warn!("cutting the requests that have not finished in time");
            cut.cancel();
            // What is cut ends `served`.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = served => {}
            () = overdue => {}
            () = keep_up() => {}
        }
        downloads.close();
        downloads.wait().await;
        tracing::info!("stopped serving the API");
    }
}

async fn listen(
    address: SocketAddr,
    what: &'static str,
    key: &'static str,
) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { what, key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn serve(connections: Connections, router: Router, stop: CancellationToken) {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(connections, service).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "failed to serve");
    }
}

async fn keep_up() {
    let recorder = metrics_recorder();
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        recorder.run_upkeep();
    }
}
