//! SHA-256 of what is read and of what is written, in the pass that reads and writes it.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use sha2::{Digest as _, Sha256};

use crate::encode::Sink;
use crate::error::Error::Exceeded;
use crate::limits::{Limit, Limits};

/// Read at a time what no decoder has read.
const BLOCK_BYTES: usize = 64 * 1024;

/// What bytes are told from others by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// How many they are.
    pub bytes: u64,
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " of {} bytes", self.bytes)
    }
}

/// Bytes hashed in their order, each once.
#[derive(Default)]
struct Hashing {
    sha256: Sha256,
    up_to: u64,
}

impl Hashing {
    /// Takes of `bytes`, which lie `at` in the file, what is next.
    fn add(&mut self, at: u64, bytes: &[u8]) {
        let Some(known) = self.up_to.checked_sub(at) else { return };
        if let Some(new) = usize::try_from(known).ok().and_then(|known| bytes.get(known..)) {
            self.sha256.update(new);
            self.up_to += new.len() as u64;
        }
    }

    fn finish(self) -> Digest {
        Digest { sha256: self.sha256.finalize().into(), bytes: self.up_to }
    }
}

/// A source that is hashed while a decoder reads it. Decoders seek: what they read a second time counts once, and what
/// they leave out is read by [`Reading::finish`], so only containers whose parts are read out of order cost a second read.
pub(crate) struct Reader {
    file: File,
    position: u64,
    hashing: Arc<Mutex<Hashing>>,
    limits: Limits,
}

/// The other end of a [`Reader`]: what it has read so far.
pub(crate) struct Reading {
    file: File,
    hashing: Arc<Mutex<Hashing>>,
    limits: Limits,
}

/// Opens a source.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<(Reader, Reading)> {
    let file = File::open(path)?;
    let (twin, hashing) = (file.try_clone()?, Arc::default());
    let reading = Reading { file: twin, hashing: Arc::clone(&hashing), limits: limits.clone() };
    Ok((Reader { file, position: 0, hashing, limits: limits.clone() }, reading))
}

impl Reader {
    /// The file itself, for a decoder that is another program. What that reads is hashed afterwards.
    pub(crate) fn whole(&self) -> Result<File> {
        self.file.try_clone()
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.limits.check_io()?;
        let read = self.file.read(buffer)?;
        self.hashing.lock().expect("nobody panics while holding it").add(self.position, &buffer[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }
}

impl Reading {
    /// The digest of the whole file, of which what was not read yet is read now. The decoder is of no use afterwards.
    pub(crate) fn finish(mut self) -> Result<Digest> {
        let mut hashing = self.hashing.lock().expect("nobody panics while holding it");
        self.file.seek(SeekFrom::Start(hashing.up_to))?;
        let mut block = Vec::new();
        loop {
            self.limits.check_io()?;
            if read_block(&mut self.file, &mut block)? == 0 {
                return Ok(std::mem::take(&mut *hashing).finish());
            }
            let at = hashing.up_to;
            hashing.add(at, &block);
        }
    }
}

fn read_block(from: &mut impl Read, block: &mut Vec<u8>) -> Result<usize> {
    block.resize(BLOCK_BYTES, 0);
    loop {
        match from.read(block) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => {
                let read = read?;
                block.truncate(read);
                return Ok(read);
            }
        }
    }
}

/// A sink that takes no more than it may, and tells the digest of what it took.
///
/// All encoders but one complete a header at the very beginning when all else is written, so that no hash of the stream
/// would be of use: what was written is read back. It is what the kernel was given just now, a few megabytes for an hour
/// of speech, and so costs no disk and, beside the encoding, no time.
pub(crate) struct Written<'a> {
    sink: &'a mut dyn Sink,
    /// Where the sink stood at first: what is before is not ours.
    start: u64,
    position: u64,
    end: u64,
    most_bytes: u64,
}

impl<'a> Written<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink, limits: &Limits) -> Result<Self> {
        let start = sink.stream_position()?;
        Ok(Self { sink, start, position: start, end: start, most_bytes: limits.most_written_bytes })
    }

    /// The digest of what was written; leaves the sink at its end.
    pub(crate) fn finish(self) -> Result<Digest> {
        self.sink.seek(SeekFrom::Start(self.start))?;
        let len = self.end - self.start;
        let mut written = self.sink.take(len);
        let (mut hashing, mut block) = (Hashing::default(), Vec::new());
        while read_block(&mut written, &mut block)? > 0 {
            hashing.add(hashing.up_to, &block);
        }
        match hashing.up_to == len {
            true => Ok(hashing.finish()),
            false => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl Read for Written<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.sink.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Written<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.position + bytes.len() as u64 - self.start > self.most_bytes {
            return Err(Error::other(Exceeded(Limit::Written)));
        }
        let written = self.sink.write(bytes)?;
        self.position += written as u64;
        self.end = self.end.max(self.position);
        Ok(written)
    }

    fn flush(&mut self) -> Result<()> {
        self.sink.flush()
    }
}

