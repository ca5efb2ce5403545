//! A plain HTTP client: one connection, made again when it is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::dial::Dial;
use crate::secrets;

/// After this an answer counts as never given.
const ANSWER_MOST: Duration = Duration::from_secs(20);

/// A client with at most one token. Requests run one after the other.
#[derive(Debug)]
pub struct Rest {
    dial: Arc<dyn Dial>,
    token: Option<String>,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Rest {
    /// A client of the server at `address`; nothing is connected yet.
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self::over(Arc::new(address), token)
    }

    /// A client of the server that `dial` reaches; nothing is connected yet.
    pub fn over(dial: Arc<dyn Dial>, token: Option<String>) -> Self {
        Self { dial, token, connection: Mutex::new(None) }
    }

    /// The token it sends.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// GET.
    ///
    /// # Errors
    /// No answer came.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(Method::GET, path, &[], Bytes::new()).await
    }

    /// GET of what is at least as new as these positions.
    ///
    /// # Errors
    /// No answer came.
    pub async fn get_at(&self, path: &str, position: Option<&str>) -> Result<Answer> {
        let header = position.map(|position| ("x-klatch-position", position));
        self.ask(Method::GET, path, header.as_slice(), Bytes::new()).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// No answer came: it may have been done or not.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.json(Method::POST, path, body).await
    }

    /// Any method with JSON.
    ///
    /// # Errors
    /// No answer came: it may have been done or not.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let headers = [("content-type", "application/json")];
        self.ask(method, path, &headers, body.to_string().into()).await
    }

    /// Any request.
    ///
    /// # Errors
    /// No answer came: it may have been done or not.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer> {
        let what = format!("{method} {path}");
        let answer = async {
            let response = self.open(method, path, headers, body).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.context("the answer's body")?.to_bytes();
            secrets::note_body(&self.dial.host(), &body);
            anyhow::Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
        };
        let answer = timeout(ANSWER_MOST, answer).await.context("no answer in time");
        let answer = answer.and_then(|answer| answer);
        if answer.is_err() {
            *self.connection.lock().await = None;
        }
        answer.with_context(|| what)
    }

    /// Sends a request and gives the answer's head; the body is still to come.
    ///
    /// # Errors
    /// No answer came.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(HOST, self.dial.host());
        secrets::note_body(&self.dial.host(), &body);
        if let Some(token) = &self.token {
            secrets::note(&self.dial.host(), token);
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        let mut slot = self.connection.lock().await;
        let mut usable = None;
        if let Some(mut sender) = slot.take()
            && sender.ready().await.is_ok()
        {
            usable = Some(sender);
        }
        let mut sender = match usable {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await?;
        secrets::note_cookies(&self.dial.host(), response.headers());
        *slot = Some(sender);
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = self.dial.dial().await.context("connecting")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// It is none.
    pub fn value(&self) -> Result<Value> {
        let text = || String::from_utf8_lossy(&self.body).chars().take(300).collect::<String>();
        serde_json::from_slice(&self.body)
            .with_context(|| format!("status {} without JSON: {:?}", self.status, text()))
    }

    /// The stable code of a problem; empty when it is none.
    pub fn code(&self) -> String {
        let is_problem = self.header(CONTENT_TYPE.as_str()) == Some("application/problem+json");
        let code = |value: Value| Some(value.get("code")?.as_str()?.to_owned());
        self.value().ok().filter(|_| is_problem).and_then(code).unwrap_or_default()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The JSON of an answer with a status of success; an empty body is null.
    ///
    /// # Errors
    /// Any other status, with its body.
    pub fn success(&self) -> Result<Json> {
        let text = || String::from_utf8_lossy(&self.body).chars().take(600).collect::<String>();
        ensure!((200..300).contains(&self.status), "status {}: {}", self.status, text());
        if self.body.is_empty() {
            return Ok(Json(Value::Null));
        }
        self.value().map(Json)
    }

    /// Checks that it is a problem document with this status and code, as the standard and our own
    /// rules want it.
    ///
    /// # Errors
    /// What is different.
    pub fn problem(&self, status: u16, code: &str) -> Result<Value> {
        let value = self.value()?;
        let found = (self.status, self.code());
        ensure!(
            found == (status, code.to_owned()),
            "{found:?} instead of {status} {code}: {value}"
        );
        for (key, expected) in [("status", Value::from(status)), ("code", Value::from(code))] {
            ensure!(value.get(key) == Some(&expected), "{key} in {value}");
        }
        for key in ["type", "title", "requestId"] {
            let text = value.get(key).and_then(Value::as_str).unwrap_or_default();
            ensure!(!text.is_empty(), "no {key} in {value}");
        }
        Ok(value)
    }
}

/// JSON whose parts are asked for by name, with errors that tell which is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Json(pub Value);

impl Json {
    /// A text.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn text(&self, key: &str) -> Result<String> {
        match self.0.get(key).and_then(Value::as_str) {
            Some(text) => Ok(text.to_owned()),
            None => bail!("no text {key} in {}", self.0),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn number(&self, key: &str) -> Result<u64> {
        let number = self.0.get(key).and_then(Value::as_u64);
        number.with_context(|| format!("no number {key} in {}", self.0))
    }

    /// The items of a list's page.
    ///
    /// # Errors
    /// It is no page.
    pub fn items(&self) -> Result<&Vec<Value>> {
        let items = self.0.get("items").and_then(Value::as_array);
        items.with_context(|| format!("no items in {}", self.0))
    }
}
