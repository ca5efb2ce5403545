//! Private rooms: who is not in them learns nothing, errors included.

use std::time::Duration;

use http::Method;
use klatch_e2e::rest::{Answer, Json, Rest};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::token;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
/// A room that is not there, written like one that is.
const NOWHERE: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";

async fn make_room(owner: &Rest, body: Value) -> (String, String) {
    let made = owner.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    (made.text("roomId").unwrap(), made.text("position").unwrap())
}

async fn say(rest: &Rest, room: &str, content: &str) -> Json {
    let path = format!("/api/v1/rooms/{room}/messages");
    rest.post(&path, &json!({ "content": content })).await.unwrap().success().unwrap()
}

/// Everything of an answer but what differs between any two requests.
fn shape(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut body = answer.value().unwrap_or_default();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("requestId");
    }
    let told = answer.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let mut headers: Vec<_> =
        told.filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str())).collect();
    headers.retain(|(name, _)| !name.starts_with("ratelimit"));
    headers.sort();
    (answer.status, headers, body)
}

/// Every way of asking about a room.
fn questions(room: &str, message: &str, user: &str) -> Vec<(Method, String, Value)> {
    let base = format!("/api/v1/rooms/{room}");
    let text = json!({"content": "let me in"});
    vec![
        (Method::GET, base.clone(), Value::Null),
        (Method::PATCH, base.clone(), json!({"topic": "mine"})),
        (Method::DELETE, base.clone(), Value::Null),
        (Method::GET, format!("{base}/members"), Value::Null),
        (Method::POST, format!("{base}/members"), json!({ "userId": user })),
        (Method::PATCH, format!("{base}/members/{user}"), json!({"role": "owner"})),
        (Method::DELETE, format!("{base}/members/{user}"), Value::Null),
        (Method::POST, format!("{base}/join"), json!({})),
        (Method::POST, format!("{base}/leave"), json!({})),
        (Method::POST, format!("{base}/typing"), json!({"isTyping": true})),
        (Method::GET, format!("{base}/messages"), Value::Null),
        (Method::GET, format!("{base}/messages?before=5"), Value::Null),
        (Method::GET, format!("{base}/messages?after=0&limit=1"), Value::Null),
        (Method::POST, format!("{base}/messages"), text.clone()),
        (Method::GET, format!("{base}/messages/{message}"), Value::Null),
        (Method::PATCH, format!("{base}/messages/{message}"), text),
        (Method::DELETE, format!("{base}/messages/{message}"), Value::Null),
    ]
}

