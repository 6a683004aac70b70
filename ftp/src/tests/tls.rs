//! Encrypted sessions, with the self-made certificate.

use std::sync::Arc;

use archive::testing::TestArchive;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::client::Client;
use super::door::{Door, clear};
use crate::{Config, TlsMode};

fn with_tls(tls: TlsMode) -> Config {
    Config { tls, ..clear() }
}

/// A client's configuration that trusts the door's self-made certificate and nothing else.
fn trust(door: &Door, version: &'static rustls::SupportedProtocolVersion) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let path = door.t.directory.path().join("ftp-certificate.pem");
    roots.add(CertificateDer::from_pem_file(path).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Tries again when the handshake fails, as clients do: libunftp may take it for a command (see `pace_replies`).
async fn secured(door: &Door, config: &Arc<rustls::ClientConfig>) -> Client {
    for _ in 0..5 {
        let mut client = door.connect().await;
        if client.secure(config).await.is_ok() {
            return client;
        }
    }
    panic!("no handshake succeeds");
}

async fn log_in(door: &Door, config: &Arc<rustls::ClientConfig>) -> Client {
    let mut client = secured(door, config).await;
    client.log_in("ftp-acme", TestArchive::PASSWORD).await;
    client.protect().await;
    client
}

#[tokio::test]
async fn recordings_travel_encrypted_in_both_versions_of_tls() {
    for tls in [TlsMode::Required, TlsMode::Optional] {
        let door = Door::open(with_tls(tls)).await;
        let bytes: Vec<u8> = (0..700_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let (_, path) = door.record("acme", &bytes).await;
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut client = log_in(&door, &trust(&door, version)).await;
            assert!(client.expect(211, "FEAT").await.contains("AUTH TLS"));
            assert_eq!(client.listing("NLST /2026").await, "11\r\n");
            assert!(client.fetch(&format!("RETR {path}")).await == bytes);
            client.expect(350, "REST 300000").await;
            assert!(client.fetch(&format!("RETR {path}")).await == bytes[300_000..]);
            client.expect(221, "QUIT").await;
        }
        door.close().await;
    }
}

#[tokio::test]
async fn nobody_logs_in_in_clear_where_tls_is_required() {
    let door = Door::open(with_tls(TlsMode::Required)).await;
    let mut client = door.connect().await;
    client.expect(534, "USER ftp-acme").await;
    let refused = client.command(&format!("PASS {}", TestArchive::PASSWORD)).await;
    assert_eq!(refused.code, 534);
    client.expect(530, "EPSV").await;
    let mut client = secured(&door, &trust(&door, &rustls::version::TLS13)).await;
    client.log_in("ftp-acme", TestArchive::PASSWORD).await;
    client.expect(534, "PASV").await;
    client.expect(534, "CCC").await;
    assert_eq!(door.audit("ftp.login").await.len(), 1);
    door.close().await;
}

#[tokio::test]
async fn tls_is_as_it_is_configured() {
    let door = Door::open(with_tls(TlsMode::Optional)).await;
    door.log_in("acme").await.expect(227, "PASV").await;
    door.close().await;
    let door = Door::open(with_tls(TlsMode::Off)).await;
    let mut client = door.connect().await;
    assert!(client.command("AUTH TLS").await.code >= 500);
    assert!(!door.t.directory.path().join("ftp-certificate.pem").exists());
    door.close().await;
}

#[tokio::test]
async fn an_encrypted_client_that_takes_nothing_holds_its_session_no_longer_than_a_clear_one() {
    let door =
        Door::open(Config { idle_timeout: std::time::Duration::from_secs(1), ..with_tls(TlsMode::Required) }).await;
    let (_, path) = door.record("acme", &vec![7; 24 * 1024 * 1024]).await;
    let mut client = log_in(&door, &trust(&door, &rustls::version::TLS13)).await;
    let data = client.begin(&format!("RETR {path}")).await;
    // Answered only after the transfer: until then libunftp keeps the session to itself.
    client.send("PWD").await;
    let codes = [client.reply().await.code, client.reply().await.code];
    assert!(codes.contains(&426) && codes.contains(&257), "{codes:?}");
    drop(data);
    door.close().await;
}
