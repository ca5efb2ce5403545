//! What no well-behaved client sends.

use serde_json::json;

use crate::client::Call;
use crate::world::{Person, World};

async fn den(world: &World) -> (Person, String) {
    let ann = world.person("ann").await;
    let room = world.channel(&ann, "den", "private").await;
    (ann, format!("rooms/{room}/messages"))
}

#[tokio::test]
async fn bodies_that_are_not_json_are_malformed() {
    let world = World::new().await;
    let (ann, path) = den(&world).await;
    let deep = format!("{{\"content\":\"x\",\"metadata\":{}1{}}}", "[".repeat(33), "]".repeat(33));
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"{\"content\":}".to_vec(),
        b"{\"content\":\"x\"} trailing".to_vec(),
        b"{\"content\":\"\xff\xfe\"}".to_vec(),
        b"\xef\xbb\xbf{}".to_vec(),
        b"{'content':'x'}".to_vec(),
        b"{\"content\":\"\\ud800\"}".to_vec(),
        deep.into_bytes(),
        "[".repeat(60_000).into_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body).chars().take(40).collect::<String>();
        let call = world.call("POST", &path).token(&ann.token).text("application/json", body);
        assert_eq!(call.send().await.problem(400), "malformed_json", "{shown}");
    }
}

#[tokio::test]
async fn fields_of_other_names_and_types_are_named() {
    let world = World::new().await;
    let (ann, path) = den(&world).await;
    for (body, code, pointer) in [
        (json!({}), "missing_field", "/content"),
        (json!({"content": 1}), "invalid_field", "/content"),
        (json!({"content": null}), "invalid_field", "/content"),
        (json!({"content": {"$gt": ""}}), "invalid_field", "/content"),
        (json!({"content": ""}), "invalid_field", "/content"),
        (json!({"content": "a\u{0}b"}), "invalid_field", "/content"),
        (json!({"content": "x", "admin": true}), "unknown_field", "/admin"),
        (json!({"content": "x", "contentType": "system"}), "invalid_field", "/contentType"),
        (json!({"content": "x", "contentType": "html"}), "invalid_field", "/contentType"),
        (json!({"content": "x", "replyTo": "5"}), "invalid_field", "/replyTo"),
        (json!({"content": "x", "metadata": [1]}), "invalid_field", "/metadata"),
        (
            json!({"content": "x", "metadata": {"a": "y".repeat(17_000)}}),
            "invalid_field",
            "/metadata",
        ),
        (json!({"content": "x", "attachments": [1]}), "invalid_field", "/attachments/0"),
        (
            json!({"content": "x", "clientMessageId": "k".repeat(65)}),
            "invalid_field",
            "/clientMessageId",
        ),
        (json!(["x"]), "invalid_field", ""),
        (json!("x"), "invalid_field", ""),
    ] {
        let answer = world.call("POST", &path).token(&ann.token).json(&body).send().await;
        assert_eq!(answer.problem(422), code, "{body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    for body in [
        json!({"type": "den"}),
        json!({"type": "channel"}),
        json!({"type": "channel", "name": ""}),
        json!({"type": "channel", "name": "x".repeat(101)}),
        json!({"type": "channel", "name": "x", "visibility": "secret"}),
        json!({"type": "group", "memberIds": ["x"]}),
        json!({"type": "direct", "memberIds": [ann.id, "y"]}),
    ] {
        let answer = world.call("POST", "rooms").token(&ann.token).json(&body).send().await;
        assert_eq!(answer.problem(422), "invalid_field", "{body}");
    }
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_announced_or_not() {
    let world = World::new().await;
    let (ann, path) = den(&world).await;
    let large = |len: usize| format!("{{\"content\":\"{}\"}}", "x".repeat(len));
    let post = |path: &str, body: String| {
        world.call("POST", path).token(&ann.token).text("application/json", body)
    };
    assert_eq!(post(&path, large(256 * 1024)).send().await.problem(413), "body_too_large");
    assert_eq!(post("rooms", large(64 * 1024)).send().await.problem(413), "body_too_large");
    // Just within the limit of bytes the limit of characters answers.
    assert_eq!(post(&path, large(250 * 1024)).send().await.problem(422), "content_too_long");
    let head = format!("POST /api/v1/{path} HTTP/1.1\r\nauthorization: Bearer {}\r\n", ann.token);
    let chunked = crate::serving::chunked(world.address, &head, &large(300 * 1024)).await;
    assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
}

#[tokio::test]
async fn other_types_of_bodies_are_refused() {
    let world = World::new().await;
    let (ann, path) = den(&world).await;
    let body = json!({"content": "x"}).to_string();
    let post = |kind: &str| world.call("POST", &path).token(&ann.token).text(kind, body.clone());
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "json",
    ] {
        assert_eq!(post(kind).send().await.problem(415), "unsupported_media_type", "{kind}");
    }
    let packed = post("application/json").header("content-encoding", "gzip").send().await;
    assert_eq!(packed.problem(415), "unsupported_media_type");
    post("Application/JSON; charset=UTF-8").send().await.ok(202);
}

#[tokio::test]
async fn absurd_cursors_limits_and_positions_are_refused() {
    let world = World::new().await;
    let (ann, path) = den(&world).await;
    let get = |query: &str| world.call("GET", &format!("{path}{query}")).token(&ann.token);
    for query in [
        "?before=x",
        "?after=-1",
        "?before=99999999999999999999999999",
        "?before=1.5",
        "?before=",
        "?cursor=AAAA",
        "?cursor=5",
        "?before=%00",
        "?cursor=%F0%9F%98%80",
        &format!("?cursor={}", "A".repeat(2_000)),
    ] {
        let answer = get(query).send().await;
        assert_eq!(answer.problem(400), "invalid_cursor", "{query}");
        let name = query.split(['?', '=']).nth(1).unwrap();
        assert_eq!(answer.json()["errors"][0]["pointer"], format!("?{name}"), "{query}");
    }
    for query in ["?before=1&after=1", "?before=x&after=y", "?before=1&cursor=AAAA"] {
        assert_eq!(get(query).send().await.problem(400), "conflicting_parameters", "{query}");
    }
    for query in [
        "?limit=0",
        "?limit=201",
        "?limit=-1",
        "?limit=x",
        "?limit=",
        "?limit=1&limit=2",
        "?limit=+5",
    ] {
        assert_eq!(get(query).send().await.problem(400), "invalid_parameter", "{query}");
    }
    get("?limit=200&unknown=1").send().await.ok(200);
    for position in [
        "x",
        "m0-00000009.1 m0-00000009.2",
        "m0-00000009.999999999",
        "m0-0000000a.1",
        "m7-00000009.1",
        "m0-00000009.-1",
        "M0-00000009.1",
        "m0-00000009.99999999999999999999",
        &"m0-00000009.1,".repeat(65),
    ] {
        let answer = get("").header("x-klatch-position", position).send().await;
        assert_eq!(answer.problem(400), "invalid_position", "{position}");
    }
    for (list, query) in [("rooms", "?cursor=x"), ("users", "?cursor=x"), ("rooms", "?limit=0")] {
        let call = world.call("GET", &format!("{list}{query}")).token(&ann.token);
        assert_eq!(call.send().await.status, 400, "{list}{query}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let world = World::new().await;
    let raw = |method: &str, path: &str| Call::new(world.address, method, path);
    for path in ["/api", "/api/", "/api/v1", "/api/v2/rooms", "/api/v1/nothing", "/api/v1/rooms/"] {
        assert_eq!(raw("GET", path).send().await.problem(404), "not_found", "{path}");
    }
    let answer = raw("PUT", "/api/v1/rooms").send().await;
    assert_eq!(answer.problem(405), "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    let answer = raw("POST", "/healthz").send().await;
    assert_eq!(answer.problem(405), "method_not_allowed");
    assert_eq!(raw("POST", "/some/page").send().await.problem(404), "not_found");
}