async fn ask(rest: &Rest, (method, path, body): &(Method, String, Value)) -> Answer {
    if body.is_null() {
        rest.ask(method.clone(), path, &[], bytes::Bytes::new()).await.unwrap()
    } else {
        rest.json(method.clone(), path, body).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_room_answers_a_stranger_byte_for_byte_like_one_that_is_not_there() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (ada, eve) = (server.rest_as("ada"), server.rest_as("eve"));
    let me = eve.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let eve_id = me.text("userId").unwrap();
    let channel = json!({"type": "channel", "name": "secret", "visibility": "private"});
    for body in [channel, json!({"type": "group", "name": "secret too"})] {
        let (room, _) = make_room(&ada, body).await;
        let sent = say(&ada, &room, "nobody else may read this").await;
        let message = sent.text("messageId").unwrap();
        let path = format!("/api/v1/rooms/{room}/messages/{message}");
        let position = sent.text("position").unwrap();
        ada.get_at(&path, Some(&position)).await.unwrap().success().unwrap();
        let here = questions(&room, &message, &eve_id);
        let nowhere = questions(NOWHERE, &message, &eve_id);
        for (here, nowhere) in here.iter().zip(&nowhere) {
            let (one, other) = (ask(&eve, here).await, ask(&eve, nowhere).await);
            assert_eq!(one.status, 404, "{here:?}: {:?}", one.body);
            assert_eq!(one.code(), "room_not_found", "{here:?}");
            assert_eq!(shape(&one), shape(&other), "{here:?}");
        }
        let listed = eve.get("/api/v1/rooms?scope=public").await.unwrap().success().unwrap();
        assert!(!listed.0.to_string().contains(&room), "{listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_one_room_is_not_found_through_another() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (ada, eve) = (server.rest_as("ada"), server.rest_as("eve"));
    let private = json!({"type": "group", "name": "hers"});
    let (hers, _) = make_room(&ada, private).await;
    let (mine, _) = make_room(&eve, json!({"type": "group", "name": "mine"})).await;
    let sent = say(&ada, &hers, "secret").await;
    let message = sent.text("messageId").unwrap();
    say(&eve, &mine, "x").await;
    for (method, body) in [
        (Method::GET, Value::Null),
        (Method::PATCH, json!({"content": "y"})),
        (Method::DELETE, Value::Null),
    ] {
        let question = (method, format!("/api/v1/rooms/{mine}/messages/{message}"), body);
        ask(&eve, &question).await.problem(404, "message_not_found").unwrap();
    }
    // Nor can it be answered from elsewhere.
    let reply = json!({"content": "re", "replyTo": message});
    let path = format!("/api/v1/rooms/{mine}/messages");
    let answer = eve.post(&path, &reply).await.unwrap();
    assert!([404, 422].contains(&answer.status), "{} {:?}", answer.status, answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_put_out_gets_nothing_more_and_can_do_nothing_more() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (ada, bob) = (server.rest_as("ada"), server.rest_as("bob"));
    let me = bob.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let bob_id = me.text("userId").unwrap();
    let body = json!({"type": "group", "name": "us", "memberIds": [bob_id]});
    let (room, position) = make_room(&ada, body).await;
    let (mut sender, mut receiver) =
        socket::connect(server.address(), &token::of("bob"), "").await.unwrap();
    sender.send("ping", json!({}), "p").await.unwrap();
    receiver.next_of("pong", SOON).await.unwrap();
    bob.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap().success().unwrap();
    say(&ada, &room, "with bob").await;
    receiver.next_of("message", SOON).await.unwrap();
    let path = format!("/api/v1/rooms/{room}/members/{bob_id}");
    let removed = ada.ask(Method::DELETE, &path, &[], bytes::Bytes::new()).await.unwrap();
    let removed = removed.success().unwrap();
    // From the acknowledgement on nothing can be done, whatever the read model knows.
    let payload = json!({"roomId": room, "content": "still here?"});
    sender.send("message", payload, "late").await.unwrap();
    let sent = say(&ada, &room, "without bob").await;
    let position = sent.text("position").unwrap();
    let mut seen = Vec::new();
    loop {
        match receiver.next().await {
            Incoming::Frame(kind, frame) if kind == "error" => {
                assert_eq!(frame["requestId"], "late");
                assert_eq!(frame["payload"]["code"], "room_not_found");
                break;
            }
            Incoming::Frame(kind, frame) => seen.push((kind, frame)),
            other => panic!("{other:?}"),
        }
    }
    // A message of another room shows that what came before would have come by now.
    let (other, _) = make_room(&bob, json!({"type": "group", "name": "alone"})).await;
    say(&bob, &other, "marker").await;
    loop {
        match receiver.next().await {
            Incoming::Frame(kind, frame) => {
                let is_marker = frame["payload"]["content"] == "marker";
                seen.push((kind, frame));
                if is_marker {
                    break;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    let of_room: Vec<_> = seen.iter().filter(|(_, f)| f["payload"]["roomId"] == *room).collect();
    assert_eq!(of_room.len(), 1, "{of_room:?}");
    assert_eq!(of_room[0].1["payload"]["change"], "removed");
    assert_eq!(of_room[0].1["payload"]["seq"], removed.number("seq").unwrap());
    let answer = bob.get_at(&format!("/api/v1/rooms/{room}/messages"), Some(&position)).await;
    answer.unwrap().problem(404, "room_not_found").unwrap();
    // Nor by coming back and asking for what was missed.
    let (mut sender, mut receiver) =
        socket::connect(server.address(), &token::of("bob"), "").await.unwrap();
    let before = json!({ "positions": [removed.text("position").unwrap()] });
    sender.send("resume", before, "r").await.unwrap();
    loop {
        match receiver.next().await {
            Incoming::Frame(kind, frame) if kind == "resumed" => {
                assert_eq!(frame["payload"]["tier"], "replay");
                break;
            }
            Incoming::Frame(_, frame) => assert_ne!(frame["payload"]["roomId"], *room, "{frame}"),
            other => panic!("{other:?}"),
        }
    }
}

/// The next frames up to the answer to `request`, without those that came before it.
async fn answer_to(receiver: &mut socket::Receiver, request: &str) -> (Value, Vec<Value>) {
    let mut before = Vec::new();
    loop {
        match receiver.next().await {
            Incoming::Frame(_, frame) if frame["requestId"] == request => return (frame, before),
            Incoming::Frame(_, frame) => before.push(frame),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_in_a_private_room_is_for_its_members_from_the_first_moment_to_the_last() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (ada, bob, eve) = (server.rest_as("ada"), server.rest_as("bob"), server.rest_as("eve"));
    let me = bob.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let bob_id = me.text("userId").unwrap();
    eve.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let body = json!({"type": "group", "name": "us", "memberIds": [bob_id]});
    let (room, position) = make_room(&ada, body).await;
    let mut ears = Vec::new();
    for name in ["bob", "eve"] {
        let (mut sender, mut receiver) =
            socket::connect(server.address(), &token::of(name), "").await.unwrap();
        let wants = json!({"typing": true, "rooms": [room]});
        sender.send("subscribe", wants, "s").await.unwrap();
        answer_to(&mut receiver, "s").await;
        ears.push((sender, receiver));
    }
    let (mut eves, mut eve_sees) = ears.pop().unwrap();
    let (mut bobs, mut bob_sees) = ears.pop().unwrap();
    ada.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap().success().unwrap();
    let typing = format!("/api/v1/rooms/{room}/typing");
    assert_eq!(ada.post(&typing, &json!({})).await.unwrap().status, 204);
    bob_sees.next_of("typing", SOON).await.unwrap();
    // What a stranger does there is answered as if there were no room.
    let mut answers = Vec::new();
    for place in [room.as_str(), NOWHERE] {
        let payload = json!({"roomId": place, "isTyping": true});
        eves.send("typing", payload, "t").await.unwrap();
        let (answer, before) = answer_to(&mut eve_sees, "t").await;
        assert_eq!(answer["payload"]["code"], "room_not_found");
        assert!(before.is_empty(), "{before:?}");
        answers.push(answer);
    }
    assert_eq!(answers[0], answers[1]);
    // Taken out: nothing more, though bob still asks for it.
    assert_eq!(ada.post(&typing, &json!({"isTyping": false})).await.unwrap().status, 204);
    bob_sees.next_of("typing", SOON).await.unwrap();
    let path = format!("/api/v1/rooms/{room}/members/{bob_id}");
    let removed = ada.ask(Method::DELETE, &path, &[], bytes::Bytes::new()).await.unwrap();
    let position = removed.success().unwrap().text("position").unwrap();
    ada.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap().success().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ada.post(&typing, &json!({})).await.unwrap().status, 204);
    let payload = json!({"roomId": room, "isTyping": true});
    bobs.send("typing", payload, "late").await.unwrap();
    let (answer, before) = answer_to(&mut bob_sees, "late").await;
    assert_eq!(answer["payload"]["code"], "room_not_found");
    assert!(before.iter().all(|frame| frame["type"] != "typing"), "{before:?}");
    let more = tokio::time::timeout(Duration::from_millis(300), bob_sees.next_of("typing", SOON));
    assert!(more.await.is_err(), "typing after having been taken out");
    let more = tokio::time::timeout(Duration::from_millis(100), eve_sees.next());
    assert!(more.await.is_err(), "a stranger gets something");
}
