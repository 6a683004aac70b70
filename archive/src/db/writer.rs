//! The one writer of an SQLite catalogue, shared: transactions that end while others wait for their turn are committed
//! together, so that all of them wait for the disk once.
//!
//! The first of a group begins the transaction, each of them a savepoint in it. None is told that it is committed before the
//! group's COMMIT is durable, and no reader sees anything of it until then. What one of them undoes is undone to its
//! savepoint, and only that. Where the COMMIT fails, or SQLite has undone everything by itself (its disk is full), all of the
//! group fail. Whoever no longer waits for its commit is committed all the same, as it would be anywhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio_util::task::TaskTracker;

use super::ACQUIRE_TIMEOUT;
use crate::error::{Error, Result};

/// Transactions that share one COMMIT at most: what waits for it is told after so many others at the latest.
const GROUP: usize = 64;

/// The writer. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: SqliteConnectOptions,
    group: Arc<Mutex<Group>>,
    /// Transactions that wait for their turn to begin.
    waiting: AtomicUsize,
    /// The ends of transactions: they are not broken off with whoever waits for them.
    ending: TaskTracker,
}

/// The connection, and the transactions that share what is open on it.
#[derive(Debug, Default)]
struct Group {
    connection: Option<SqliteConnection>,
    is_open: bool,
    is_closed: bool,
    /// Those that have ended and wait for the COMMIT; each is told why it failed, if it did.
    ended: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Writer {
    pub(crate) fn new(options: SqliteConnectOptions) -> Self {
        Self(Arc::new(Shared {
            options,
            group: Arc::default(),
            waiting: AtomicUsize::default(),
            ending: TaskTracker::new(),
        }))
    }

    /// A connection of one's own, beside the group.
    pub(crate) async fn connect(&self) -> Result<SqliteConnection> {
        Ok(self.0.options.connect().await?)
    }

    /// Begins a transaction when its turn has come.
    pub(crate) async fn begin(&self) -> Result<Member> {
        let shared = Arc::clone(&self.0);
        let turn = {
            let _waiting = Waiting::of(&shared.waiting);
            tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(&shared.group).lock_owned()).await
        };
        let mut group = turn.map_err(|_| sqlx::Error::PoolTimedOut)?;
        if group.is_closed {
            return Err(sqlx::Error::PoolClosed.into());
        }
        if group.connection.is_none() {
            group.connection = Some(shared.options.connect().await?);
        }
        let is_first = !group.is_open;
        group.is_open = true;
        // From here on what is broken off is undone.
        let mut member = Member { shared, group: Some(group), is_first };
        let steps: &[&'static str] =
            if is_first { &["BEGIN IMMEDIATE", "SAVEPOINT member"] } else { &["SAVEPOINT member"] };
        for sql in steps {
            if let Err(error) = member.group_mut().run(sql).await {
                member.undo().await;
                return Err(error.into());
            }
        }
        Ok(member)
    }

    /// Waits for the transactions that are open, then closes the connection.
    pub(crate) async fn close(&self) {
        let mut group = self.0.group.lock().await;
        group.is_closed = true;
        while !group.ended.is_empty() {
            drop(group);
            tokio::task::yield_now().await;
            group = self.0.group.lock().await;
        }
        if let Some(connection) = group.connection.take() {
            let _ = connection.close().await;
        }
    }
}

impl Group {
    async fn run(&mut self, sql: &'static str) -> Result<(), sqlx::Error> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::query(sql).execute(connection).await.map(|_| ())
    }

    async fn commit(&mut self) {
        match self.run("COMMIT").await {
            Ok(()) => {
                self.is_open = false;
                self.ended.drain(..).for_each(|ended| drop(ended.send(Ok(()))));
            }
            Err(error) => self.fail(&error).await,
        }
    }

    /// Nothing of the group is kept: closing the connection undoes what is open on it.
    async fn fail(&mut self, why: &sqlx::Error) {
        if let Some(connection) = self.connection.take() {
            let _ = connection.close().await;
        }
        self.is_open = false;
        self.ended.drain(..).for_each(|ended| drop(ended.send(Err(why.to_string()))));
    }
}

/// An open transaction; dropped without [`Member::commit`], it is undone.
pub(crate) struct Member {
    shared: Arc<Shared>,
    /// There until it ends.
    group: Option<OwnedMutexGuard<Group>>,
    is_first: bool,
}

impl Member {
    fn group_mut(&mut self) -> &mut Group {
        self.group.as_mut().expect("it has not ended")
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        self.group_mut().connection.as_mut().expect("only ending takes it away")
    }

    /// Returns when it is durable.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let group = self.group.take().expect("it has not ended");
        let ending = self.shared.ending.spawn(end(Arc::clone(&self.shared), group));
        ending.await.unwrap_or_else(|_| Err(sqlx::Error::WorkerCrashed.into()))
    }

    async fn undo(mut self) {
        if let Some(group) = self.group.take() {
            // As an ending: it must not be broken off either.
            let _ = self.shared.ending.spawn(undo(group, self.is_first)).await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let Some(mut group) = self.group.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(self.shared.ending.spawn_on(undo(group, self.is_first), &runtime)),
            // Nobody is left to be told; the connection undoes what is open when it goes.
            Err(_) => *group = Group::default(),
        }
    }
}

/// Ends a transaction: at once if nobody waits for a turn, else with those who do.
async fn end(shared: Arc<Shared>, mut group: OwnedMutexGuard<Group>) -> Result<()> {
    // Always before the COMMIT: where SQLite has undone the group by itself, this fails, and a COMMIT might not.
    if let Err(error) = group.run("RELEASE member").await {
        group.fail(&error).await;
        return Err(error.into());
    }
    let (tell, mut told) = oneshot::channel();
    group.ended.push(tell);
    if shared.waiting.load(Ordering::SeqCst) == 0 || group.ended.len() >= GROUP {
        group.commit().await;
    } else {
        drop(group);
        // Turns are taken in order: those who waited already go first, those who come later do not.
        tokio::select! {
            biased;
            told = &mut told => return heard(told),
            mut group = Arc::clone(&shared.group).lock_owned() => {
                // Whoever had the turn before may have committed it.
                if !group.ended.is_empty() {
                    group.commit().await;
                }
            }
        }
    }
    heard(told.await)
}

fn heard(told: Result<Result<(), String>, oneshot::error::RecvError>) -> Result<()> {
    match told {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(Error::Catalogue(sqlx::Error::Io(std::io::Error::other(why)))),
        Err(_) => Err(sqlx::Error::WorkerCrashed.into()),
    }
}

async fn undo(mut group: OwnedMutexGuard<Group>, is_first: bool) {
    if is_first {
        // Nobody has ended in it yet. A ROLLBACK fails where there is nothing to undo; a new connection knows for certain.
        match group.run("ROLLBACK").await {
            Ok(()) => group.is_open = false,
            Err(error) => group.fail(&error).await,
        }
        return;
    }
    for sql in ["ROLLBACK TO member", "RELEASE member"] {
        if let Err(error) = group.run(sql).await {
            return group.fail(&error).await;
        }
    }
}

/// Counts one who waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
