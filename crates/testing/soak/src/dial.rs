//! How a client reaches its server: over the network, or as a simulation has it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::net::TcpStream;

/// How a client reaches its server.
pub trait Dial: fmt::Debug + Send + Sync {
    /// A new connection.
    fn dial(&self) -> BoxFuture<'_, io::Result<TcpStream>>;

    /// What belongs into `Host`.
    fn host(&self) -> String;
}

impl Dial for SocketAddr {
    fn dial(&self) -> BoxFuture<'_, io::Result<TcpStream>> {
        async move {
            let stream = TcpStream::connect(self).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }
        .boxed()
    }

    fn host(&self) -> String {
        self.to_string()
    }
}
