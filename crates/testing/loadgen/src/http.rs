//! A small blocking HTTP/1.1 client: one kept-alive connection, bodies by length or chunks.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustls::{ClientConnection, StreamOwned};

use crate::tls::Trust;

/// Long enough for a large import line block, short enough to end.
const TIMEOUT: Duration = Duration::from_mins(2);
/// No answer of a load is larger.
const MAX_BODY: usize = 64 << 20;

/// An answer.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What a connection goes through.
enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// One connection with one token.
pub(crate) struct Http {
    stream: BufReader<Line>,
    host: String,
    token: Option<String>,
}

impl Http {
    /// Connects, through TLS if there is somebody to trust.
    pub(crate) fn connect(
        address: SocketAddr,
        trust: Option<&Trust>,
        token: Option<&str>,
    ) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let stream = match trust {
            None => Line::Plain(stream),
            Some(trust) => Line::Tls(Box::new(StreamOwned::new(trust.client()?, stream))),
        };
        let token = token.map(str::to_owned);
        Ok(Self { stream: BufReader::new(stream), host: address.to_string(), token })
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Response> {
        self.request("GET", path, &[], b"")
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if let Some(token) = &self.token {
            head.push_str("Authorization: Bearer ");
            head.push_str(token);
            head.push_str("\r\n");
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if method != "GET" {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        head.push_str("\r\n");
        let mut wire = head.into_bytes();
        wire.extend_from_slice(body);
        self.send(&wire).context("sending a request")?;
        self.answer().with_context(|| format!("the answer to {method} {path}"))
    }

    fn send(&mut self, wire: &[u8]) -> std::io::Result<()> {
        let line = self.stream.get_mut();
        line.write_all(wire)?;
        line.flush()
    }

    fn answer(&mut self) -> Result<Response> {
        let status_line = self.line()?;
        let status: u16 = status_line
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .with_context(|| format!("no status in {status_line:?}"))?;
        let (mut length, mut chunked) = (0_usize, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().context("content-length")?,
                "transfer-encoding" => chunked = value.contains("chunked"),
                _ => {}
            }
        }
        let body = if chunked { self.chunks()? } else { self.exactly(length)? };
        Ok(Response { status, body })
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            ensure!(body.len() + size <= MAX_BODY, "an answer above {MAX_BODY} bytes");
            body.extend(self.exactly(size)?);
            self.line()?;
        }
    }

    fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        ensure!(length <= MAX_BODY, "an answer above {MAX_BODY} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let length = self.stream.by_ref().take(16 << 10).read_line(&mut line)?;
        ensure!(length > 0 && line.ends_with('\n'), "the connection ended");
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

impl Response {
    /// The body of a 2xx.
    ///
    /// # Errors
    /// Any other status, with the start of its body.
    pub(crate) fn success(self) -> Result<Vec<u8>> {
        let text = || String::from_utf8_lossy(&self.body).chars().take(600).collect::<String>();
        ensure!((200..300).contains(&self.status), "status {}: {}", self.status, text());
        Ok(self.body)
    }

    /// The JSON of a 2xx.
    ///
    /// # Errors
    /// Any other status, or no JSON.
    pub(crate) fn json(self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.success()?).context("the answer is no JSON")
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn served(answer: &'static str) -> Http {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0_u8; 4096];
            let length = stream.read(&mut seen).unwrap();
            assert!(seen[..length].ends_with(b"\r\n\r\n"));
            assert!(String::from_utf8_lossy(&seen).contains("Authorization: Bearer t\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        Http::connect(address, None, Some("t")).unwrap()
    }

    #[test]
    fn bodies_by_length_and_by_chunks_are_read() {
        let mut http = served("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"a\": 1}");
        assert_eq!(http.get("/x").unwrap().json().unwrap()["a"], 1);
        let mut http = served(
            "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3;x\r\n:2}\r\n0\r\n\r\n",
        );
        assert_eq!(http.get("/x").unwrap().json().unwrap()["a"], 2);
    }

    #[test]
    fn a_refusal_and_an_ended_connection_are_errors_that_say_so() {
        let mut http = served("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope");
        assert!(http.get("/x").unwrap().success().unwrap_err().to_string().contains("404: nope"));
        assert!(served("HTTP/1.1 200").get("/x").is_err());
    }
}