impl Seek for Written<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.position = self.sink.seek(to)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::Error as AudioError;

    fn digest_of(bytes: &[u8]) -> Digest {
        Digest { sha256: Sha256::digest(bytes).into(), bytes: bytes.len() as u64 }
    }

    /// A file, and its bytes, of which no two blocks are alike.
    fn file() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
        let bytes: Vec<u8> = (0..200_000u32).flat_map(|i| (i * 7_919).to_le_bytes()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        std::fs::write(&path, &bytes).unwrap();
        (folder, path, bytes)
    }

    #[test]
    fn however_a_source_is_read_each_byte_is_hashed_once() {
        let (_folder, path, bytes) = file();
        let len = bytes.len() as u64;
        // Where it is read, and how much of it.
        let ways: [&[(u64, usize)]; 7] = [
            &[],
            &[(0, bytes.len())],
            &[(0, 512), (0, 512), (0, 100_000), (100_000, 700_000)],
            &[(len - 65_536, 65_536), (0, 400_000)],
            &[(44, 1_000), (0, 10), (5, 100_000)],
            &[(0, 300_000), (500_000, 100_000), (200_000, 200_000)],
            &[(len, 10), (2 * len, 10), (0, 7)],
        ];
        for way in ways {
            let (mut reader, reading) = open(&path, &Limits::default()).unwrap();
            for &(at, count) in way {
                reader.seek(SeekFrom::Start(at)).unwrap();
                let mut read = Vec::new();
                (&mut reader).take(count as u64).read_to_end(&mut read).unwrap();
                let expected = bytes.iter().skip(at as usize).take(count).copied();
                assert!(read.into_iter().eq(expected), "{way:?}");
            }
            assert_eq!(reading.finish().unwrap(), digest_of(&bytes), "{way:?}");
        }
    }

    #[test]
    fn what_was_read_in_order_is_not_read_again() {
        let (_folder, path, bytes) = file();
        let (mut reader, reading) = open(&path, &Limits::default()).unwrap();
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        // Had it to be read again, it would be seen to be another.
        std::fs::write(&path, vec![0; bytes.len()]).unwrap();
        assert_eq!(reading.finish().unwrap(), digest_of(&bytes));
    }

    #[test]
    fn what_is_corrected_afterwards_is_hashed_as_it_is_in_the_end() {
        let mut sink = Cursor::new(b"before".to_vec());
        sink.set_position(6);
        let mut written = Written::new(&mut sink, &Limits::default()).unwrap();
        written.write_all(b"____, all of it").unwrap();
        written.seek(SeekFrom::Start(6)).unwrap();
        written.write_all(b"head").unwrap();
        assert_eq!(written.finish().unwrap(), digest_of(b"head, all of it"));
        assert_eq!((sink.position(), sink.get_ref().as_slice()), (21, &b"beforehead, all of it"[..]));
    }

    #[test]
    fn a_sink_takes_no_more_than_it_may() {
        let mut sink = Cursor::new(Vec::new());
        let limits = Limits { most_written_bytes: 10, ..Limits::default() };
        let mut written = Written::new(&mut sink, &limits).unwrap();
        written.write_all(&[1; 10]).unwrap();
        written.seek(SeekFrom::Start(2)).unwrap();
        written.write_all(&[2; 8]).unwrap();
        let error = AudioError::from(written.write_all(&[3; 1]).unwrap_err());
        assert!(matches!(error, AudioError::Exceeded(Limit::Written)), "{error}");
    }

    #[test]
    fn reading_ends_when_told_to() {
        let (_folder, path, _) = file();
        let limits = Limits::default();
        let (mut reader, reading) = open(&path, &limits).unwrap();
        reader.read_exact(&mut [0; 100]).unwrap();
        limits.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let error = AudioError::from(reader.read(&mut [0; 100]).unwrap_err());
        assert!(matches!(error, AudioError::Stopped), "{error}");
        assert!(matches!(AudioError::from(reading.finish().unwrap_err()), AudioError::Stopped));
    }
}
