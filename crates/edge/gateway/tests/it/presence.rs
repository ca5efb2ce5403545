//! Presence and typing over REST.

use bytes::Bytes;
use klatch_ports::kv::KvWriter as _;
use klatch_protocol::presence::device_key;
use serde_json::{Value, json};

use crate::world::{Person, World};

const NOBODY: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";

async fn own(world: &World, who: &Person) -> Value {
    world.call("GET", "users/me/presence").token(&who.token).send().await.ok(200)
}

async fn choose(world: &World, who: &Person, body: &Value) {
    let call = world.call("PUT", "users/me/presence").token(&who.token);
    call.json(body).send().await.ok(204);
}

async fn query(world: &World, who: &Person, ids: &[&str]) -> Value {
    let call = world.call("POST", "presence/query").token(&who.token);
    let mut answer = call.json(&json!({ "userIds": ids })).send().await.ok(200);
    answer["items"].take()
}

/// A device of the person says so, at some instance.
async fn device_says(world: &World, who: &Person, said: &'static str) {
    let key = device_key(who.id.parse().unwrap(), klatch_domain::InstanceId::from_bits(1));
    world.kv.put(&key, Bytes::from_static(said.as_bytes()), None).await.unwrap();
}

#[tokio::test]
async fn what_someone_chose_is_what_others_see_while_a_device_is_connected() {
    let world = World::new().await;
    let (ann, ben) = (world.person("ann").await, world.person("ben").await);
    let offline = json!({"userId": ann.id, "status": "offline", "devices": "offline"});
    assert_eq!(own(&world, &ann).await, offline);
    let until = "2026-01-01T00:10:00.000Z";
    let choice = json!({"status": "dnd", "text": " deep work ", "emoji": "🎧", "expiresAt": until});
    choose(&world, &ann, &choice).await;
    let mut seen = json!({
        "userId": ann.id, "status": "offline", "text": "deep work", "emoji": "🎧",
        "expiresAt": until,
    });
    assert_eq!(query(&world, &ben, &[&ann.id]).await, json!([seen]));
    device_says(&world, &ann, "away").await;
    seen["status"] = json!("dnd");
    assert_eq!(query(&world, &ben, &[&ann.id]).await, json!([seen]));
    seen["devices"] = json!("away");
    seen["chosen"] = json!("dnd");
    assert_eq!(own(&world, &ann).await, seen);
    world.clock.advance(std::time::Duration::from_mins(10));
    let away = json!({"userId": ann.id, "status": "away"});
    assert_eq!(query(&world, &ben, &[&ann.id]).await, json!([away]), "the choice has ended");
}

#[tokio::test]
async fn an_empty_choice_goes_back_to_what_the_devices_say() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    device_says(&world, &ann, "online").await;
    choose(&world, &ann, &json!({"status": "offline"})).await;
    let hidden = query(&world, &ann, &[&ann.id]).await;
    assert_eq!(hidden[0]["status"], "offline");
    assert_eq!(hidden[0]["lastSeen"], "2026-01-01T00:00:00.000Z");
    choose(&world, &ann, &json!({})).await;
    let plain = json!({"userId": ann.id, "status": "online", "devices": "online"});
    assert_eq!(own(&world, &ann).await, plain);
}

#[tokio::test]
async fn a_query_answers_in_the_order_asked_and_knows_nobody_as_offline() {
    let world = World::new().await;
    let (ann, ben) = (world.person("ann").await, world.person("ben").await);
    device_says(&world, &ben, "online").await;
    let found = query(&world, &ann, &[NOBODY, &ben.id, &ann.id]).await;
    let told: Vec<_> = found.as_array().unwrap().iter().map(|it| it["status"].clone()).collect();
    assert_eq!(told, ["offline", "online", "offline"]);
    let many: Vec<String> =
        (0..1_001).map(|n| format!("0192f7a0-5c3e-7abc-8def-{n:012x}")).collect();
    let ids = |count: usize| json!({ "userIds": many[..count] });
    let ask =
        |body: Value| world.call("POST", "presence/query").token(&ann.token).json(&body).send();
    assert_eq!(ask(ids(1_000)).await.ok(200)["items"].as_array().unwrap().len(), 1_000);
    assert_eq!(ask(ids(0)).await.ok(200)["items"], json!([]));
    assert_eq!(ask(ids(1_001)).await.problem(422), "invalid_field");
    assert_eq!(ask(json!({"userIds": ["x"]})).await.problem(422), "invalid_field");
    assert_eq!(ask(json!({"userIds": ann.id})).await.problem(422), "invalid_field");
    assert_eq!(ask(json!({})).await.problem(422), "missing_field");
    assert_eq!(ask(json!({"userIds": [], "x": 1})).await.problem(422), "unknown_field");
}

