//! One control connection: what is known of it, and how it is ended.
//!
//! libunftp takes the socket and runs the dialogue on a task of its own, so a second handle to the socket is kept: to
//! shut it down is the one way to end a session from outside.

use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use archive::{Actor, Archive, FtpLogin, Principal, Result};
use socket2::SockRef;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Passwords that may be tried in one session.
const MAX_LOGIN_ATTEMPTS: u32 = 4;

/// A control connection.
#[derive(Debug)]
pub(crate) struct Session {
    /// What its recordings come from.
    pub(crate) archive: Arc<Archive>,
    /// Who is at the other end.
    pub(crate) address: IpAddr,
    /// How long a transfer waits for the client to take a byte.
    pub(crate) stall_timeout: Duration,
    /// No new transfer begins once this is cancelled.
    pub(crate) stop: CancellationToken,
    /// Running transfers end once this is cancelled.
    pub(crate) abort: CancellationToken,
    login: SetOnce<FtpLogin>,
    login_attempts: AtomicU32,
    kept_offset: Mutex<u64>,
    transfers: TaskTracker,
    socket: TcpStream,
}

impl Session {
    /// A session that has not logged in, on a socket that libunftp has the other handle of.
    pub(crate) fn new(
        archive: Arc<Archive>,
        address: IpAddr,
        stall_timeout: Duration,
        stop: CancellationToken,
        abort: CancellationToken,
        socket: TcpStream,
    ) -> Self {
        let transfers = TaskTracker::new();
        // Waiting for it means: until no transfer runs.
        transfers.close();
        Self {
            archive,
            address,
            stall_timeout,
            stop,
            abort,
            login: SetOnce::new(),
            login_attempts: AtomicU32::new(0),
            kept_offset: Mutex::new(0),
            transfers,
            socket,
        }
    }

    /// Looks whether another password may be tried; ends the session when there were too many.
    pub(crate) fn may_try_login(&self) -> bool {
        let may = self.login_attempts.fetch_add(1, Ordering::Relaxed) < MAX_LOGIN_ATTEMPTS;
        if !may {
            self.end();
        }
        may
    }

    /// Keeps who logged in, for good; `false` when somebody already has.
    pub(crate) fn set_login(&self, login: FtpLogin) -> bool {
        self.login.set(login).is_ok()
    }

    /// Who logged in.
    pub(crate) fn login(&self) -> Option<&FtpLogin> {
        self.login.get()
    }

    /// Returns once somebody has logged in.
    pub(crate) async fn logged_in(&self) {
        self.login.wait().await;
    }

    /// May whoever logged in go on? Asked again by every command, so that disabling takes effect at once.
    pub(crate) async fn check_login(&self) -> Result<()> {
        let login = self.login().ok_or(archive::Error::NotFound("login"))?;
        self.archive.check_ftp_account(login.account).await
    }

    /// The account as the audit names it.
    pub(crate) fn actor(&self, login: &FtpLogin) -> Actor {
        Actor {
            principal: Principal::FtpAccount(login.login.clone()),
            scope: login.scope(),
            address: Some(self.address),
            request_id: None,
        }
    }

    /// Counts a transfer for as long as the token lives; `None` once the server is stopping.
    pub(crate) fn begin_transfer(&self) -> Option<TaskTrackerToken> {
        // Counted first: a stop that is not seen here waits for this transfer.
        let token = self.transfers.token();
        (!self.stop.is_cancelled()).then_some(token)
    }

    /// Returns once no transfer runs.
    pub(crate) async fn transfers_done(&self) {
        self.transfers.wait().await;
    }

    /// Is a transfer running?
    pub(crate) fn is_transferring(&self) -> bool {
        !self.transfers.is_empty()
    }

    /// Decides whether a transfer may begin at `offset`.
    ///
    /// libunftp forgets the offset of REST only when a transfer succeeds. After one that failed, an offset that comes
    /// again may be that one, asked for by nobody, and what it sends would be a file without its beginning. Then the
    /// session ends instead: whoever did ask connects again and goes on.
    pub(crate) fn may_begin_at(&self, offset: u64) -> bool {
        let kept = *self.kept_offset.lock().unwrap_or_else(PoisonError::into_inner);
        let may = offset == 0 || offset != kept;
        if !may {
            self.end();
        }
        may
    }

    /// Remembers what offset libunftp keeps, after a transfer that failed.
    pub(crate) fn keep_offset(&self, offset: u64) {
        *self.kept_offset.lock().unwrap_or_else(PoisonError::into_inner) = offset;
    }

    /// Ends the session now, whatever it is doing.
    pub(crate) fn end(&self) {
        // The other side may have done so already; then there is nothing left to do.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Holds replies back until [`Session::release_replies`].
    pub(crate) fn hold_replies(&self) {
        // Where the system cannot do it, replies merely leave at once.
        let _ = SockRef::from(&self.socket).set_tcp_cork(true);
    }

    /// Lets replies leave.
    pub(crate) fn release_replies(&self) {
        // It can fail only where holding them back failed too.
        let _ = SockRef::from(&self.socket).set_tcp_cork(false);
    }
}
