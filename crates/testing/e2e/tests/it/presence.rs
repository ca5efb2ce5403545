//! Who is there and who types, on the built binary.

use std::time::Duration;

use http::Method;
use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming, Receiver, Sender};
use klatch_e2e::token;
use serde_json::{Value, json};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

async fn id_of(rest: &Rest) -> String {
    let me = rest.get("/api/v1/users/me").await.unwrap().success().unwrap();
    me.text("userId").unwrap()
}

async fn socket_of(server: &Server, name: &str) -> (Sender, Receiver) {
    let (sender, mut receiver) =
        socket::connect(server.address(), &token::of(name), "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    (sender, receiver)
}

/// Waits until `user` is told to be so.
async fn sees(receiver: &mut Receiver, user: &str, status: &str) -> Value {
    loop {
        let frame = receiver.next_of("presence", SOON).await.unwrap();
        let told = &frame["payload"];
        if told["userId"] == user && told["status"] == status {
            return told.clone();
        }
    }
}

async fn asked(rest: &Rest, user: &str) -> Value {
    let body = json!({ "userIds": [user] });
    let answer = rest.post("/api/v1/presence/query", &body).await.unwrap().success().unwrap();
    answer.items().unwrap()[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_devices_of_one_person_are_one_presence_until_the_last_is_gone() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (ann, ben) = (server.rest_as("ann"), server.rest_as("ben"));
    let ann_id = id_of(&ann).await;
    id_of(&ben).await;
    let (mut watch, mut watched) = socket_of(&server, "ben").await;
    watch.send("subscribe", json!({ "presence": [ann_id] }), "s").await.unwrap();
    let first = sees(&mut watched, &ann_id, "offline").await;
    assert_eq!(first.get("lastSeen"), None, "was never there");
    let mut devices = Vec::new();
    for _ in 0..3 {
        devices.push(socket_of(&server, "ann").await);
    }
    sees(&mut watched, &ann_id, "online").await;
    devices[0].0.send("presence", json!({"status": "away"}), "1").await.unwrap();
    devices[1].0.send("presence", json!({"status": "away"}), "1").await.unwrap();
    devices[2].0.send("presence", json!({"status": "dnd"}), "1").await.unwrap();
    sees(&mut watched, &ann_id, "dnd").await;
    // One closes as one should; one breaks off.
    devices.pop().unwrap().0.close().await;
    sees(&mut watched, &ann_id, "away").await;
    assert_eq!(asked(&ben, &ann_id).await["status"], "away");
    let choice = json!({"status": "online", "text": "here really"});
    let chosen = ann.json(Method::PUT, "/api/v1/users/me/presence", &choice).await.unwrap();
    assert_eq!(chosen.status, 204, "{:?}", chosen.body);
    assert_eq!(sees(&mut watched, &ann_id, "online").await["text"], "here really");
    drop(devices);
    let last = sees(&mut watched, &ann_id, "offline").await;
    assert!(last["lastSeen"].is_string(), "{last}");
    assert_eq!(last["text"], "here really");
    assert_eq!(asked(&ben, &ann_id).await, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_chose_and_when_they_left_outlives_a_restart() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let (ann, ben) = (server.rest_as("ann"), server.rest_as("ben"));
    let ann_id = id_of(&ann).await;
    id_of(&ben).await;
    // She is there when the server leaves, and gone with it.
    let _there = socket_of(&server, "ann").await;
    let say = async |text: &str| {
        let choice = json!({ "text": text });
        let chosen = ann.json(Method::PUT, "/api/v1/users/me/presence", &choice).await.unwrap();
        assert_eq!(chosen.status, 204, "{:?}", chosen.body);
    };
    say("on holiday").await;
    assert_eq!(asked(&ben, &ann_id).await["status"], "online");
    server.terminate(Duration::from_secs(30)).await.unwrap();
    server.begin().await.unwrap();
    let known = asked(&ben, &ann_id).await;
    assert_eq!((&known["status"], &known["text"]), (&json!("offline"), &json!("on holiday")));
    let left = known["lastSeen"].clone();
    assert!(left.is_string(), "{known}");
    // What she chose a moment before is there after a crash, too.
    say("back soon").await;
    server.kill();
    server.begin().await.unwrap();
    let known = asked(&ben, &ann_id).await;
    assert_eq!((&known["text"], &known["lastSeen"]), (&json!("back soon"), &left));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_reaches_members_over_both_doors_and_nobody_who_did_not_ask() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (ann, ben) = (server.rest_as("ann"), server.rest_as("ben"));
    let (ann_id, ben_id) = (id_of(&ann).await, id_of(&ben).await);
    let body = json!({"type": "group", "name": "us", "memberIds": [ben_id]});
    let made = ann.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let (room, position) = (made.text("roomId").unwrap(), made.text("position").unwrap());
    ben.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap().success().unwrap();
    let (mut bens, mut ben_sees) = socket_of(&server, "ben").await;
    bens.send("subscribe", json!({"typing": true}), "s").await.unwrap();
    ben_sees.next_of("ack", SOON).await.unwrap();
    let (mut plain, mut plain_sees) = socket_of(&server, "ben").await;
    plain.send("ping", json!({}), "p").await.unwrap();
    plain_sees.next_of("pong", SOON).await.unwrap();
    let answer = ann.post(&format!("/api/v1/rooms/{room}/typing"), &json!({})).await.unwrap();
    assert_eq!(answer.status, 204, "{:?}", answer.body);
    let told = ben_sees.next_of("typing", SOON).await.unwrap();
    let wanted = json!({"roomId": room, "userId": ann_id, "isTyping": true});
    assert_eq!(told["payload"], wanted);
    let (mut anns, mut ann_sees) = socket_of(&server, "ann").await;
    let payload = json!({"roomId": room, "isTyping": false});
    anns.send("typing", payload, "t").await.unwrap();
    ann_sees.next_of("ack", SOON).await.unwrap();
    let told = ben_sees.next_of("typing", SOON).await.unwrap();
    assert_eq!(told["payload"]["isTyping"], false);
    let quiet = timeout(Duration::from_millis(300), plain_sees.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_and_a_restart_only_who_came_back_is_there() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let (ann, ben) = (server.rest_as("ann"), server.rest_as("ben"));
    let (ann_id, ben_id) = (id_of(&ann).await, id_of(&ben).await);
    let _anns = socket_of(&server, "ann").await;
    let (_, mut before) = socket_of(&server, "ben").await;
    assert_eq!(asked(&ben, &ann_id).await["status"], "online");
    server.kill();
    loop {
        if let Incoming::Lost | Incoming::Closed(..) = before.next().await {
            break;
        }
    }
    server.begin().await.unwrap();
    let ben = server.rest_as("ben");
    assert_eq!(asked(&ben, &ann_id).await["status"], "offline");
    let (mut watch, mut watched) = socket_of(&server, "ben").await;
    watch.send("subscribe", json!({ "presence": [ann_id, ben_id] }), "s").await.unwrap();
    sees(&mut watched, &ben_id, "online").await;
    let _back = socket_of(&server, "ann").await;
    sees(&mut watched, &ann_id, "online").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_sees_who_is_in_a_room_with_them_now_and_nobody_else() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let (ann, ben, gus) = (server.rest_as("ann"), server.rest_as("ben"), server.rest_as("gus"));
    let (ann_id, ben_id, gus_id) = (id_of(&ann).await, id_of(&ben).await, id_of(&gus).await);
    let admin = server.register_admin().await.unwrap();
    let guest = json!({"role": "guest"});
    let path = format!("/api/v1/admin/users/{gus_id}");
    admin.json(Method::PATCH, &path, &guest).await.unwrap().success().unwrap();
    let body = json!({"type": "group", "name": "us", "memberIds": [gus_id]});
    let made = ann.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let (room, position) = (made.text("roomId").unwrap(), made.text("position").unwrap());
    gus.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap().success().unwrap();
    let (_anns, _bens) = (socket_of(&server, "ann").await, socket_of(&server, "ben").await);
    assert_eq!(asked(&ann, &ben_id).await["status"], "online");
    assert_eq!(asked(&gus, &ann_id).await["status"], "online");
    assert_eq!(asked(&gus, &ben_id).await, json!({"userId": ben_id, "status": "offline"}));

    let (mut watch, mut watched) = socket_of(&server, "gus").await;
    let whom = json!({ "presence": [ann_id, ben_id, gus_id] });
    watch.send("subscribe", whom, "s").await.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        let frame = watched.next_of("presence", SOON).await.unwrap();
        told.push(frame["payload"]["userId"].as_str().unwrap().to_owned());
    }
    told.sort();
    let mut wanted = vec![ann_id.clone(), gus_id.clone()];
    wanted.sort();
    assert_eq!(told, wanted);
    // What others come to know of ben, and what ann says when the guest is out of the room, is not
    // for the guest; what the guest says of themselves comes after both.
    let path = format!("/api/v1/rooms/{room}/members/{gus_id}");
    let out = ann.ask(Method::DELETE, &path, &[], bytes::Bytes::new()).await.unwrap();
    let position = out.success().unwrap().text("position").unwrap();
    ann.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap().success().unwrap();
    let (_sender, mut witness) = {
        let (mut sender, mut witness) = socket_of(&server, "wit").await;
        let whom = json!({ "presence": [ann_id, ben_id, gus_id] });
        sender.send("subscribe", whom, "s").await.unwrap();
        witness.next_of("ack", SOON).await.unwrap();
        (sender, witness)
    };
    for (who, id) in [(&ann, &ann_id), (&ben, &ben_id), (&gus, &gus_id)] {
        let away = json!({"status": "dnd"});
        let chosen = who.json(Method::PUT, "/api/v1/users/me/presence", &away).await.unwrap();
        assert_eq!(chosen.status, 204, "{:?}", chosen.body);
        sees(&mut witness, id, "dnd").await;
    }
    let frame = watched.next_of("presence", SOON).await.unwrap();
    assert_eq!(
        (&frame["payload"]["userId"], &frame["payload"]["status"]),
        (&json!(gus_id), &json!("dnd"))
    );
    assert_eq!(asked(&gus, &ann_id).await, json!({"userId": ann_id, "status": "offline"}));
}
