//! Takes the socket from the HTTP server and makes a connection of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use klatch_domain::user::Profile;
use klatch_domain::{ConnectionId, UserId};
use klatch_meter::{Part, metered};
use klatch_ports::api::auth::Identity;
use klatch_ports::metadata::UserNumber;
use klatch_ports::{PortResult, Position};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::offer::Deflate;
use crate::connection::{Connection, Session, Stream, Tls};
use crate::deps::Deps;
use crate::hub::{Message, Newcomer};
use crate::state::Shared;
use crate::upgrade::door::Seat;

/// How long the HTTP server may take to hand the socket over.
const UPGRADE_WAIT: Duration = Duration::from_secs(10);
/// How long sent bytes may stay without an answer before the kernel gives the peer up.
const TCP_USER_TIMEOUT: Duration = Duration::from_mins(1);

/// A connection that is about to be.
pub(super) struct Upgrading {
    pub(super) on_upgrade: OnUpgrade,
    pub(super) identity: Identity,
    pub(super) resume_from: Option<Vec<Position>>,
    pub(super) deflate: Option<Deflate>,
    pub(super) seat: Seat,
}

/// Waits for the socket and starts the connection's own, much smaller task.
pub(super) async fn welcome(shared: Arc<Shared>, upgrading: Upgrading) {
    let Upgrading { on_upgrade, identity, resume_from, deflate, seat } = upgrading;
    let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_WAIT, on_upgrade).await else {
        tracing::debug!("the peer went away during the upgrade");
        return;
    };
    let Some((stream, early)) = socket(upgraded) else {
        tracing::error!("the server's streams are not of a kind that can be taken over");
        return;
    };
    set_options(stream.tcp(), &shared);
    // What follows reads stores: not for all at once.
    let turn = shared.door.turn_inside().await;
    let user = identity.actor.user;
    let (profile, number) = known(&shared.deps, user).await.unwrap_or_else(|error| {
        tracing::warn!(%error, user.id = %user, "who connects is not known yet");
        (None, None)
    });
    let id = ConnectionId::fresh(&*shared.deps.clock, &*shared.deps.entropy);
    let heartbeat_ms = heartbeat(&shared);
    let connection = Connection::new(id, stream, identity, heartbeat_ms, Arc::clone(&shared))
        .with_deflate(deflate.map(|deflate| deflate.window_bits));
    // Given back when the connection is dropped, and with it the socket.
    seat.pass_on();
    let connection = Arc::new(connection);
    shared.registry.add(Arc::clone(&connection));
    let newcomer = Newcomer { connection: Arc::clone(&connection), profile, number };
    let session = Session::new(Arc::clone(&connection), early.to_vec(), resume_from);
    drop(turn);
    let task = connection_task(session, connection, Box::new(newcomer));
    shared.tasks.spawn(metered(Part::Receiving, task));
}

/// The task of a connection, for as long as it lives.
async fn connection_task(session: Session, connection: Arc<Connection>, newcomer: Box<Newcomer>) {
    // Without a hub the role stops, and the connection with it.
    if connection.shared().hub.send(Message::Connect(newcomer)).await.is_err() {
        connection.end();
    }
    session.run().await;
    connection.shared().registry.remove(connection.id);
    connection.ask_no_more().await;
    let gone = Message::Gone(Arc::clone(&connection));
    let _ = connection.shared().hub.send(gone).await;
}

/// The socket, and what was read from it already.
fn socket(upgraded: Upgraded) -> Option<(Stream, Bytes)> {
    let upgraded = match taken_apart(upgraded) {
        Ok((tcp, early)) => return Some((Stream::Plain(tcp), early)),
        Err(upgraded) => upgraded,
    };
    let (tls, early) = taken_apart::<TlsStream<TcpStream>>(upgraded).ok()?;
    let (tcp, session) = tls.into_inner();
    Some((Stream::Tls(Box::new(Tls::new(tcp, session))), early))
}

/// The stream under HTTP, if it is one of this kind.
fn taken_apart<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    upgraded: Upgraded,
) -> Result<(S, Bytes), Upgraded> {
    match upgraded.downcast::<TokioIo<S>>() {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(upgraded) => {
            let parts = hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<S>>(upgraded)?;
            Ok((parts.io.into_inner(), parts.read_buf))
        }
    }
}

fn set_options(tcp: &TcpStream, shared: &Shared) {
    let socket = socket2::SockRef::from(tcp);
    let outcome = tcp.set_nodelay(true).and_then(|()| {
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
        match shared.config.send_buffer_bytes {
            Some(bytes) => socket.set_send_buffer_size(bytes),
            None => Ok(()),
        }
    });
    if let Err(error) = outcome {
        tracing::debug!(%error, "a socket keeps its options");
    }
}

/// What the read model knows of a user.
async fn known(deps: &Deps, user: UserId) -> PortResult<(Option<Profile>, Option<UserNumber>)> {
    let number = deps.metadata.number(user).await?;
    let profile = match deps.metadata.user(user).await? {
        Some(user) => deps.keys.glance_at_profile(&user.profile).await?,
        None => None,
    };
    Ok((profile, number))
}

/// The configured interval ± 20 %, so that storms spread.
fn heartbeat(shared: &Shared) -> u32 {
    let middle = u32::try_from(shared.config.heartbeat.as_millis()).unwrap_or(u32::MAX);
    let [random, ..] = shared.deps.entropy.bytes16();
    let fifth = middle / 5;
    middle - fifth + u32::try_from(u64::from(fifth) * 2 * u64::from(random) / 255).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of the future that `make` would return, without running it.
    fn size_of_future<A, B, C, F: Future>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_a_connection_is_small() {
        let bytes = size_of_future(connection_task);
        assert!(bytes <= 512, "the task's future takes {bytes} bytes");
        let bytes = size_of::<Connection>();
        assert!(bytes <= 448, "a connection takes {bytes} bytes");
    }
}
