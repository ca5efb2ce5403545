//! The end of commands.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::Line;

/// An answer that begins: its status, the rest of it, and what drives the connection.
type Sent = (StatusCode, Incoming, JoinHandle<hyper::Result<()>>);

/// A connection to the server that runs on a data directory.
pub(crate) struct Running(UnixStream);

/// The server that runs on `dir`, if there is one.
///
/// # Errors
/// One may run, and this user may not talk to it.
pub(crate) async fn find(dir: &Path) -> anyhow::Result<Option<Running>> {
    let path = super::path(dir);
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(Some(Running(stream))),
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            Ok(None)
        }
        Err(error) => {
            Err(error).with_context(|| format!("talking to the server at {}", path.display()))
        }
    }
}

impl Running {
    /// Asks for `what` and writes the answer to `file`; how many bytes.
    ///
    /// # Errors
    /// What the server says, or it went away: then the file holds a part.
    pub(crate) async fn download(
        self,
        what: &str,
        with: &impl Serialize,
        file: &mut std::fs::File,
    ) -> anyhow::Result<u64> {
        let (status, mut body, driver) = self.send(what, with).await?;
        let mut bytes = 0;
        let mut problem = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("the server broke off")?.into_data() else { continue };
            if status.is_success() {
                file.write_all(&data)?;
                bytes += data.len() as u64;
            } else {
                problem.extend_from_slice(&data);
            }
        }
        driver.abort();
        if status.is_success() {
            return Ok(bytes);
        }
        bail!("{}", String::from_utf8_lossy(&problem))
    }

    async fn send(self, what: &str, with: &impl Serialize) -> anyhow::Result<Sent> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.0)).await?;
        let driver = tokio::task::spawn(connection);
        let request = Request::post(what)
            .header("host", "klatch")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(with)?)))?;
        let response = sender.send_request(request).await.context("asking the server")?;
        Ok((response.status(), response.into_body(), driver))
    }

    /// Asks for `what`, and returns how it ended; `told` hears its steps.
    ///
    /// # Errors
    /// What the server says, or it went away.
    pub(crate) async fn ask(
        self,
        what: &str,
        with: &impl Serialize,
        mut told: impl FnMut(u64, u64),
    ) -> anyhow::Result<Value> {
        let (status, mut body, driver) = self.send(what, with).await?;
        if !status.is_success() {
            bail!("the server does not do this ({status}): is it of the same version?");
        }
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("the server went away")?.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                match serde_json::from_slice(&line)? {
                    Line::Step(done, total) => told(done, total),
                    Line::Done(value) => {
                        driver.abort();
                        return Ok(value);
                    }
                    Line::Failed(why) => bail!("{why}"),
                }
            }
        }
        bail!("the server went away before it was done")
    }
}
