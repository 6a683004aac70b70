//! libunftp's storage, answered from the tree of whoever logged in. Nothing can be written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use unftp_core::storage::{FEATURE_RESTART, Fileinfo, Metadata, Permissions, Result, StorageBackend};

use crate::errors::{cut_off, not_found, read_only, refusal, stopping};
use crate::login::Account;
use crate::session::Session;
use crate::transfer::Download;
use crate::tree::{Entry, Node, Tree};

/// What one session sees.
pub(crate) struct Backend {
    session: Arc<Session>,
    /// Set by `enter`, once and for all.
    tree: Option<Tree>,
}

impl Backend {
    /// Nothing yet: the tree comes with the login.
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self { session, tree: None }
    }

    /// The tree, while the account may still see it.
    async fn tree(&self) -> Result<&Tree> {
        let tree = self.tree.as_ref().ok_or_else(not_found)?;
        if self.session.stop.is_cancelled() {
            return Err(stopping());
        }
        if let Err(error) = self.session.check_login().await {
            // A disabled account is out, not merely without an answer.
            self.session.end();
            return Err(refusal(&error));
        }
        Ok(tree)
    }

    async fn resolve(&self, path: &Path) -> Result<(&Tree, Node)> {
        let tree = self.tree().await?;
        let node = tree.resolve(path).await.map_err(|error| refusal(&error))?;
        Ok((tree, node))
    }

    async fn open(&self, path: &Path, offset: u64) -> Result<Download> {
        if !self.session.may_begin_at(offset) {
            return Err(cut_off());
        }
        let opened = self.open_from(path, offset).await;
        if opened.is_err() {
            self.session.keep_offset(offset);
        }
        opened
    }

    async fn open_from(&self, path: &Path, offset: u64) -> Result<Download> {
        let running = self.session.begin_transfer().ok_or_else(stopping)?;
        let reader = self.tree().await?.open(path, offset).await.map_err(|error| refusal(&error))?;
        Ok(Download::new(Arc::clone(&self.session), running, &reader, offset))
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backend")
    }
}

#[async_trait]
impl StorageBackend<Account> for Backend {
    type Metadata = EntryMetadata;

    /// Pins what the session sees: a second login in it sees nothing more, it is refused.
    fn enter(&mut self, account: &Account) -> io::Result<()> {
        if self.tree.is_some() {
            return Err(io::Error::other("somebody has logged in already"));
        }
        let login = &account.0;
        self.tree = Some(Tree::new(Arc::clone(&self.session.archive), login.scope(), &login.time_zone));
        Ok(())
    }

    fn name(&self) -> &str {
        "Fonoteca"
    }

    fn supported_features(&self) -> u32 {
        FEATURE_RESTART
    }

    async fn metadata<P: AsRef<Path> + Send + fmt::Debug>(&self, _: &Account, path: P) -> Result<EntryMetadata> {
        let (tree, node) = self.resolve(path.as_ref()).await?;
        tree.entry(&node).map(|entry| EntryMetadata::from(&entry)).map_err(|error| refusal(&error))
    }

    async fn list<P: AsRef<Path> + Send + fmt::Debug>(
        &self,
        _: &Account,
        path: P,
    ) -> Result<Vec<Fileinfo<PathBuf, EntryMetadata>>> {
        let (tree, node) = self.resolve(path.as_ref()).await?;
        let entries = tree.list(&node).await.map_err(|error| refusal(&error))?;
        Ok(entries.iter().map(|it| Fileinfo { path: PathBuf::from(&it.name), metadata: it.into() }).collect())
    }

    async fn get_into<'a, P, W: ?Sized>(&self, _: &Account, path: P, offset: u64, output: &'a mut W) -> Result<u64>
    where
        W: AsyncWrite + Unpin + Sync + Send,
        P: AsRef<Path> + Send + fmt::Debug,
    {
        let sent = self.open(path.as_ref(), offset).await?.send(output).await;
        // Success makes libunftp forget the offset; a failure does not.
        self.session.keep_offset(if sent.is_ok() { 0 } else { offset });
        sent
    }

    async fn get<P: AsRef<Path> + Send + fmt::Debug>(
        &self,
        _: &Account,
        path: P,
        offset: u64,
    ) -> Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        Ok(Box::new(self.open(path.as_ref(), offset).await?.into_reader()))
    }

    async fn put<P: AsRef<Path> + Send + fmt::Debug, R: AsyncRead + Send + Sync + Unpin + 'static>(
        &self,
        _: &Account,
        _: R,
        _: P,
        _: u64,
    ) -> Result<u64> {
        Err(read_only())
    }

    async fn del<P: AsRef<Path> + Send + fmt::Debug>(&self, _: &Account, _: P) -> Result<()> {
        Err(read_only())
    }

    async fn mkd<P: AsRef<Path> + Send + fmt::Debug>(&self, _: &Account, _: P) -> Result<()> {
        Err(read_only())
    }

    async fn rename<P: AsRef<Path> + Send + fmt::Debug>(&self, _: &Account, _: P, _: P) -> Result<()> {
        Err(read_only())
    }

    async fn rmd<P: AsRef<Path> + Send + fmt::Debug>(&self, _: &Account, _: P) -> Result<()> {
        Err(read_only())
    }

    async fn cwd<P: AsRef<Path> + Send + fmt::Debug>(&self, _: &Account, path: P) -> Result<()> {
        match self.resolve(path.as_ref()).await? {
            (_, Node::Recording(_)) => Err(not_found()),
            _ => Ok(()),
        }
    }
}

/// An entry as libunftp wants to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryMetadata {
    size_bytes: Option<u64>,
    modified: SystemTime,
}

impl From<&Entry> for EntryMetadata {
    fn from(entry: &Entry) -> Self {
        // FTP has no times before 1970.
        let since_1970 = Duration::from_millis(u64::try_from(entry.modified.millis()).unwrap_or(0));
        Self { size_bytes: entry.size_bytes, modified: UNIX_EPOCH + since_1970 }
    }
}

impl Metadata for EntryMetadata {
    fn len(&self) -> u64 {
        self.size_bytes.unwrap_or(0)
    }

    fn is_dir(&self) -> bool {
        self.size_bytes.is_none()
    }

    fn is_file(&self) -> bool {
        self.size_bytes.is_some()
    }

    fn is_symlink(&self) -> bool {
        false
    }

    fn modified(&self) -> Result<SystemTime> {
        Ok(self.modified)
    }

    fn gid(&self) -> u32 {
        0
    }

    fn uid(&self) -> u32 {
        0
    }

    fn permissions(&self) -> Permissions {
        Permissions(if self.is_dir() { 0o555 } else { 0o444 })
    }
}
