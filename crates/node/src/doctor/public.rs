//! The way that people take: the public address, with whatever proxies are on it.

use std::time::Duration;

use axum::http::HeaderValue;
use futures::{SinkExt as _, StreamExt as _};
use klatch_domain::{Clock, Timestamp};
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::probe::{Place, STEP, Stream, Unreachable};
use super::{Findings, certificate};

/// Close codes from here on are the server's own words.
const OWN_CODES: u16 = 4_000;

type Socket = WebSocketStream<Stream>;

/// What is heard on a connection.
enum Heard {
    /// A frame of the interface.
    Frame(String),
    /// The end, with its code if there was one.
    End(Option<u16>),
}

pub(super) async fn look(
    url: &str,
    (token, idle): (Option<&str>, Duration),
    clock: &dyn Clock,
    out: &mut Findings,
) {
    let Some(place) = Place::parse(url) else {
        let text = format!("{url} is no address of a server");
        return out.bad("address", text, "write it as https://chat.example or http://host:port");
    };
    if !is_klatch(&place, url, out).await {
        return;
    }
    let (stream, shown) = match place.connect().await {
        Ok(connected) => connected,
        Err(error) => return tell_unreachable(url, &error, out),
    };
    if let Some(shown) = shown {
        look_at_certificate(&shown, clock.now(), out);
    }
    if let Some(socket) = upgrade(&place, stream, token, out).await {
        talk(socket, idle, out).await;
    }
}

async fn is_klatch(place: &Place, url: &str, out: &mut Findings) -> bool {
    match place.get("/api/v1/meta").await {
        Ok(answer) if *answer.value("name") == "klatch" => {
            let version = answer.text("version");
            out.good("address", format!("Klatch {version} answers at {url}"));
            return true;
        }
        Ok(answer) => {
            let text = format!("what answers at {url} is no Klatch (status {})", answer.status);
            out.bad("address", text, "look where the name and the proxy lead");
        }
        Err(error) => tell_unreachable(url, &error, out),
    }
    false
}

fn tell_unreachable(url: &str, error: &Unreachable, out: &mut Findings) {
    match error {
        Unreachable::Connect(error) => {
            let mend = "look at the name, the proxy, and whether the server runs";
            out.bad("address", format!("{url} cannot be reached: {error}"), mend);
        }
        Unreachable::Tls(error) => {
            let text = format!("the certificate at {url} is not believed by this system: {error}");
            out.bad(
                "certificate",
                text,
                "take one that browsers trust, for the name in the address",
            );
        }
    }
}

fn look_at_certificate(shown: &CertificateDer<'_>, now: Timestamp, out: &mut Findings) {
    if let Some(dates) = certificate::validity(shown) {
        certificate::judge(dates, now, out);
    }
}

/// Asks for a WebSocket. `None`: that is all that can be tried.
async fn upgrade(
    place: &Place,
    stream: Stream,
    token: Option<&str>,
    out: &mut Findings,
) -> Option<Socket> {
    let scheme = if place.tls.is_some() { "wss" } else { "ws" };
    let address = format!("{scheme}://{}{}/ws", place.authority(), place.prefix);
    let Ok(mut request) = address.into_client_request() else { return None };
    if let Some(token) = token.and_then(|t| HeaderValue::from_str(&format!("Bearer {t}")).ok()) {
        request.headers_mut().insert("authorization", token);
    }
    let Ok(answer) = timeout(STEP, client_async(request, stream)).await else {
        let text = format!("no answer to a WebSocket upgrade within {STEP:?}");
        out.bad("websocket", text, "let the proxy pass the answer 101 on at once");
        return None;
    };
    match answer {
        Ok((socket, _)) => return Some(socket),
        Err(Error::Http(response)) => {
            tell_refusal(response.status().as_u16(), token.is_some(), out);
        }
        Err(error) => {
            let text = format!("a WebSocket upgrade failed: {error}");
            out.bad("websocket", text, NGINX);
        }
    }
    None
}

const NGINX: &str = "let the proxy pass the upgrade on; nginx: proxy_http_version 1.1; \
                     proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";

fn tell_refusal(status: u16, has_token: bool, out: &mut Findings) {
    match (status, has_token) {
        (401, false) => out.good(
            "websocket",
            "an upgrade reaches the server (with --token a whole connection is tried)",
        ),
        (401, true) => {
            out.bad("websocket", "the token is not taken", "take a fresh one: POST auth/login");
        }
        (426, _) => out.bad("websocket", "the Upgrade header does not reach the server", NGINX),
        (403, _) => out.bad(
            "websocket",
            "the upgrade is forbidden (403)",
            "let the proxy pass it on; the server itself does not ask where it comes from",
        ),
        (429 | 503, _) => out.warn(
            "websocket",
            format!("the server takes no more connections now ({status})"),
            "try again; if it stays so, raise its limits",
        ),
        _ => out.bad("websocket", format!("an upgrade was answered with {status}"), NGINX),
    }
}

/// Hello, a ping, and then silence for as long as people are silent.
async fn talk(mut socket: Socket, idle: Duration, out: &mut Findings) {
    let through = "let the proxy pass frames on as they come; nginx: proxy_buffering off;";
    if !comes(&mut socket, "hello").await {
        let text = format!("the upgrade succeeds, but no frame comes within {STEP:?}");
        return out.bad("websocket", text, through);
    }
    let asked = Instant::now();
    let ping = Message::text(r#"{"type":"ping","payload":{},"requestId":"doctor"}"#);
    if socket.send(ping).await.is_err() || !comes(&mut socket, "pong").await {
        return out.bad("websocket", "frames of the client do not get through", through);
    }
    let millis = asked.elapsed().as_secs_f64() * 1_000.0;
    out.good("websocket", format!("a connection holds: hello came, a ping took {millis:.1} ms"));
    if idle.is_zero() {
        return;
    }
    let begun = Instant::now();
    loop {
        match timeout(idle.saturating_sub(begun.elapsed()), hear(&mut socket)).await {
            Err(_) => break,
            Ok(Heard::Frame(_)) => {}
            Ok(Heard::End(code)) => {
                return tell_end(code, begun.elapsed(), out);
            }
        }
    }
    out.good("quiet connection", format!("it stays open for {idle:?}"));
}

fn tell_end(code: Option<u16>, after: Duration, out: &mut Findings) {
    let seconds = after.as_secs();
    match code {
        Some(code) if code >= OWN_CODES => out.warn(
            "quiet connection",
            format!("the server itself closed it after {seconds} s with {code}"),
            "look up the code in the protocol; a token may have ended",
        ),
        _ => out.bad(
            "quiet connection",
            format!("something on the way ends a quiet connection after {seconds} s"),
            "let the proxy wait for 75 s and more; nginx: proxy_read_timeout 120s;",
        ),
    }
}

async fn comes(socket: &mut Socket, kind: &str) -> bool {
    let wanted = async {
        loop {
            match hear(socket).await {
                Heard::Frame(found) if found == kind => return true,
                Heard::Frame(_) => {}
                Heard::End(_) => return false,
            }
        }
    };
    timeout(STEP, wanted).await.unwrap_or(false)
}

async fn hear(socket: &mut Socket) -> Heard {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
                let kind = frame.get("type").and_then(serde_json::Value::as_str);
                return Heard::Frame(kind.unwrap_or_default().to_owned());
            }
            Some(Ok(Message::Close(frame))) => {
                return Heard::End(frame.map(|frame| frame.code.into()));
            }
            // Pings are answered by the library.
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Heard::End(None),
        }
    }
}
