//! The sockets that clients come to: several, which share a port.

use std::io;
use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Config;

/// Sockets that share the port. Each has a queue of its own for connections that wait to be
/// accepted, as long as the kernel lets it be (`somaxconn`, mostly 4,096). When thousands come at
/// once, a connection that finds no place there tries again a second later only.
const QUEUES: usize = 4;
/// The length of a queue that is asked for.
const BACKLOG: u32 = 65_535;

/// Listens where the configuration says, or says what to do.
pub(super) fn bind(config: &Config) -> anyhow::Result<(Vec<TcpListener>, SocketAddr)> {
    let address = config.server.listen;
    listen(address).with_context(|| {
        format!(
            "cannot listen on {address}: if another server has the port, stop it or choose \
             another with --listen"
        )
    })
}

fn listen(address: SocketAddr) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    // A second server of the same user could share the port as well: this one would not.
    drop(bound(address, false)?);
    let first = bound(address, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first.listen(BACKLOG)?];
    for _ in 1..QUEUES {
        listeners.push(bound(address, true)?.listen(BACKLOG)?);
    }
    Ok((listeners, address))
}

fn bound(address: SocketAddr, is_shared: bool) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(is_shared)?;
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_port_is_shared_by_the_sockets_of_one_server_only() {
        let (listeners, address) = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_eq!(listeners.len(), QUEUES);
        let second = listen(address).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        drop(listeners);
        assert!(listen(address).is_ok(), "free again");
    }

    #[tokio::test]
    async fn connections_are_spread_over_the_queues() {
        let (listeners, address) = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut clients = Vec::new();
        for _ in 0..64 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut accepted = HashSet::new();
        for listener in &listeners {
            let before = accepted.len();
            let soon = std::time::Duration::from_millis(50);
            while let Ok(came) = tokio::time::timeout(soon, listener.accept()).await {
                accepted.insert(came.unwrap().1);
            }
            assert!(accepted.len() > before, "one queue of {QUEUES} is never used");
        }
        let came: HashSet<_> = clients.iter().map(|it| it.local_addr().unwrap()).collect();
        assert_eq!(accepted, came);
    }
}
