//! Accepting connections, and running libunftp on each.
//!
//! The accept loop is ours, because libunftp's sets no socket option, bounds nothing and spins when descriptors run out,
//! and because a stop must wait for the transfers that run.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archive::Archive;
use libunftp::options::{SiteMd5, TlsFlags};
use libunftp::{Server, ServerBuilder};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::config::{Config, TlsMode};
use crate::errors::{Error, Result};
use crate::login::{Account, Login};
use crate::passive::PassivePorts;
use crate::session::Session;
use crate::slots::{Slot, Slots};

/// Who greets. No product, no version.
const GREETING: &str = "FTP server ready";
/// What a client is told when there is no place for it.
const FULL: &[u8] = b"421 Too many connections, try again later\r\n";
/// What a client is told when its session cannot be set up.
const BROKEN: &[u8] = b"421 Service not available\r\n";
/// How long accepting rests after it failed: out of descriptors, mostly, which only time helps.
const ACCEPT_REST: Duration = Duration::from_millis(200);
/// How long a client may take to log in, TLS handshake included.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long a session's last reply has to leave when the server stops.
const LAST_REPLY: Duration = Duration::from_secs(1);
/// How long replies are held back before login.
const REPLY_PACE: Duration = Duration::from_millis(10);
/// When a silent connection is asked whether its other end is still there, and how often then.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(15));

/// The FTP server.
#[derive(Debug)]
pub struct FtpServer {
    archive: Arc<Archive>,
    config: Arc<Config>,
    certificate: Option<Certificate>,
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl FtpServer {
    /// Listens, with a certificate that works: the configured one, or a self-made one in `data_dir`.
    ///
    /// # Errors
    /// One line on what cannot work.
    pub async fn bind(archive: Arc<Archive>, config: Config, data_dir: &Path) -> Result<Self> {
        config.validate().map_err(Error::Config)?;
        let certificate = find_certificate(&config, data_dir).await?;
        let failed = |source| Error::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self { archive, config: Arc::new(config), certificate, listener, local_addr })
    }

    /// Where it listens: the port, too, when it was left to the operating system.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `stop`: then idle sessions end at once, transfers that run may end within the grace period, which
    /// `at_once` ends, and none begins.
    pub async fn run(self, stop: CancellationToken, at_once: CancellationToken) {
        if self.config.tls != TlsMode::Required {
            tracing::warn!("FTP without TLS is allowed: passwords and recordings can be read on their way");
        }
        let sessions = TaskTracker::new();
        let abort = CancellationToken::new();
        let slots = Slots::new(self.config.max_sessions, self.config.max_sessions_per_address);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match slots.take(peer.ip()) {
                    Some(slot) => {
                        let builder = SessionBuilder {
                            archive: Arc::clone(&self.archive),
                            config: Arc::clone(&self.config),
                            certificate: self.certificate.clone(),
                            stop: stop.clone(),
                            abort: abort.clone(),
                        };
                        sessions.spawn(builder.serve(stream, peer.ip().to_canonical(), slot));
                    }
                    None => turn_away(&stream, FULL),
                },
                // The client's doing, before we came to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("cannot accept an FTP connection: {error}");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = sleep(ACCEPT_REST) => {}
                    }
                }
            }
        }
        drop(self.listener);
        sessions.close();
        let have_ended = tokio::select! {
            () = sessions.wait() => true,
            () = sleep(self.config.shutdown_grace) => false,
            () = at_once.cancelled() => false,
        };
        if !have_ended {
            tracing::warn!("FTP transfers still run and have no more time: cutting them off");
            abort.cancel();
            if timeout(LAST_REPLY * 5, sessions.wait()).await.is_err() {
                tracing::warn!("FTP sessions do not end: leaving them");
            }
        }
    }
}

/// The certificate that the configuration asks for, checked.
async fn find_certificate(config: &Config, data_dir: &Path) -> Result<Option<Certificate>> {
    if config.tls == TlsMode::Off {
        return Ok(None);
    }
    let (given, address, data_dir) =
        (config.certificate.clone().zip(config.key.clone()), config.external_address, data_dir.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        let certificate = match given {
            Some((chain, key)) => Certificate { chain, key },
            None => Certificate::self_made(&data_dir, address)?,
        };
        certificate.check().map(|()| certificate)
    });
    found.await.map_err(|error| Error::Certificate(error.to_string()))?.map(Some)
}

/// Sends a client away. Its buffer is empty, so the line either fits at once or the client is gone.
fn turn_away(stream: &TcpStream, line: &[u8]) {
    let _ = stream.try_write(line);
}

