//! Connections without a network: pairs of local sockets, which deliver at once and in order.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use klatch_soak::Dial;
use klatch_soak::dice::Dice;
use parking_lot::Mutex;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::net::TcpStream;

use crate::server::Life;

/// The way to whatever instances live.
#[derive(Debug)]
pub(crate) struct Network {
    life: Mutex<Option<Arc<Life>>>,
    dice: Mutex<Dice>,
    /// The servers' ends of what was dialled in this life.
    open: Mutex<Vec<std::net::TcpStream>>,
}

impl Network {
    pub(crate) fn new(dice: Dice) -> Arc<Self> {
        let (life, open) = (Mutex::new(None), Mutex::default());
        Arc::new(Self { life, dice: Mutex::new(dice), open })
    }

    /// From now on this life answers.
    pub(crate) fn lead_to(&self, life: Arc<Life>) {
        *self.life.lock() = Some(life);
    }

    /// Nobody answers any more, and every connection has ended. What was sent before still comes.
    pub(crate) fn cut(&self) -> Option<Arc<Life>> {
        for socket in self.open.lock().drain(..) {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
        self.life.lock().take()
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let Some(life) = self.life.lock().clone() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (near, far) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let instance = self.dice.lock().below(life.doors());
        let far = std::net::TcpStream::from(far);
        self.open.lock().push(far.try_clone()?);
        life.accept(instance, TcpStream::from_std(far)?);
        socket(near)
    }
}

fn socket(end: OwnedFd) -> io::Result<TcpStream> {
    TcpStream::from_std(end.into())
}

/// Dials into the network.
#[derive(Debug)]
pub(crate) struct Line(pub(crate) Arc<Network>);

impl Dial for Line {
    fn dial(&self) -> BoxFuture<'_, io::Result<TcpStream>> {
        async { self.0.connect() }.boxed()
    }

    fn host(&self) -> String {
        "simulated.example".to_owned()
    }
}
