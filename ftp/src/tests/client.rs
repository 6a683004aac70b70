//! A small FTP client, as strict as a test wants it.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::door::DEADLINE;

pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A reply: its code, and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) text: String,
}

/// A control connection.
pub(super) struct Client {
    address: SocketAddr,
    control: Option<Box<dyn Connection>>,
    received: Vec<u8>,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// Data connections are encrypted.
    pub(super) protected: bool,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { address, control: Some(Box::new(stream)), received: Vec::new(), tls: None, protected: false }
    }

    fn control(&mut self) -> &mut Box<dyn Connection> {
        self.control.as_mut().expect("the control connection is there")
    }

    pub(super) async fn send(&mut self, line: &str) {
        self.control().write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }

    /// The next reply; `None` when the server has closed the connection.
    pub(super) async fn next_reply(&mut self) -> Option<Reply> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            text.push_str(&line);
            if line.len() > 3 && line.as_bytes()[3] == b' ' && line[..3].bytes().all(|byte| byte.is_ascii_digit()) {
                return Some(Reply { code: line[..3].parse().unwrap(), text });
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line = self.received.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            let mut block = [0; 4096];
            let read = timeout(DEADLINE, self.control().read(&mut block)).await.expect("a reply in time");
            match read {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.received.extend_from_slice(&block[..length]),
            }
        }
    }

    pub(super) async fn reply(&mut self) -> Reply {
        self.next_reply().await.expect("a reply, not the end of the connection")
    }

    pub(super) async fn command(&mut self, line: &str) -> Reply {
        self.send(line).await;
        self.reply().await
    }

    /// Sends a command that must have that reply; says the reply's text.
    pub(super) async fn expect(&mut self, code: u16, line: &str) -> String {
        let reply = self.command(line).await;
        assert_eq!(reply.code, code, "{line}: {}", reply.text);
        reply.text
    }

    pub(super) async fn log_in(&mut self, login: &str, password: &str) {
        self.expect(331, &format!("USER {login}")).await;
        self.expect(230, &format!("PASS {password}")).await;
    }

    /// AUTH TLS (RFC 4217, section 4) and the handshake; an error is the server's.
    pub(super) async fn secure(&mut self, config: &Arc<rustls::ClientConfig>) -> std::io::Result<()> {
        self.expect(234, "AUTH TLS").await;
        let stream = self.control.take().unwrap();
        self.control = Some(Box::new(handshake(config, stream).await?));
        self.tls = Some(config.clone());
        Ok(())
    }

    /// PBSZ and PROT P: data connections are encrypted from now on.
    pub(super) async fn protect(&mut self) {
        self.expect(200, "PBSZ 0").await;
        self.expect(200, "PROT P").await;
        self.protected = true;
    }

    /// Opens a data connection by EPSV (RFC 2428, section 3) and begins a transfer on it.
    pub(super) async fn begin(&mut self, command: &str) -> Box<dyn Connection> {
        let passive = self.expect(229, "EPSV").await;
        let port = passive.split('|').nth(3).unwrap().parse().unwrap();
        let stream = TcpStream::connect(SocketAddr::new(self.address.ip(), port)).await.unwrap();
        self.expect(150, command).await;
        match self.tls.as_ref().filter(|_| self.protected) {
            Some(config) => Box::new(handshake(config, stream).await.unwrap()),
            None => Box::new(stream),
        }
    }

    /// A whole transfer: what was sent, and the reply after it.
    pub(super) async fn transfer(&mut self, command: &str) -> (Vec<u8>, Reply) {
        let mut data = self.begin(command).await;
        let mut bytes = Vec::new();
        timeout(DEADLINE, data.read_to_end(&mut bytes)).await.expect("the transfer ends in time").unwrap();
        drop(data);
        (bytes, self.reply().await)
    }

    /// A whole transfer that must succeed.
    pub(super) async fn fetch(&mut self, command: &str) -> Vec<u8> {
        let (bytes, reply) = self.transfer(command).await;
        assert_eq!(reply.code, 226, "{command}: {}", reply.text);
        bytes
    }

    /// A listing that must succeed, as text.
    pub(super) async fn listing(&mut self, command: &str) -> String {
        String::from_utf8(self.fetch(command).await).unwrap()
    }

    /// Waits until the server closes the connection, whatever it says before.
    pub(super) async fn closed(&mut self) {
        while self.next_reply().await.is_some() {}
    }
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<rustls::ClientConfig>,
    stream: S,
) -> std::io::Result<tokio_rustls::client::TlsStream<S>> {
    let name = ServerName::try_from("localhost").unwrap();
    timeout(DEADLINE, TlsConnector::from(config.clone()).connect(name, stream)).await.expect("a handshake in time")
}