#[tokio::test]
async fn bad_choices_are_refused_by_field_and_change_nothing() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    choose(&world, &ann, &json!({"text": "as before"})).await;
    let long = "x".repeat(141);
    for (body, code) in [
        (json!({"status": "busy"}), "invalid_field"),
        (json!({"status": 1}), "invalid_field"),
        (json!({"text": long}), "invalid_field"),
        (json!({"text": "a\u{0}b"}), "invalid_field"),
        (json!({"text": {"$ne": 1}}), "invalid_field"),
        (json!({"emoji": "x".repeat(33)}), "invalid_field"),
        (json!({"expiresAt": "soon"}), "invalid_field"),
        (json!({"text": "x", "expiresAt": "2025-12-31T23:59:59Z"}), "invalid_field"),
        (json!({"text": "x", "expiresAt": "2028-01-01T00:00:00Z"}), "invalid_field"),
        (json!({"lastSeen": "2026-01-01T00:00:00Z"}), "unknown_field"),
        (json!([]), "invalid_field"),
    ] {
        // What is refused unread does not count; what is read does.
        let call = world.call("PUT", "users/me/presence").token(&ann.token).json(&body);
        assert_eq!(call.send().await.problem(422), code, "{body}");
    }
    assert_eq!(own(&world, &ann).await["text"], "as before");
}

#[tokio::test]
async fn whoever_changes_too_often_is_told_to_wait() {
    let world = World::new().await;
    let (ann, ben) = (world.person("ann").await, world.person("ben").await);
    for n in 0..10 {
        choose(&world, &ann, &json!({"text": n.to_string()})).await;
    }
    let call = world.call("PUT", "users/me/presence").token(&ann.token);
    let refused = call.json(&json!({"text": "too much"})).send().await;
    assert_eq!(refused.problem(429), "rate_limited");
    assert!(["1", "2"].contains(&refused.header("retry-after")), "{refused:?}");
    assert_eq!(own(&world, &ann).await["text"], "9");
    choose(&world, &ben, &json!({"text": "others may"})).await;
}

#[tokio::test]
async fn typing_is_for_those_who_may_send() {
    let world = World::new().await;
    let (ann, ben) = (world.person("ann").await, world.person("ben").await);
    let private = world.channel(&ann, "quiet", "private").await;
    let public = world.channel(&ann, "open", "public").await;
    let types = |who: &Person, room: &str| {
        world.call("POST", &format!("rooms/{room}/typing")).token(&who.token)
    };
    let seen = world.say(&ann, &public, "hello").await;
    let at = seen["position"].as_str().unwrap().to_owned();
    let read = world.call("GET", &format!("rooms/{public}")).token(&ann.token);
    read.header("x-klatch-position", &at).send().await.ok(200);
    for body in [json!({}), json!({"isTyping": true}), json!({"isTyping": false})] {
        types(&ann, &private).json(&body).send().await.ok(204);
    }
    types(&ann, &private).send().await.ok(204);
    let stranger = types(&ben, &private).send().await;
    let nowhere = types(&ben, NOBODY).send().await;
    assert_eq!(stranger.problem(404), "room_not_found");
    let mut bodies = [stranger.json(), nowhere.json()];
    for body in &mut bodies {
        body["requestId"] = Value::Null;
    }
    assert_eq!(bodies[0], bodies[1], "a room that is not there looks the same");
    assert_eq!(types(&ben, &public).send().await.problem(403), "forbidden");
    assert_eq!(types(&ann, "x").send().await.problem(404), "room_not_found");
    for bad in [json!({"isTyping": "yes"}), json!({"isTyping": 1})] {
        assert_eq!(types(&ann, &private).json(&bad).send().await.problem(422), "invalid_field");
    }
    let unknown = types(&ann, &private).json(&json!({"typing": true})).send().await;
    assert_eq!(unknown.problem(422), "unknown_field");
    let mut refused = None;
    for _ in 0..25 {
        let answer = types(&ann, &private).send().await;
        if answer.status != 204 {
            refused = Some(answer);
            break;
        }
    }
    assert_eq!(refused.expect("a limit").problem(429), "rate_limited");
}
