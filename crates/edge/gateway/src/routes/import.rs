//! Imports: a stream of lines in, memory bounded by a batch.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::{Buf as _, Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use klatch_domain::audit::{Act, AuditEntry, By};
use klatch_ports::api::import::{ImportItem, ImportSession};
use klatch_protocol::problem::{Code, Problem, ProblemDocument};
use klatch_protocol::rest::import::{ImportSummary, LineKind, line};
use klatch_protocol::rest::meta::IMPORT_LINE_BYTES_MAX;
use serde::Serialize;
use tokio::time::timeout;

use crate::body::check_type;
use crate::caller::Caller;
use crate::edge::Shared;
use crate::fault::Fault;
use crate::finish::RequestId;
use crate::params::Params;
use crate::reply;

/// Lines taken in together: they share their syncs.
const BATCH_LINES: usize = 1_000;
/// Bytes of lines taken in together.
const BATCH_BYTES: usize = 1024 * 1024;
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const TYPES: [&str; 4] =
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/json"];

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/admin/import", post(import))
}

/// Bring in users, rooms, members and messages in bulk
///
/// One JSON object per line: `{"type": "user|room|member|message", "id": "<external id>", …}`.
/// Lines that refer to each other come in order. Known external ids are skipped, so an import that
/// was cut short can be sent again whole. With `?progress=ndjson` the answer is a stream of lines:
/// a `progress` after each batch, then `summary`, or `error` with a problem document.
#[utoipa::path(
    post, path = "/api/v1/admin/import", tag = "admin",
    params(("progress" = Option<String>, Query, description = "`ndjson`: tell while it runs")),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "What was done", body = ImportSummary),
        (status = 403, description = "`admin_only`", body = ProblemDocument),
        (status = 503, description = "`busy`: another import runs", body = ProblemDocument),
    ),
    security(("token" = []), ("cookie" = []))
)]
pub(crate) async fn import(
    State(edge): State<Shared>,
    caller: Caller,
    params: Params,
    request: Request,
) -> Result<Response, Fault> {
    let tells = match params.one("progress")? {
        None => false,
        Some("ndjson") => true,
        Some(_) => return Err(Problem::invalid_parameter("progress").into()),
    };
    let (parts, body) = request.into_parts();
    check_type(&parts.headers, &TYPES)?;
    let session = edge.services.imports.begin(caller.actor).await?;
    // Before the first line: one that breaks off has brought something in as well.
    let by = By::User(caller.actor);
    edge.services
        .audit
        .record(&AuditEntry::new(edge.services.clock.now(), by, Act::Imported))
        .await?;
    let mut run = Run {
        session,
        lines: Lines::new(body.into_data_stream(), edge.config.body_timeout),
        summary: ImportSummary::default(),
    };
    if tells {
        let id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
        let mut response = Response::new(Body::from_stream(progress(run, id)));
        response.headers_mut().insert(CONTENT_TYPE, NDJSON);
        return Ok(response);
    }
    while run.batch().await? {}
    reply::json(StatusCode::OK, &run.finish())
}

/// An import under way.
struct Run {
    session: Box<dyn ImportSession>,
    lines: Lines,
    summary: ImportSummary,
}

impl Run {
    /// Takes in the next lines. Whether there may be more.
    async fn batch(&mut self) -> Result<bool, Fault> {
        let mut items: Vec<ImportItem> = Vec::new();
        let mut places: Vec<(u64, LineKind)> = Vec::new();
        let mut bytes = 0;
        let mut more = true;
        while items.len() < BATCH_LINES && bytes < BATCH_BYTES {
            let Some(text) = self.lines.next().await.map_err(|problem| self.stopped(problem))?
            else {
                more = false;
                break;
            };
            let number = self.lines.number;
            let read = match text {
                Line::Blank => continue,
                Line::TooLong => Err(Problem::new(Code::LineTooLong)),
                Line::Text(text) => {
                    bytes += text.len();
                    line(&text)
                }
            };
            self.summary.lines += 1;
            match read {
                Ok(item) => {
                    places.push((number, LineKind::from(&item)));
                    items.push(item);
                }
                Err(problem) => self.summary.refuse(number, problem),
            }
        }
        if !items.is_empty() {
            let outcomes = self.session.push(items).await;
            let outcomes =
                outcomes.map_err(|error| self.stopped(Fault::from(error).into_problem()))?;
            for ((number, kind), outcome) in places.into_iter().zip(&outcomes) {
                self.summary.count(number, kind, outcome);
            }
        }
        Ok(more)
    }

    /// Why it stopped, and that it can be repeated.
    fn stopped(&self, problem: Problem) -> Fault {
        let number = self.lines.number;
        let detail = format!(
            "stopped near line {number}: send everything again, what was taken in is skipped"
        );
        problem.detail(detail).into()
    }

    fn finish(mut self) -> ImportSummary {
        self.summary.position = self.session.position().map(|position| position.to_string());
        // Lines that could not be read are told before those of their batch that were refused.
        self.summary.errors.sort_by_key(|error| error.line);
        self.summary
    }
}

/// A line of the answer with `progress=ndjson`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Told<'a> {
    Progress { lines: u64, refused: u64 },
    Summary(&'a ImportSummary),
    Error(ProblemDocument<'a>),
}

fn progress(
    run: Run,
    id: RequestId,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream::unfold(Some((run, id)), async |state| {
        let (mut run, id) = state?;
        match run.batch().await {
            Ok(true) => {
                let ImportSummary { lines, refused, .. } = run.summary;
                Some((told(&Told::Progress { lines, refused }), Some((run, id))))
            }
            Ok(false) => Some((told(&Told::Summary(&run.finish())), None)),
            Err(fault) => Some((told(&Told::Error(fault.into_problem().document(&id.0))), None)),
        }
    })
    .map(Ok)
}

fn told(line: &Told<'_>) -> Bytes {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

/// A body taken apart into lines; holds one line and one piece of the body at most.
struct Lines {
    pieces: BodyDataStream,
    patience: Duration,
    buffer: BytesMut,
    ended: bool,
    /// Number of the last line, from 1.
    number: u64,
}

enum Line {
    Text(BytesMut),
    Blank,
    TooLong,
}

impl Lines {
    fn new(pieces: BodyDataStream, patience: Duration) -> Self {
        Self { pieces, patience, buffer: BytesMut::new(), ended: false, number: 0 }
    }

    /// The next line; `None` after the last.
    async fn next(&mut self) -> Result<Option<Line>, Problem> {
        let mut too_long = false;
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                self.number += 1;
                let text = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Ok(Some(judged(text, too_long)));
            }
            if self.buffer.len() > IMPORT_LINE_BYTES_MAX {
                too_long = true;
                self.buffer.clear();
            }
            if self.ended {
                let text = self.buffer.split();
                if text.is_empty() && !too_long {
                    return Ok(None);
                }
                self.number += 1;
                return Ok(Some(judged(text, too_long)));
            }
            match timeout(self.patience, self.pieces.next()).await {
                Ok(Some(Ok(piece))) => self.buffer.extend_from_slice(&piece),
                Ok(None) => self.ended = true,
                Ok(Some(Err(_))) => {
                    return Err(Problem::new(Code::MalformedJson));
                }
                Err(_) => return Err(Problem::new(Code::RequestTimeout)),
            }
        }
    }
}

fn judged(text: BytesMut, too_long: bool) -> Line {
    if too_long || text.len() > IMPORT_LINE_BYTES_MAX {
        Line::TooLong
    } else if text.trim_ascii().is_empty() {
        Line::Blank
    } else {
        Line::Text(text)
    }
}
