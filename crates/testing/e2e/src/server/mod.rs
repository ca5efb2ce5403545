//! A server of the binary under test: its own process, port and directory.

mod binary;
pub mod quiet;

use std::ops::{Deref, DerefMut};
use std::path::Path;

use anyhow::Result;

pub use binary::binary;
use klatch_soak::secrets;
pub use klatch_soak::server::{Exit, Process, SETUP_TOKEN, Settings, command, free_address};

/// A server with a fixed address and directory; its process comes and goes. When it is dropped, all
/// that it logged is looked through for what clients sent and got in confidence: a hit fails the
/// test.
#[derive(Debug)]
pub struct Server(klatch_soak::server::Server);

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// # Errors
    /// It ended, or was not ready in time; with what it wrote.
    pub async fn start(settings: Settings) -> Result<Self> {
        let mut server = Self::stopped(settings)?;
        server.begin().await?;
        Ok(server)
    }

    /// A server that is not started yet.
    ///
    /// # Errors
    /// No binary, no directory or no port.
    pub fn stopped(mut settings: Settings) -> Result<Self> {
        settings.program = Some(binary()?);
        let server = klatch_soak::server::Server::stopped(settings)?;
        secrets::watch(&server.address().to_string());
        Ok(Self(server))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill();
        let leaked = secrets::found_in(&self.0.address().to_string(), &self.0.output());
        if !std::thread::panicking() {
            assert!(leaked.is_none(), "a secret is in the server's log: {leaked:?}");
        }
    }
}

impl Deref for Server {
    type Target = klatch_soak::server::Server;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// What a command that ends by itself said.
#[derive(Clone, Debug)]
pub struct Said {
    /// How it ended.
    pub exit: Exit,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs the binary to its end in `directory`.
///
/// # Errors
/// There is no binary.
pub fn run(arguments: &[&str], variables: &[(String, String)], directory: &Path) -> Result<Said> {
    let mut command = command(&binary()?, variables);
    let output = command.args(arguments).current_dir(directory).output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Said { exit: output.status.into(), out: text(output.stdout), err: text(output.stderr) })
}
