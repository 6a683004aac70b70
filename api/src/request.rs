//! What is known of a request before anybody looks at it: its id, and the address it came from.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName};

use crate::connection::Peer;
use crate::network::Network;

/// Carries the request's id, in and out.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The longest id that is taken over from a caller.
const MAX_REQUEST_ID: usize = 64;

/// Which request this is, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestContext {
    pub(crate) id: String,
    pub(crate) address: Option<IpAddr>,
}

impl RequestContext {
    /// The caller's `X-Request-Id` if it is short and clean, else `new_id`; the peer's address, or the one that a
    /// trusted proxy says it forwards for.
    pub(crate) fn of(request: &Request, trusted_proxies: &[Network], new_id: impl FnOnce() -> String) -> Self {
        let given = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        let peer = peer(request);
        Self {
            id: given.filter(|id| is_clean(id)).map_or_else(new_id, str::to_owned),
            address: peer.map(|peer| client(peer, request.headers(), trusted_proxies)),
        }
    }
}

/// Letters, digits, `-`, `_` and `.`: nothing that could break a log line or a header.
fn is_clean(id: &str) -> bool {
    (1..=MAX_REQUEST_ID).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn peer(request: &Request) -> Option<IpAddr> {
    let extensions = request.extensions();
    let ours = extensions.get::<ConnectInfo<Peer>>().map(|ConnectInfo(Peer(address))| *address);
    let address = ours.or_else(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address));
    Some(address?.ip().to_canonical())
}

/// Walks back from the peer through the proxies that are trusted: the first address that is not one of them is the
/// client. What stands to the left of it in `X-Forwarded-For` anybody could have written.
fn client(peer: IpAddr, headers: &HeaderMap, trusted_proxies: &[Network]) -> IpAddr {
    let lists: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|list| list.to_str().ok()).collect();
    let mut address = peer;
    for hop in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
        if !trusted_proxies.iter().any(|proxy| proxy.contains(address)) {
            break;
        }
        let Some(forwarded) = read_hop(hop.trim()) else { break };
        address = forwarded;
    }
    address
}

/// An address, with a port or without.
fn read_hop(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["10.0.0.0/8".parse().expect("network")];
        for (peer, forwarded, expected) in [
            ("203.0.113.5", vec!["198.51.100.7"], "203.0.113.5"),
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("10.0.0.1", vec!["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", vec!["1.2.3.4, 198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", vec!["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", vec!["[2001:db8::1]:443"], "2001:db8::1"),
            ("10.0.0.1", vec!["198.51.100.7, nonsense"], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for list in &forwarded {
                headers.append(X_FORWARDED_FOR, list.parse().expect("header"));
            }
            let found = client(peer.parse().expect("address"), &headers, &trusted);
            assert_eq!(found, expected.parse::<IpAddr>().expect("address"), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn a_request_id_is_taken_over_only_if_short_and_clean() {
        assert!(is_clean("abc-123_X.y") && is_clean(&"a".repeat(64)));
        for id in ["", "a b", "a\"b", "é", &"a".repeat(65)] {
            assert!(!is_clean(id), "{id:?}");
        }
    }
}
