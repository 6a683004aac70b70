//! ftp.
