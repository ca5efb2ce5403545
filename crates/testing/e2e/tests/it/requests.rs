//! HTTP requests that no good client sends.

use http::Method;
use klatch_e2e::hostile::Hostile;
use klatch_e2e::rest::{Answer, Rest};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::token;
use serde_json::{Value, json};

/// A server, a client of `ada`, and a room of hers.
async fn scene() -> (Server, Rest, String) {
    let server = Server::start(Settings::default()).await.unwrap();
    let rest = server.rest_as("ada");
    let body = json!({"type": "group", "name": "here"});
    let made = rest.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let room = made.text("roomId").unwrap();
    let position = made.text("position").unwrap();
    rest.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap();
    (server, rest, room)
}

async fn post_bytes(rest: &Rest, path: &str, kind: &str, body: Vec<u8>) -> Answer {
    rest.ask(Method::POST, path, &[("content-type", kind)], body.into()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_do_not_fit_are_refused_with_the_place_and_change_nothing() {
    let _turn = quiet::beside_others().await.unwrap();
    let (server, rest, room) = scene().await;
    let path = format!("/api/v1/rooms/{room}/messages");
    let deep = format!(r#"{{"content":"x","metadata":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    let cases: Vec<(Vec<u8>, u16, &str, &str)> = vec![
        (b"".to_vec(), 400, "malformed_json", ""),
        (b"{\"content\":".to_vec(), 400, "malformed_json", ""),
        (b"{\"content\":\"\xff\"}".to_vec(), 400, "malformed_json", ""),
        (b"\xef\xbb\xbf{\"content\":\"x\"}".to_vec(), 400, "malformed_json", ""),
        (br#"{"content":"x"} {"content":"y"}"#.to_vec(), 400, "malformed_json", ""),
        (br#"{"content":"\ud800"}"#.to_vec(), 400, "malformed_json", ""),
        (deep.into_bytes(), 400, "malformed_json", ""),
        (b"[]".to_vec(), 422, "invalid_field", ""),
        (b"null".to_vec(), 422, "invalid_field", ""),
        (b"{}".to_vec(), 422, "missing_field", "/content"),
        (br#"{"content":{"$gt":""}}"#.to_vec(), 422, "invalid_field", "/content"),
        (br#"{"content":"x","content":"y"}"#.to_vec(), 422, "invalid_field", "/content"),
        (br#"{"content":"x","senderId":"me"}"#.to_vec(), 422, "unknown_field", "/senderId"),
        (br#"{"content":"x","seq":1}"#.to_vec(), 422, "unknown_field", "/seq"),
        (
            br#"{"content":"x","contentType":"system"}"#.to_vec(),
            422,
            "invalid_field",
            "/contentType",
        ),
        (br#"{"content":"x","contentType":"html"}"#.to_vec(), 422, "invalid_field", "/contentType"),
        (br#"{"content":"x","metadata":[1]}"#.to_vec(), 422, "invalid_field", "/metadata"),
        (br#"{"content":"x","replyTo":"7"}"#.to_vec(), 422, "invalid_field", "/replyTo"),
        (
            br#"{"content":"x","clientMessageId":7}"#.to_vec(),
            422,
            "invalid_field",
            "/clientMessageId",
        ),
        (br#"{"content":""}"#.to_vec(), 422, "invalid_field", "/content"),
    ];
    for (body, status, code, pointer) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = post_bytes(&rest, &path, "application/json", body).await;
        let problem = answer.problem(status, code).unwrap_or_else(|e| panic!("{shown}: {e:#}"));
        let told = problem.pointer("/errors/0/pointer").and_then(Value::as_str).unwrap_or_default();
        assert_eq!(told, pointer, "{shown}: {problem}");
    }
    let long_key = json!({"content": "x", "clientMessageId": "k".repeat(65)});
    rest.post(&path, &long_key).await.unwrap().problem(422, "invalid_field").unwrap();
    let too_long = json!({"content": "é".repeat(40_001)});
    rest.post(&path, &too_long).await.unwrap().problem(422, "content_too_long").unwrap();
    let page = rest.get(&path).await.unwrap().success().unwrap();
    assert_eq!(page.items().unwrap().len(), 0, "a refused send left something");
    // The longest that is allowed, whatever its characters weigh.
    let longest = json!({"content": "\u{1f388}".repeat(40_000)});
    assert_eq!(rest.post(&path, &longest).await.unwrap().status, 202);
    assert!(server.rest().get("/healthz").await.unwrap().status == 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_the_wrong_size_or_type_are_refused_before_they_are_read() {
    let _turn = quiet::beside_others().await.unwrap();
    let (server, rest, room) = scene().await;
    let path = format!("/api/v1/rooms/{room}/messages");
    let big = format!(r#"{{"content":"{}"}}"#, "x".repeat(300 * 1024)).into_bytes();
    post_bytes(&rest, &path, "application/json", big).await.problem(413, "body_too_large").unwrap();
    let good = br#"{"content":"x"}"#.to_vec();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let answer = post_bytes(&rest, &path, kind, good.clone()).await;
        answer.problem(415, "unsupported_media_type").unwrap();
    }
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = rest.ask(Method::POST, &path, &gzip, good.into()).await.unwrap();
    answer.problem(415, "unsupported_media_type").unwrap();
    // A body that is announced and too large: refused without waiting for it.
    let mut hostile = Hostile::connect(server.address()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
        token::of("ada")
    );
    hostile.send(head.as_bytes()).await.unwrap();
    let answer = hostile.head().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absurd_cursors_limits_and_positions_are_refused() {
    let _turn = quiet::beside_others().await.unwrap();
    let (_server, rest, room) = scene().await;
    let path = format!("/api/v1/rooms/{room}/messages");
    let cases = [
        ("before=1&after=1", "conflicting_parameters"),
        ("before=-1", "invalid_cursor"),
        ("before=99999999999999999999999", "invalid_cursor"),
        ("after=1.5", "invalid_cursor"),
        ("after=%00", "invalid_cursor"),
        ("cursor=AAAA", "invalid_cursor"),
        ("cursor=..%2F..%2Fetc%2Fpasswd", "invalid_cursor"),
        ("cursor=%F0%9F%8E%88", "invalid_cursor"),
        ("before=", "invalid_cursor"),
        ("limit=0", "invalid_parameter"),
        ("limit=201", "invalid_parameter"),
        ("limit=-5", "invalid_parameter"),
        ("limit=1e2", "invalid_parameter"),
        ("limit=50&limit=60", "invalid_parameter"),
    ];
    for (query, code) in cases {
        let answer = rest.get(&format!("{path}?{query}")).await.unwrap();
        answer.problem(400, code).unwrap_or_else(|error| panic!("{query}: {error:#}"));
    }
    let sent = rest.post(&path, &json!({"content": "x"})).await.unwrap().success().unwrap();
    let position = sent.text("position").unwrap();
    let (log, offset) = position.rsplit_once('.').unwrap();
    let offset: u64 = offset.parse().unwrap();
    for bad in [
        "x".to_owned(),
        ".".to_owned(),
        format!("{log}."),
        format!("{log}.-1"),
        format!("{log}.{}", offset + 1_000_000),
        format!("{log}.{}", u64::MAX),
        format!("{}.{offset}", log.replace("m0-", "m7-")),
        "m0-00000001.1".to_owned(),
        vec!["m0-1.1"; 100].join(","),
    ] {
        let answer = rest.get_at(&path, Some(&bad)).await.unwrap();
        answer.problem(400, "invalid_position").unwrap_or_else(|error| panic!("{bad}: {error:#}"));
    }
    let page = rest.get_at(&path, Some(&position)).await.unwrap().success().unwrap();
    assert_eq!(page.items().unwrap().len(), 1);
    // A cursor of one list is none of another.
    for _ in 0..3 {
        rest.post(&path, &json!({"content": "more"})).await.unwrap().success().unwrap();
    }
    let newest = rest.post(&path, &json!({"content": "last"})).await.unwrap().success().unwrap();
    let newest = newest.text("position").unwrap();
    let page = rest.get_at(&format!("{path}?limit=2"), Some(&newest)).await.unwrap();
    let cursor = page.success().unwrap().text("nextCursor").unwrap();
    let answer = rest.get(&format!("/api/v1/rooms/{room}/members?cursor={cursor}")).await.unwrap();
    answer.problem(400, "invalid_cursor").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_means_one_message_whatever_is_tried_with_it() {
    let _turn = quiet::beside_others().await.unwrap();
    let (_server, rest, room) = scene().await;
    let path = format!("/api/v1/rooms/{room}/messages");
    let keyed = async |key: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        rest.ask(Method::POST, &path, &headers, body.to_string().into()).await.unwrap()
    };
    let first = keyed("k1", json!({"content": "once"})).await;
    let again = keyed("k1", json!({"content": "once"})).await;
    assert_eq!((first.status, again.status), (202, 202));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(first.value().unwrap(), again.value().unwrap());
    let by_body = rest.post(&path, &json!({"content": "once", "clientMessageId": "k1"})).await;
    assert_eq!(by_body.unwrap().value().unwrap(), first.value().unwrap());
    keyed("k1", json!({"content": "twice"})).await.problem(422, "idempotency_mismatch").unwrap();
    let both = keyed("k1", json!({"content": "once", "clientMessageId": "k2"})).await;
    both.problem(400, "idempotency_key_conflict").unwrap();
    let position = first.success().unwrap().text("position").unwrap();
    let page = rest.get_at(&path, Some(&position)).await.unwrap().success().unwrap();
    assert_eq!(page.items().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_no_http_or_lead_nowhere_are_answered_or_hung_up_on() {
    let _turn = quiet::beside_others().await.unwrap();
    let (server, rest, _) = scene().await;
    let login = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\n";
    let megabyte = "a".repeat(1 << 20);
    for (what, text) in [
        ("noise", "\x16\x03\x01\x02 hello\r\n\r\n".to_owned()),
        ("two lengths", format!("{login}Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc")),
        (
            "length and coding",
            format!("{login}Content-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
        ),
        ("a megabyte of header", format!("GET / HTTP/1.1\r\nHost: x\r\nX-A: {megabyte}\r\n\r\n")),
        (
            "a thousand headers",
            format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(1000)),
        ),
        ("a megabyte of address", format!("GET /{megabyte} HTTP/1.1\r\nHost: x\r\n\r\n")),
        ("HTTP 2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
    ] {
        let mut hostile = Hostile::connect(server.address()).await.unwrap();
        hostile.send(text.as_bytes()).await.unwrap();
        let status = match hostile.head().await {
            Ok(head) => head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0),
            Err(_) => 0_u16,
        };
        assert!(status == 0 || (400..=505).contains(&status), "{what}: {status}");
    }
    rest.get("/api/v1/nothing").await.unwrap().problem(404, "not_found").unwrap();
    rest.get("/api/v1/rooms/../users/me").await.unwrap().problem(404, "not_found").unwrap();
    let wrong = rest.ask(Method::PUT, "/api/v1/rooms", &[], bytes::Bytes::new()).await.unwrap();
    wrong.problem(405, "method_not_allowed").unwrap();
    let allowed = wrong.header("allow").unwrap_or_default();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed:?}");
    server.rest().get("/api/v1/rooms").await.unwrap().problem(401, "unauthorized").unwrap();
    let import = json!({"type": "user"});
    let answer = rest.post("/api/v1/admin/import", &import).await.unwrap();
    answer.problem(403, "admin_only").unwrap();
    assert_eq!(server.rest().get("/healthz").await.unwrap().status, 200);
}
