//! Where a request comes from.

use std::net::{IpAddr, SocketAddr};

use http::request::Parts;
use klatch_limits::Address;

use crate::config::Network;

/// The other end of the connection a request came in on; the server puts it beside each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The client's address for counting: behind trusted proxies what they say. Requests that came in
/// some other way than through the server's listener are counted together.
pub(crate) fn client(parts: &Parts, trusted: &[Network]) -> Address {
    let Some(Peer(peer)) = parts.extensions.get::<Peer>() else { return Address::default() };
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.ip().to_canonical();
    if !is_trusted(client) {
        return client.into();
    }
    // The rightmost entry was written by the proxy that spoke to us; go on to the left as long as
    // the writer is trusted.
    for entry in forwarded_for(parts).rev() {
        if !is_trusted(client) {
            break;
        }
        match entry.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client.into()
}

/// The address that [`client`] found, as it lies beside each request.
pub(crate) fn of(parts: &Parts) -> Address {
    parts.extensions.get().copied().unwrap_or_default()
}

fn forwarded_for(parts: &Parts) -> impl DoubleEndedIterator<Item = &str> {
    let values = parts.headers.get_all("x-forwarded-for").iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    texts.into_iter().flat_map(|text| text.split(',').collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut request = http::Request::builder();
        for value in forwarded {
            request = request.header("X-Forwarded-For", *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(Peer(SocketAddr::new(peer.parse().unwrap(), 1)));
        let trusted: Vec<Network> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        client(&parts, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(seen("192.0.2.1", &["198.51.100.1"], &[]), "192.0.2.1");
        assert_eq!(seen("10.0.0.1", &["198.51.100.1"], &["10.0.0.0/8"]), "198.51.100.1");
        // What the client itself wrote in front is not.
        let forged = ["1.1.1.1, 198.51.100.1", "10.0.0.2"];
        assert_eq!(seen("10.0.0.1", &forged, &["10.0.0.0/8"]), "198.51.100.1");
        assert_eq!(seen("10.0.0.1", &["nonsense"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(seen("::ffff:192.0.2.1", &[], &[]), "192.0.2.1");
    }

    #[test]
    fn a_household_of_version_6_is_one_client() {
        let one = seen("2001:db8:1:2:3:4:5:6", &[], &[]);
        assert_eq!(one, "2001:db8:1:2::/64");
        assert_eq!(one, seen("2001:db8:1:2:ffff::1", &[], &[]));
    }
}
