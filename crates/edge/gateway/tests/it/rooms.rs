use serde_json::{Value, json};

use crate::client::Answer;
use crate::world::{Person, World, text};

const NOWHERE: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";

/// The position of an accepted change; it must be in body and header.
fn accepted(answer: Answer) -> (Value, String) {
    let position = answer.header("x-klatch-position").to_owned();
    let body = answer.ok(202);
    assert_eq!(text(&body, "position"), position);
    (body, position)
}

#[tokio::test]
async fn a_room_lives_from_making_to_removal() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let call = |method: &str, path: &str| world.call(method, path).token(&ann.token);
    let body = json!({"type": "channel", "name": "den", "topic": "talk"});
    let answer = call("POST", "rooms").json(&body).send().await;
    let location = answer.header("location").to_owned();
    let (made, position) = accepted(answer);
    let id = text(&made, "roomId");
    assert_eq!(location, format!("/api/v1/rooms/{id}"));
    assert_eq!((&made["visibility"], &made["role"]), (&json!("public"), &json!("owner")));
    let path = format!("rooms/{id}");
    let seen = call("GET", &path).header("x-klatch-position", &position).send().await;
    let tag = seen.header("etag").to_owned();
    let seen = seen.ok(200);
    for key in ["roomId", "type", "name", "topic", "visibility", "createdBy", "createdAt", "role"] {
        assert_eq!(seen[key], made[key], "{key}");
    }
    assert_eq!(seen["joined"], true);
    call("GET", &path).header("if-none-match", &tag).send().await.ok(304);

    let wish = json!({"topic": null, "description": "new"});
    let (_, position) = accepted(call("PATCH", &path).json(&wish).send().await);
    let seen = call("GET", &path).header("if-none-match", &tag);
    let seen = seen.header("x-klatch-position", &position).send().await.ok(200);
    assert_eq!(seen["description"], "new");
    assert!(seen.get("topic").is_none(), "{seen}");
    let (_, _) = accepted(call("PATCH", &path).json(&json!({"archived": true})).send().await);
    let say = call("POST", &format!("{path}/messages")).json(&json!({"content": "x"}));
    assert_eq!(say.send().await.problem(409), "room_archived");
    let mixed = call("PATCH", &path).json(&json!({"archived": false, "name": "x"}));
    assert_eq!(mixed.send().await.problem(422), "invalid_field");
    let nothing = call("PATCH", &path).json(&json!({}));
    assert_eq!(nothing.send().await.problem(422), "missing_field");
    accepted(call("DELETE", &path).send().await);
    assert_eq!(call("GET", &path).send().await.problem(404), "room_not_found");
}

#[tokio::test]
async fn a_direct_room_is_made_once_and_found_again() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let bob = world.person("bob").await;
    let direct = |who: &Person, with: &Person| {
        let body = json!({"type": "direct", "memberIds": [with.id]});
        world.call("POST", "rooms").token(&who.token).json(&body)
    };
    let (made, _) = accepted(direct(&ann, &bob).send().await);
    let found = direct(&bob, &ann).send().await.ok(200);
    assert_eq!(found["roomId"], made["roomId"]);
    assert!(found.get("position").is_none());
    assert_eq!((&found["joined"], &found["memberCount"]), (&json!(true), &json!(2)));
}

#[tokio::test]
async fn members_come_change_and_go() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let bob = world.person("bob").await;
    let room = world.channel(&ann, "den", "private").await;
    let members = format!("rooms/{room}/members");
    let by = |who: &Person, method: &str, path: &str| world.call(method, path).token(&who.token);
    let add = json!({"userId": bob.id});
    let (added, position) = accepted(by(&ann, "POST", &members).json(&add).send().await);
    assert_eq!((&added["userId"], &added["role"]), (&json!(bob.id), &json!("member")));
    let again = by(&ann, "POST", &members).json(&add).send().await;
    assert_eq!(again.problem(409), "already_member");
    let list = by(&bob, "GET", &members).header("x-klatch-position", &position);
    let list = list.send().await.ok(200);
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| text(item, "username")).collect();
    assert_eq!(names, ["ann", "bob"]);
    let one = format!("{members}/{}", bob.id);
    let up = json!({"role": "admin"});
    assert_eq!(by(&bob, "PATCH", &one).json(&up).send().await.problem(403), "forbidden");
    accepted(by(&ann, "PATCH", &one).json(&up).send().await);
    let odd = by(&ann, "PATCH", &one).json(&json!({"role": "king"})).send().await;
    assert_eq!(odd.problem(422), "invalid_field");
    let leave = format!("rooms/{room}/leave");
    assert_eq!(by(&ann, "POST", &leave).send().await.problem(409), "last_owner");
    let (left, _) = accepted(by(&bob, "POST", &leave).json(&json!({})).send().await);
    assert!(left.get("role").is_none());
    let gone = by(&ann, "DELETE", &one).send().await;
    assert_eq!(gone.problem(404), "member_not_found");
    assert_eq!(by(&bob, "GET", &members).send().await.problem(404), "room_not_found");
}

