//! WebSocket frames that no good client sends, at the real server.

use std::time::Duration;

use klatch_e2e::hostile::{Hostile, masked, promise, unmasked};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::token;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const TEXT: u8 = 0x81;

/// The code the server closes with after these bytes.
async fn close_after(server: &Server, bytes: &[u8]) -> Option<u16> {
    let mut hostile = Hostile::upgraded(server.address(), &token::of("mallory")).await.unwrap();
    hostile.send(bytes).await.unwrap();
    hostile.close_code().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_against_the_rules_of_rfc_6455_are_closed_with_the_right_code() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let ping = br#"{"type":"ping"}"#;
    let fragments = |first: &[u8], then: Vec<u8>| [masked(0x01, first), then].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", unmasked(TEXT, ping), 1002),
        ("first reserved bit", masked(0xc1, ping), 1002),
        ("second reserved bit", masked(0xa1, ping), 1002),
        ("third reserved bit", masked(0x91, ping), 1002),
        ("a reserved opcode for data", masked(0x83, ping), 1002),
        ("a reserved opcode for control", masked(0x8b, ping), 1002),
        ("a fragmented ping", masked(0x09, b"x"), 1002),
        ("a ping of 126 bytes", masked(0x89, &[b'x'; 126]), 1002),
        ("a continuation of nothing", masked(0x80, ping), 1002),
        ("a message within another", fragments(b"a", masked(TEXT, ping)), 1002),
        ("a close of one byte", masked(0x88, &[3]), 1002),
        ("a close code that may not be sent", masked(0x88, &1005u16.to_be_bytes()), 1002),
        ("a close code below all", masked(0x88, &999u16.to_be_bytes()), 1002),
        ("binary", masked(0x82, &[0, 1, 2]), 1003),
        ("text that is not UTF-8", masked(TEXT, b"{\"type\":\"\xff\"}"), 1007),
        (
            "text cut within a character",
            masked(TEXT, "\"é".as_bytes().split_last().unwrap().1),
            1007,
        ),
        ("half a surrogate pair", masked(TEXT, &[b'"', 0xed, 0xa0, 0x80, b'"']), 1007),
        ("a reason that is not UTF-8", masked(0x88, &[3, 0xe8, 0xff, 0xfe]), 1007),
        ("64 KiB and a byte", masked(TEXT, &vec![b' '; 64 * 1024 + 1]), 1009),
        ("a promise of a gigabyte", promise(TEXT, 1 << 30), 1009),
        ("a promise of all there is", promise(TEXT, u64::MAX >> 1), 1009),
        (
            "fragments that add up",
            fragments(&vec![b' '; 40_000], masked(0x80, &vec![b' '; 40_000])),
            1009,
        ),
    ];
    for (what, bytes, code) in cases {
        assert_eq!(close_after(&server, &bytes).await, Some(code), "{what}");
    }
    // The highest bit of a length must be 0.
    let odd = close_after(&server, &promise(TEXT, u64::MAX)).await;
    assert!(matches!(odd, Some(1002 | 1009)), "{odd:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_odd_but_good_are_served() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let mut hostile = Hostile::upgraded(server.address(), &token::of("odd")).await.unwrap();
    // A ping between the fragments of a message, a fragment without bytes, one byte at a time.
    let mut bytes = masked(0x01, br#"{"type":"#);
    bytes.extend(masked(0x89, b"are you there"));
    bytes.extend(masked(0x00, b""));
    bytes.extend(masked(0x80, br#""ping","requestId":"q"}"#));
    for byte in bytes {
        hostile.send(&[byte]).await.unwrap();
    }
    let (mut ponged, mut answered) = (false, false);
    while !(ponged && answered) {
        let (first, payload) = hostile.frame().await.unwrap().expect("the server stays");
        ponged |= first == 0x8a && payload == b"are you there";
        let text: Value = serde_json::from_slice(&payload).unwrap_or_default();
        answered |= text["type"] == "pong" && text["requestId"] == "q";
    }
    // The largest frame that is allowed, and the closing handshake.
    let long = format!(r#"{{"type":"ping","requestId":"r"{}}}"#, " ".repeat(64 * 1024 - 31));
    assert_eq!(long.len(), 64 * 1024);
    hostile.send(&masked(TEXT, long.as_bytes())).await.unwrap();
    let (_, payload) = hostile.frame().await.unwrap().expect("the server stays");
    assert!(String::from_utf8(payload).unwrap().contains("\"r\""));
    hostile.send(&masked(0x88, &1000u16.to_be_bytes())).await.unwrap();
    assert_eq!(hostile.close_code().await.unwrap(), Some(1000));
    assert!(hostile.hangs_up_within(SOON).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_mean_nothing_are_named_and_the_tenth_in_a_minute_ends_the_connection() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (mut sender, mut receiver) =
        socket::connect(server.address(), &token::of("babbler"), "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let deep = format!(r#"{{"type":"ping","payload":{}}}"#, "[".repeat(30_000));
    let room = "0192f7a0-5c3e-7abc-8def-0123456789ab";
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "malformed_json"),
        ("[]".to_owned(), "malformed_json"),
        (deep, "malformed_json"),
        (r#"{"type":"shout"}"#.to_owned(), "unknown_type"),
        (r#"{"type":"hello"}"#.to_owned(), "unknown_type"),
        (json!({"type": "message", "payload": {"roomId": room}}).to_string(), "invalid_payload"),
        (
            json!({"type": "delete", "payload": {"roomId": {"$ne": 1}, "messageId": "x"}})
                .to_string(),
            "invalid_payload",
        ),
        (
            json!({"type": "resume", "payload": {"positions": ["../../etc"]}}).to_string(),
            "invalid_position",
        ),
    ];
    let count = cases.len();
    for (text, code) in cases {
        sender.send_text(text.clone()).await.unwrap();
        let error = receiver.next_of("error", SOON).await.unwrap();
        assert_eq!(error["payload"]["code"], code, "{text:.80}");
    }
    for _ in count..10 {
        sender.send_text("nonsense".to_owned()).await.ok();
    }
    assert_eq!(receiver.closed(SOON).await.unwrap(), Some(4003));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_positions_in_a_resume_are_refused_or_invalid_and_never_silently_wrong() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let token = token::of("returner");
    let (_sender, mut receiver) = socket::connect(server.address(), &token, "").await.unwrap();
    let hello = receiver.next_of("hello", SOON).await.unwrap();
    let good = hello["payload"]["positions"][0].as_str().unwrap().to_owned();
    let (log, _) = good.rsplit_once('.').unwrap();
    let (stream, _) = log.rsplit_once('-').unwrap();
    let invalid = [
        format!("{log}.{}", u64::MAX),
        format!("{log}.1000000"),
        format!("{stream}-00000001.1"),
        format!("m999-{}.1", log.rsplit_once('-').unwrap().1),
    ];
    for position in invalid {
        let (mut sender, mut receiver) =
            socket::connect(server.address(), &token, "").await.unwrap();
        sender.send("resume", json!({"positions": [position]}), "r").await.unwrap();
        let answer = loop {
            match receiver.next().await {
                Incoming::Frame(kind, frame) if kind != "hello" => break frame,
                Incoming::Frame(..) => {}
                other => panic!("{other:?} after {position}"),
            }
        };
        let kind = answer["type"].as_str().unwrap();
        let is_error = kind == "error" && answer["payload"]["code"] == "invalid_position";
        assert!(kind == "invalid" || is_error, "{position}: {answer}");
    }
    for position in ["", "x", "m0.1", "m0-zz.1", "m0-1.-1", "m0-1.1e3", "m0-1.99999999999999999999"]
    {
        let query = format!("?position={position}");
        let refused = socket::connect(server.address(), &token, &query).await;
        let refused = refused.expect_err(position).to_string();
        assert!(refused.contains("400") && refused.contains("invalid_position"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opens_a_connection_and_says_nothing_is_hung_up_on() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let mut silent = Hostile::connect(server.address()).await.unwrap();
    let mut slow = Hostile::connect(server.address()).await.unwrap();
    slow.send(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: web").await.unwrap();
    let most = Duration::from_secs(15);
    let (silent, slow) = tokio::join!(silent.hangs_up_within(most), slow.hangs_up_within(most));
    assert!(silent.unwrap(), "a silent connection stays open");
    assert!(slow.unwrap(), "half a request keeps its connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_without_what_they_need_are_refused_with_a_problem() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let good = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let bearer = format!("Bearer {}", token::of("ada"));
    let without = |name: &str| -> Vec<(&str, &str)> {
        good.iter().copied().filter(|(header, _)| *header != name).collect()
    };
    let status = async |headers: &[(&str, &str)], authorization: Option<&str>| {
        let mut request = format!("GET /ws HTTP/1.1\r\nHost: {}\r\n", server.address());
        for (name, value) in headers {
            request += &[name, ": ", value, "\r\n"].concat();
        }
        if let Some(value) = authorization {
            request += &["Authorization: ", value, "\r\n"].concat();
        }
        let mut hostile = Hostile::connect(server.address()).await.unwrap();
        hostile.send(format!("{request}\r\n").as_bytes()).await.unwrap();
        let head = hostile.head().await.unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(status == 101 || head.contains("application/problem+json"), "{head}");
        status
    };
    assert_eq!(status(&good, Some(&bearer)).await, 101);
    assert_eq!(status(&good, None).await, 401);
    for name in ["Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"] {
        let status = status(&without(name), Some(&bearer)).await;
        assert!((400..=426).contains(&status) && status != 401, "without {name}: {status}");
    }
    let old = [without("Sec-WebSocket-Version"), vec![("Sec-WebSocket-Version", "8")]].concat();
    assert_eq!(status(&old, Some(&bearer)).await, 426);
    let by_cookie = format!("klatch_access={}", token::of("ada"));
    let evil = [("Cookie", by_cookie.as_str()), ("Origin", "https://evil.example")];
    assert_eq!(status(&[&good[..], &evil[..]].concat(), None).await, 403);
}
