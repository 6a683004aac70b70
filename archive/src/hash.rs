//! SHA-256, the one hash of the archive: of a source, of the audio kept, of the bytes stored.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use sha2::Digest;

use crate::db::{Column, Row, Value};
use crate::error::{Error, Result};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The hash and the size of a file, read in blocks. Blocks the thread: call it from a blocking task.
    ///
    /// # Errors
    /// Whatever opening or reading the file fails with.
    pub fn of_file(path: &Path) -> std::io::Result<(Self, u64)> {
        let mut file = std::fs::File::open(path)?;
        let mut hasher = Sha256Hasher::default();
        let mut block = vec![0; 256 * 1024];
        loop {
            match file.read(&mut block)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&block[..n]),
            }
        }
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Sha256 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// A SHA-256 in the making, which also counts.
#[derive(Clone, Default)]
pub struct Sha256Hasher {
    hasher: sha2::Sha256,
    size_bytes: u64,
}

impl Sha256Hasher {
    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
    }

    /// The hash of everything added, and how many bytes that were.
    pub fn finish(self) -> (Sha256, u64) {
        (Sha256(self.hasher.finalize().into()), self.size_bytes)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let invalid = || Error::Invalid("a SHA-256 is 64 hexadecimal digits".to_owned());
        if text.len() != 64 || !text.is_ascii() {
            return Err(invalid());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| invalid())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| invalid())?;
        }
        Ok(Self(bytes))
    }
}

impl From<Sha256> for Value {
    fn from(hash: Sha256) -> Self {
        Self::Bytes(Some(hash.0.to_vec()))
    }
}

impl From<Option<Sha256>> for Value {
    fn from(hash: Option<Sha256>) -> Self {
        Self::Bytes(hash.map(|hash| hash.0.to_vec()))
    }
}

impl Column for Sha256 {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        let bytes: Vec<u8> = row.get(column)?;
        bytes.try_into().map(Self).map_err(|_| Error::integrity(column, "?", "hash is not 32 bytes long"))
    }
}

impl Column for Option<Sha256> {
    fn read(row: &Row, column: &'static str) -> Result<Self> {
        let bytes: Option<Vec<u8>> = row.get(column)?;
        bytes
            .map(|bytes| {
                bytes.try_into().map(Sha256).map_err(|_| Error::integrity(column, "?", "hash is not 32 bytes long"))
            })
            .transpose()
    }
}
