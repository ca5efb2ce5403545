//! `klatch import`: streams an NDJSON file to a running server and tells what became of it.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use hyper::{Method, Request, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::ask::ask;
use crate::host;

/// Bytes read from the file at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Refused lines shown one by one.
const SHOWN_MAX: usize = 20;

type Body = BoxBody<Bytes, io::Error>;

/// Flags of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file; `-` reads standard input. Lines that the server knows already are skipped, so a
    /// broken import is simply run again.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The server.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    server: Uri,
    /// Name or e-mail of an administrator; the password is read from the terminal, or from
    /// `KLATCH_PASSWORD`.
    #[arg(long, value_name = "NAME", required_unless_present = "token")]
    login: Option<String>,
    /// An administrator's access token instead.
    #[arg(long, env = "KLATCH_TOKEN", hide_env_values = true, conflicts_with = "login")]
    token: Option<String>,
}

pub(crate) fn run(args: ImportArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(import(args))
}

async fn import(args: ImportArgs) -> anyhow::Result<()> {
    let token = match (args.token, args.login) {
        (Some(token), _) => token,
        (None, Some(login)) => sign_in(&args.server, &login).await?,
        (None, None) => bail!("say who you are with --login or --token"),
    };
    let bar = progress_bar(&args.file)?;
    let body = file_body(&args.file, bar.clone())?;
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/admin/import")
        .header("host", authority(&args.server)?)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/x-ndjson")
        .body(body)?;
    let summary = send(&args.server, request).await?;
    bar.finish_and_clear();
    report(&summary)
}

/// Prints what was added, skipped and refused. Refused lines make the command fail.
fn report(summary: &Value) -> anyhow::Result<()> {
    let count = |name: &str| summary.get(name).and_then(Value::as_u64).unwrap_or(0);
    host::say(&format!(
        "{} lines: added {} users, {} rooms, {} members, {} messages; {} were known before",
        count("lines"),
        count("users"),
        count("rooms"),
        count("members"),
        count("messages"),
        count("skipped"),
    ));
    let refused = count("refused");
    if refused == 0 {
        return Ok(());
    }
    let errors = summary.get("errors").and_then(Value::as_array);
    for error in errors.into_iter().flatten().take(SHOWN_MAX) {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let line = error.get("line").and_then(Value::as_u64).unwrap_or(0);
        host::say(&format!("  line {line}: {} {}", text("code"), text("detail")));
    }
    bail!("{refused} lines were refused; mend them and run the import again")
}

async fn sign_in(server: &Uri, login: &str) -> anyhow::Result<String> {
    let password = match std::env::var("KLATCH_PASSWORD") {
        Ok(password) => password,
        Err(_) if io::stdin().is_terminal() => {
            host::say(&format!("Password of {login}:"));
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
        Err(_) => bail!("set KLATCH_PASSWORD, or run this in a terminal"),
    };
    let body = serde_json::json!({ "login": login, "password": password }).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/auth/login")
        .header("host", authority(server)?)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed())?;
    let answer = send(server, request).await.context("signing in")?;
    let token = answer.get("accessToken").and_then(Value::as_str);
    Ok(token.context("the server gave no token")?.to_owned())
}

async fn send(server: &Uri, request: Request<Body>) -> anyhow::Result<Value> {
    let address = authority(server)?;
    let stream = TcpStream::connect(&address)
        .await
        .with_context(|| format!("no server answers at {address}: is it running?"))?;
    ask(stream, request).await
}

fn authority(server: &Uri) -> anyhow::Result<String> {
    if server.scheme_str() != Some("http") {
        bail!("{server} is not an http:// address; for https run this on the server itself");
    }
    let host = server.host().context("the address names no host")?;
    Ok(format!("{host}:{}", server.port_u16().unwrap_or(80)))
}

fn progress_bar(file: &Path) -> anyhow::Result<ProgressBar> {
    if !io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    if file == Path::new("-") {
        return Ok(ProgressBar::new_spinner());
    }
    let length =
        std::fs::metadata(file).with_context(|| format!("opening {}", file.display()))?.len();
    let style = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    Ok(ProgressBar::new(length).with_style(ProgressStyle::with_template(style)?))
}

/// The file as a body that is read as fast as the server takes it.
fn file_body(file: &Path, bar: ProgressBar) -> anyhow::Result<Body> {
    let mut source: Box<dyn io::Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let open = std::fs::File::open(file);
        Box::new(open.with_context(|| format!("opening {}", file.display()))?)
    };
    let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(4);
    std::thread::Builder::new().name("import-read".to_owned()).spawn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => {
                    bar.inc(count as u64);
                    Ok(Bytes::copy_from_slice(chunk.get(..count).unwrap_or_default()))
                }
                // Breaks the request off: the server must not take a part for the whole.
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                break;
            }
        }
    })?;
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        let read = receiver.recv().await?;
        Some((read.map(Frame::data), receiver))
    });
    Ok(BodyExt::boxed(StreamBody::new(frames)))
}
