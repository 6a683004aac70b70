//! The sockets that clients open data connections to (PASV, EPSV).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use libunftp::options::Binder;
use rand::RngExt;
use socket2::SockRef;
use tokio::net::TcpSocket;

/// The most ports that are tried before a client is told that there is none.
const MOST_TRIED: u32 = 1024;

/// Finds a free port for each data connection: from a random one on, so that nobody can tell the next (RFC 2577,
/// section 8).
#[derive(Debug)]
pub(crate) struct PassivePorts {
    /// How long a client may take nothing before its data connection is given up.
    pub(crate) stall_timeout: Duration,
}

#[async_trait]
impl Binder for PassivePorts {
    async fn bind(&mut self, address: IpAddr, ports: RangeInclusive<u16>) -> io::Result<TcpSocket> {
        let (first, count) = (u32::from(*ports.start()), ports.len() as u32);
        let start = rand::rng().random_range(0..count);
        let mut failure = io::ErrorKind::AddrInUse.into();
        for n in 0..count.min(MOST_TRIED) {
            let port = first + (start + n) % count;
            let port = u16::try_from(port).expect("the range ends at a port");
            match self.bind_to(SocketAddr::new(address, port)) {
                Ok(socket) => return Ok(socket),
                Err(error) => failure = error,
            }
        }
        tracing::warn!("no free port for an FTP data connection: {failure}");
        Err(failure)
    }
}

impl PassivePorts {
    /// The options are handed down to the connections that the socket accepts.
    fn bind_to(&self, address: SocketAddr) -> io::Result<TcpSocket> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Connections that have just ended must not block their port.
        socket.set_reuseaddr(true)?;
        // Otherwise the end of a short recording may wait 40 ms for an acknowledgement.
        socket.set_nodelay(true)?;
        // A transfer is given up by us; listings, and the end of an encrypted connection, only the system can.
        SockRef::from(&socket).set_tcp_user_timeout(Some(self.stall_timeout))?;
        socket.bind(address)?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_port_of_the_range_is_found_and_none_beyond() {
        // An address of its own: other tests take and leave ports all the time.
        let local: IpAddr = "127.9.8.7".parse().unwrap();
        let mut passive = PassivePorts { stall_timeout: Duration::from_secs(1) };
        // Three neighbours that are free: the operating system's choice, and the two after it, unless they are taken.
        let ports = loop {
            let first = passive.bind_to(SocketAddr::new(local, 0)).unwrap().local_addr().unwrap().port();
            let ports = first..=first.saturating_add(2);
            if ports.clone().all(|port| passive.bind_to(SocketAddr::new(local, port)).is_ok()) {
                break ports;
            }
        };
        let mut found = Vec::new();
        for _ in 0..3 {
            let socket = passive.bind(local, ports.clone()).await.unwrap();
            found.push(socket.listen(1).unwrap());
        }
        let mut numbers: Vec<_> = found.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, ports.clone().collect::<Vec<_>>());
        assert!(passive.bind(local, ports).await.is_err());
        assert_ne!(passive.bind(local, 0..=0).await.unwrap().local_addr().unwrap().port(), 0);
    }
}
