use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, Call};
use crate::world::{Person, Setup, World, text};

async fn den(world: &World) -> (Person, String) {
    let ann = world.person("ann").await;
    let room = world.channel(&ann, "den", "private").await;
    (ann, room)
}

fn seqs(page: &Value) -> Vec<u64> {
    page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_message_is_sent_read_edited_and_taken_back() {
    let world = World::new().await;
    let (ann, room) = den(&world).await;
    let path = format!("rooms/{room}/messages");
    let call = |method: &str, path: &str| world.call(method, path).token(&ann.token);
    let body = json!({"content": "hello", "clientMessageId": "k1", "metadata": { "a": [1, 2] }});
    let answer = call("POST", &path).json(&body).send().await;
    let location = answer.header("location").to_owned();
    let position = answer.header("x-klatch-position").to_owned();
    let sent = answer.ok(202);
    let id = text(&sent, "messageId");
    assert_eq!(location, format!("/api/v1/{path}/{id}"));
    assert_eq!((&sent["seq"], &sent["ordinal"]), (&json!(2), &json!(1)));
    assert_eq!((&sent["clientMessageId"], &sent["position"]), (&json!("k1"), &json!(position)));

    let one = format!("{path}/{id}");
    let read = call("GET", &one).header("x-klatch-position", &position).send().await;
    let tag = read.header("etag").to_owned();
    let read = read.ok(200);
    let wanted = json!({
        "messageId": id, "roomId": room, "seq": 2, "ordinal": 1, "senderId": ann.id,
        "content": "hello", "contentType": "text", "metadata": {"a": [1, 2]}, "replyTo": null,
        "threadId": null, "createdAt": sent["createdAt"], "editedAt": null, "deletedAt": null,
        "reactions": [], "attachments": [],
    });
    assert_eq!(read, wanted);
    call("GET", &one).header("if-none-match", &tag).send().await.ok(304);

    let edit = call("PATCH", &one).json(&json!({"content": "hello!"})).send().await.ok(202);
    assert_eq!((&edit["messageId"], &edit["seq"]), (&json!(id), &json!(3)));
    let read = call("GET", &one).header("x-klatch-position", &text(&edit, "position"));
    let read = read.header("if-none-match", &tag).send().await.ok(200);
    assert_eq!(read["content"], "hello!");
    assert!(read["editedAt"].is_string());

    let gone = call("DELETE", &one).send().await.ok(202);
    let read = call("GET", &path).header("x-klatch-position", &text(&gone, "position"));
    let page = read.send().await.ok(200);
    assert_eq!(page["items"][0]["content"], "");
    assert!(page["items"][0]["deletedAt"].is_string());
    let edit = call("PATCH", &one).json(&json!({"content": "again"})).send().await;
    assert_eq!(edit.problem(409), "message_deleted");
}

#[tokio::test]
async fn a_send_that_waits_is_answered_with_the_stored_message() {
    let world = World::new().await;
    let (ann, room) = den(&world).await;
    let send = world.call("POST", &format!("rooms/{room}/messages")).token(&ann.token);
    let send = send.header("prefer", "wait=3").json(&json!({"content": "hello"}));
    let answer = send.send().await;
    assert_eq!(answer.header("preference-applied"), "wait=3");
    assert!(!answer.header("x-klatch-position").is_empty());
    let stored = answer.ok(201);
    assert_eq!((&stored["content"], &stored["senderId"]), (&json!("hello"), &json!(ann.id)));
}

#[tokio::test]
async fn a_send_whose_message_is_not_stored_in_time_is_accepted_all_the_same() {
    let patience = Some(Duration::from_millis(300));
    let world = World::with(Setup { patience, ..Setup::default() }).await;
    let (ann, room) = den(&world).await;
    // The command role knows the room from here on.
    world.say(&ann, &room, "first").await;
    world.stop_writers().await;
    let path = format!("rooms/{room}/messages");
    let send = world.call("POST", &path).token(&ann.token).header("prefer", "wait=1");
    let answer = send.json(&json!({"content": "hello"})).send().await;
    assert_eq!(answer.header("preference-applied"), "");
    let position = text(&answer.ok(202), "position");
    // And reads that name it are told to come again.
    let read = world.call("GET", &path).token(&ann.token).header("x-klatch-position", &position);
    let answer = read.send().await;
    assert_eq!(answer.problem(503), "read_model_behind");
    assert_eq!(answer.header("retry-after"), "1");
}

#[tokio::test]
async fn a_repeated_send_answers_as_the_first_did() {
    let world = World::new().await;
    let (ann, room) = den(&world).await;
    let path = format!("rooms/{room}/messages");
    let send = |key: Option<&str>, body: &Value| -> Call {
        let call = world.call("POST", &path).token(&ann.token);
        let call = match key {
            Some(key) => call.header("idempotency-key", key),
            None => call,
        };
        call.json(body)
    };
    let plain = json!({"content": "once"});
    let keyed = json!({"content": "once", "clientMessageId": "k"});
    let first = send(Some("k"), &plain).send().await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let first = first.ok(202);
    for (key, body) in
        [(Some("k"), &plain), (Some("\"k\""), &plain), (None, &keyed), (Some("k"), &keyed)]
    {
        let again = send(key, body).send().await;
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(again.ok(202), first);
    }
    let other = send(Some("k"), &json!({"content": "other"})).send().await;
    assert_eq!(other.problem(422), "idempotency_mismatch");
    let conflict = send(Some("x"), &keyed).send().await;
    assert_eq!(conflict.problem(400), "idempotency_key_conflict");
    for key in ["", "\"\"", &"x".repeat(65), "ü"] {
        assert_eq!(send(Some(key), &plain).send().await.problem(400), "invalid_header", "{key}");
    }
    let twice = send(Some("k"), &plain).header("idempotency-key", "k").send().await;
    assert_eq!(twice.problem(400), "invalid_header");
}

#[tokio::test]
async fn history_is_newest_first_in_both_directions() {
    let world = World::new().await;
    let (ann, room) = den(&world).await;
    let mut position = String::new();
    for number in 0..10 {
        position = text(&world.say(&ann, &room, &format!("{number}")).await, "position");
    }
    let page = async |query: &str| {
        let call = world.call("GET", &format!("rooms/{room}/messages{query}")).token(&ann.token);
        call.header("x-klatch-position", &position).send().await.ok(200)
    };
    // The room's making is seq 1.
    assert_eq!(seqs(&page("").await), [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    let newest = page("?limit=3").await;
    assert_eq!(seqs(&newest), [11, 10, 9]);
    let cursor = text(&newest, "nextCursor");
    for name in ["cursor", "before", "after"] {
        let older = page(&format!("?limit=3&{name}={cursor}")).await;
        assert_eq!(seqs(&older), [8, 7, 6], "{name}");
    }
    assert_eq!(seqs(&page("?before=5&limit=2").await), [4, 3]);
    let after = page("?after=5&limit=2").await;
    assert_eq!(seqs(&after), [7, 6]);
    let on = page(&format!("?limit=2&cursor={}", text(&after, "nextCursor"))).await;
    assert_eq!(seqs(&on), [9, 8]);
    assert!(seqs(&page("?before=0").await).is_empty());
    assert!(seqs(&page("?after=18446744073709551615").await).is_empty());
    assert_eq!(seqs(&page("?after=0&limit=1").await), [2]);
    let end = page("?before=4").await;
    assert!(end.get("nextCursor").is_none(), "{end}");
}

#[tokio::test]
async fn several_positions_are_waited_for_together() {
    let world = World::new().await;
    let (ann, room) = den(&world).await;
    let said = world.say(&ann, &room, "x").await;
    let read = || world.call("GET", &format!("rooms/{room}/messages")).token(&ann.token);
    let both = format!("{}, {}", ann.position, text(&said, "position"));
    assert_eq!(seqs(&read().header("x-klatch-position", &both).send().await.ok(200)), [2]);
    let two = read().header("x-klatch-position", &ann.position);
    let two = two.header("x-klatch-position", &text(&said, "position"));
    assert_eq!(seqs(&two.send().await.ok(200)), [2]);
}

#[tokio::test]
async fn the_longest_message_passes_and_one_character_more_does_not() {
    let world = World::new().await;
    let (ann, room) = den(&world).await;
    let path = format!("rooms/{room}/messages");
    let send = |content: String| {
        world.call("POST", &path).token(&ann.token).json(&json!({"content": content}))
    };
    send("😀".repeat(40_000)).send().await.ok(202);
    let answer: Answer = send("😀".repeat(40_001)).send().await;
    assert_eq!(answer.problem(422), "content_too_long");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/content");
}