/// What a session is made of.
struct SessionBuilder {
    archive: Arc<Archive>,
    config: Arc<Config>,
    certificate: Option<Certificate>,
    stop: CancellationToken,
    abort: CancellationToken,
}

impl SessionBuilder {
    /// Serves one connection to its end; the slot is free once its last transfer has ended, too.
    async fn serve(self, stream: TcpStream, address: IpAddr, slot: Slot) {
        let tls = self.config.tls;
        let (stream, second) = match prepare(stream, self.config.idle_timeout) {
            Ok(handles) => handles,
            Err(error) => {
                tracing::warn!("cannot set up an FTP connection: {error}");
                return;
            }
        };
        // libunftp answers 530 to whatever keeps a login from being looked up, and clients take that for a wrong password.
        if !self.archive.is_catalogue_up().await {
            tracing::warn!("turned away an FTP connection: the catalogue does not answer");
            turn_away(&stream, BROKEN);
            return;
        }
        let session = Arc::new(Session::new(
            Arc::clone(&self.archive),
            address,
            self.config.idle_timeout,
            self.stop.clone(),
            self.abort.clone(),
            second,
        ));
        let for_server = Arc::clone(&session);
        // It reads the certificate's files.
        let server = tokio::task::spawn_blocking(move || self.server(&for_server)).await;
        let server = match server.map_err(|error| error.to_string()) {
            Ok(Ok(server)) => server,
            Ok(Err(error)) | Err(error) => {
                tracing::error!("cannot set up an FTP session: {error}");
                turn_away(&stream, BROKEN);
                return;
            }
        };
        // From the greeting on; see `pace_replies`.
        if tls != TlsMode::Off {
            session.hold_replies();
        }
        tokio::select! {
            // Its only error is one that it has replied to.
            _ = server.service(stream) => {}
            () = watch(&session, tls) => {}
        }
        session.transfers_done().await;
        drop(slot);
    }

    fn server(self, session: &Arc<Session>) -> Result<Server<Backend, Account>, String> {
        let login = Arc::new(Login(Arc::clone(session)));
        let for_storage = Arc::clone(session);
        let storage = Box::new(move || Backend::new(Arc::clone(&for_storage)));
        let mut builder =
            ServerBuilder::<Backend, Account>::with_user_detail_provider(storage, Arc::clone(&login) as _)
                .authenticator(login)
                .greeting(GREETING)
                // It names paths and logins.
                .logger(slog::Logger::root(slog::Discard, slog::o!()))
                .sitemd5(SiteMd5::None)
                .idle_session_timeout(self.config.idle_timeout.as_secs())
                .passive_ports(self.config.passive_ports.ports())
                .binder(PassivePorts { stall_timeout: self.config.idle_timeout });
        if let Some(IpAddr::V4(address)) = self.config.external_address {
            builder = builder.passive_host(address);
        }
        if let Some(Certificate { chain, key }) = self.certificate {
            let required = self.config.tls == TlsMode::Required;
            builder = builder.ftps(chain, key).ftps_required(required, required).ftps_tls_flags(
                TlsFlags::LATEST_VERSIONS | TlsFlags::RESUMPTION_SESS_ID | TlsFlags::RESUMPTION_TICKETS,
            );
        }
        builder.build().map_err(|error| error.to_string())
    }
}

/// Sets the socket's options, and makes the second handle by which a session is ended.
fn prepare(stream: TcpStream, stall_timeout: Duration) -> io::Result<(TcpStream, std::net::TcpStream)> {
    // Two replies in a row would wait 40 ms for an acknowledgement: on every file of a mirror.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(stall_timeout))?;
    let stream = stream.into_std()?;
    let second = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, second))
}

/// Ends the session when it does not log in in time, or when the server stops. Runs until the session is over.
async fn watch(session: &Session, tls: TlsMode) {
    tokio::select! {
        () = session.logged_in() => {}
        () = session.stop.cancelled() => {}
        () = sleep(LOGIN_DEADLINE) => session.end(),
        () = pace_replies(session), if tls != TlsMode::Off => {}
    }
    session.release_replies();
    session.stop.cancelled().await;
    if session.is_transferring() {
        session.transfers_done().await;
        sleep(LAST_REPLY).await;
    }
    session.end();
    // The session's own task notices.
    std::future::pending().await
}

/// Lets replies out only every few milliseconds.
///
/// libunftp replies to AUTH TLS before its session has switched to TLS; a client that is quick enough finds the old
/// parser reading its handshake, and is refused. A reply that leaves a little later gives the switch its time: of
/// handshakes of three clients at a time on the same machine, one in twenty fails without this and one in 500 with it.
async fn pace_replies(session: &Session) {
    loop {
        sleep(REPLY_PACE).await;
        session.release_replies();
        session.hold_replies();
    }
}
