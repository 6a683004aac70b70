//! A stretch of a file that looks like a whole one.

use std::io::{Read, Result, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// Bytes that are read from anywhere: a file, or what looks like one.
pub trait Media: Read + Seek + Send + Sync {}
impl<T: Read + Seek + Send + Sync> Media for T {}

/// The audio of a file, without what is before and after it.
pub(crate) struct Window {
    file: Box<dyn Media>,
    start: u64,
    len: u64,
    position: u64,
}

impl Window {
    pub(crate) fn new(mut file: Box<dyn Media>, start: u64, len: u64) -> Result<Self> {
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { file, start, len, position: 0 })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Read for Window {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let rest = self.len.saturating_sub(self.position);
        let wanted = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..wanted])?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Window {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        let target = target.ok_or(std::io::ErrorKind::InvalidInput)?;
        let absolute = self.start.checked_add(target).ok_or(std::io::ErrorKind::InvalidInput)?;
        self.file.seek(SeekFrom::Start(absolute))?;
        self.position = target;
        Ok(target)
    }
}

impl MediaSource for Window {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}
