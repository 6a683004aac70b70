//! The certificate of the control and data connections: given, or made by ourselves and kept in the data directory.

use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::errors::{Error, Result};

/// The names of what we make ourselves, in the data directory.
const SELF_MADE: (&str, &str) = ("ftp-certificate.pem", "ftp-certificate.key");

/// Where a certificate chain and its private key are, both as PEM. Every session reads them again, so a renewed
/// certificate needs no restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// A self-made certificate: the one in `data_dir`, or a new one put there. Blocks the thread.
    pub(crate) fn self_made(data_dir: &Path, address: Option<IpAddr>) -> Result<Self> {
        let certificate = Self { chain: data_dir.join(SELF_MADE.0), key: data_dir.join(SELF_MADE.1) };
        if certificate.chain.exists() && certificate.key.exists() {
            return Ok(certificate);
        }
        let (chain, key) = make(address).map_err(|error| Error::Certificate(format!("cannot make one: {error}")))?;
        // The chain comes last: with it there, both are.
        for (path, pem) in [(&certificate.key, key), (&certificate.chain, chain)] {
            write_private(path, &pem)
                .map_err(|error| Error::Certificate(format!("cannot write {}: {error}", path.display())))?;
        }
        tracing::info!("made a certificate for FTP: {}", certificate.chain.display());
        Ok(certificate)
    }

    /// Can it be read, and does the key belong to it? Blocks the thread.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub(crate) fn check(&self) -> Result<()> {
        let unreadable = |path: &Path, error: rustls::pki_types::pem::Error| {
            Error::Certificate(format!("{}: {error}", path.display()))
        };
        let chain = CertificateDer::pem_file_iter(&self.chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| unreadable(&self.chain, error))?;
        if chain.is_empty() {
            return Err(Error::Certificate(format!("{}: no certificate in it", self.chain.display())));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| unreadable(&self.key, error))?;
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| {
                let (chain, key) = (self.chain.display(), self.key.display());
                Error::Certificate(format!("{chain} and {key} cannot be used together: {error}"))
            })?;
        Ok(())
    }
}

fn make(address: Option<IpAddr>) -> Result<(String, String), rcgen::Error> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(address.map(|address| address.to_string()));
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Fonoteca");
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Writes a file that only we may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    // One left behind by a crash might have other permissions.
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_self_made_certificate_is_private_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let made = Certificate::self_made(directory.path(), Some("192.0.2.7".parse().unwrap())).unwrap();
        made.check().unwrap();
        let before = [&made.chain, &made.key].map(|path| {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            std::fs::read(path).unwrap()
        });
        assert_eq!(Certificate::self_made(directory.path(), None).unwrap(), made);
        assert_eq!([&made.chain, &made.key].map(|path| std::fs::read(path).unwrap()), before);
        std::fs::remove_file(&made.key).unwrap();
        Certificate::self_made(directory.path(), None).unwrap().check().unwrap();
        assert_ne!(std::fs::read(&made.chain).unwrap(), before[0], "half a certificate is made anew");
    }

    #[test]
    fn a_certificate_that_cannot_be_used_is_named() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let good = Certificate::self_made(one.path(), None).unwrap();
        let stranger = Certificate::self_made(other.path(), None).unwrap();
        let nowhere = one.path().join("nowhere.pem");
        for (certificate, at_fault) in [
            (Certificate { chain: nowhere.clone(), ..good.clone() }, &nowhere),
            (Certificate { key: nowhere.clone(), ..good.clone() }, &nowhere),
            (Certificate { key: stranger.key.clone(), ..good.clone() }, &stranger.key),
            (Certificate { chain: good.key.clone(), ..good.clone() }, &good.key),
        ] {
            let error = certificate.check().unwrap_err().to_string();
            assert!(error.starts_with("ftp certificate: ") && error.contains(at_fault.to_str().unwrap()), "{error}");
        }
        let missing = one.path().join("missing");
        assert!(Certificate::self_made(&missing, None).unwrap_err().to_string().contains("cannot write"));
    }
}