#[tokio::test]
async fn rooms_are_listed_by_scope() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let bob = world.person("bob").await;
    let open = world.channel(&ann, "open", "public").await;
    world.channel(&ann, "closed", "private").await;
    let join = world.call("POST", &format!("rooms/{open}/join")).token(&bob.token);
    let (_, position) = accepted(join.send().await);
    let list = |who: &Person, query: &str| {
        let call = world.call("GET", &format!("rooms{query}")).token(&who.token);
        call.header("x-klatch-position", &position)
    };
    let names = |page: Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|item| text(item, "name")).collect()
    };
    assert_eq!(names(list(&bob, "").send().await.ok(200)), ["open"]);
    assert_eq!(names(list(&bob, "?scope=public").send().await.ok(200)), ["open"]);
    let mut all = names(list(&ann, "?scope=joined").send().await.ok(200));
    all.sort();
    assert_eq!(all, ["closed", "open"]);
    let first = list(&ann, "?limit=1").send().await.ok(200);
    let next = format!("?limit=1&cursor={}", text(&first, "nextCursor"));
    let second = list(&ann, &next).send().await.ok(200);
    assert_ne!(first["items"][0]["roomId"], second["items"][0]["roomId"]);
    assert!(second.get("nextCursor").is_none());
    let odd = list(&ann, "?scope=all").send().await;
    assert_eq!(odd.problem(400), "invalid_parameter");
}

/// Every way to ask about a room, with a body that would do in a room of one's own.
fn ways() -> Vec<(&'static str, &'static str, Option<Value>)> {
    vec![
        ("GET", "", None),
        ("PATCH", "", Some(json!({"topic": "x"}))),
        ("DELETE", "", None),
        ("GET", "/members", None),
        ("POST", "/members", Some(json!({"userId": NOWHERE}))),
        ("PATCH", "/members/{user}", Some(json!({"role": "admin"}))),
        ("DELETE", "/members/{user}", None),
        ("POST", "/join", None),
        ("POST", "/leave", None),
        ("GET", "/messages", None),
        ("GET", "/messages?before=5", None),
        ("POST", "/messages", Some(json!({"content": "x"}))),
        ("GET", "/messages/{message}", None),
        ("PATCH", "/messages/{message}", Some(json!({"content": "x"}))),
        ("DELETE", "/messages/{message}", None),
    ]
}

#[tokio::test]
async fn a_private_room_answers_strangers_like_one_that_does_not_exist() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let eve = world.person("eve").await;
    let secret = world.channel(&ann, "secret", "private").await;
    let said = world.say(&ann, &secret, "hush").await;
    // Eve was in it once.
    let add = world.call("POST", &format!("rooms/{secret}/members")).token(&ann.token);
    accepted(add.json(&json!({"userId": eve.id})).send().await);
    let leave = world.call("POST", &format!("rooms/{secret}/leave")).token(&eve.token);
    let (_, position) = accepted(leave.send().await);
    for (method, rest, body) in ways() {
        let rest = rest.replace("{user}", &ann.id).replace("{message}", &text(&said, "messageId"));
        let ask = |room: &str| {
            let call = world.call(method, &format!("rooms/{room}{rest}")).token(&eve.token);
            let call = call.header("x-request-id", "same").header("x-klatch-position", &position);
            match &body {
                Some(body) => call.json(body),
                None => call,
            }
        };
        let hidden = ask(&secret).send().await;
        let missing = ask(NOWHERE).send().await;
        assert_eq!(hidden.problem(404), "room_not_found", "{method} {rest}");
        assert_eq!(hidden.body, missing.body, "{method} {rest}");
        let names = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers
        };
        assert_eq!(names(&hidden), names(&missing), "{method} {rest}");
    }
    for id in ["x", "0", "../..", "%2e%2e", "0192F7A0-5C3E-7ABC-8DEF-0123456789AB"] {
        let answer = world.call("GET", &format!("rooms/{id}")).token(&eve.token).send().await;
        assert!(["room_not_found", "not_found"].contains(&answer.problem(404).as_str()), "{id}");
    }
}

#[tokio::test]
async fn a_public_channel_may_be_read_but_not_written_by_others() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let eve = world.person("eve").await;
    let room = world.channel(&ann, "open", "public").await;
    let said = world.say(&ann, &room, "welcome").await;
    let path = format!("rooms/{room}/messages");
    let read = world.call("GET", &path).token(&eve.token);
    let read = read.header("x-klatch-position", &text(&said, "position")).send().await.ok(200);
    assert_eq!(read["items"][0]["content"], "welcome");
    let write = world.call("POST", &path).token(&eve.token).json(&json!({"content": "x"}));
    assert_eq!(write.send().await.problem(403), "forbidden");
}
