//! How often a client may speak and connect.

use std::collections::VecDeque;
use std::time::Duration;

use klatch_domain::UserId;
use klatch_limits::{Policy, Window};
use klatch_realtime::{Deps, DoorLimits, RealtimeConfig};
use serde_json::{Value, json};

use crate::client::{Client, open};
use crate::world::{Server, World};

const MINUTE: Duration = Duration::from_mins(1);

async fn limited(change: impl FnOnce(&mut Policy)) -> Server {
    let mut policy = Policy::OPEN;
    change(&mut policy);
    let world = World::new(1);
    let deps = Deps { limits: world.limits(&policy), ..world.deps() };
    let server = Server::start_on(&world, deps, RealtimeConfig::default()).await;
    crate::fan_out::FanOut::start(&server, 1);
    server
}

async fn say(client: &mut Client, room: &str, number: usize) {
    let payload = json!({"roomId": room, "content": "hello"});
    client
        .send(&json!({"type": "message", "payload": payload, "requestId": number.to_string()}))
        .await;
}

/// The answer to a request: its type and payload.
async fn answer(client: &mut Client, number: usize) -> (String, Value) {
    loop {
        let frame = client.next().await.expect("an answer");
        if frame["requestId"].as_str() == Some(number.to_string().as_str()) {
            return (frame["type"].as_str().unwrap().to_owned(), frame["payload"].clone());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_count_per_person_over_all_their_connections() {
    let server = limited(|policy| policy.person.messages = Window { count: 6, per: MINUTE }).await;
    let (ann, bob) = (server.world.user("ann").await, server.world.user("bob").await);
    let room = server.world.room(&[ann, bob]).to_string();
    let (mut one, mut two) =
        (Client::connect(&server, ann).await, Client::connect(&server, ann).await);
    for number in 0..3 {
        say(&mut one, &room, number).await;
        assert_eq!(answer(&mut one, number).await.0, "ack");
        say(&mut two, &room, number).await;
        assert_eq!(answer(&mut two, number).await.0, "ack");
    }
    for client in [&mut one, &mut two] {
        say(client, &room, 9).await;
        let (kind, payload) = answer(client, 9).await;
        assert_eq!((kind.as_str(), &payload["code"]), ("error", &json!("rate_limited")));
        assert_eq!(payload["retryAfterMs"], 10_000);
    }
    let mut other = Client::connect(&server, bob).await;
    say(&mut other, &room, 1).await;
    assert_eq!(answer(&mut other, 1).await.0, "ack", "another person is not concerned");
    // Whoever waits as they were told goes on, on the same connection.
    server.world.clock.advance(Duration::from_secs(10));
    say(&mut one, &room, 10).await;
    assert_eq!(answer(&mut one, 10).await.0, "ack");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tenth_message_that_ignores_the_limit_closes_and_the_answers_come_in_order() {
    let server = limited(|policy| policy.person.messages = Window { count: 20, per: MINUTE }).await;
    let ann = server.world.user("ann").await;
    let room = server.world.room(&[ann]).to_string();
    let mut client = Client::connect(&server, ann).await;
    for number in 0..40 {
        say(&mut client, &room, number).await;
    }
    let (mut taken, mut refused) = (0, 0);
    let code = loop {
        match client.next().await {
            Ok(frame) if frame["type"] == "ack" => taken += 1,
            Ok(frame) if frame["type"] == "error" => {
                assert_eq!(frame["payload"]["code"], "rate_limited");
                assert_eq!(frame["requestId"], (20 + refused).to_string());
                refused += 1;
            }
            Ok(_) => {}
            Err(code) => break code,
        }
    };
    assert_eq!((code, refused, taken), (Some(4008), 10, 20));
}

async fn knock(server: &Server, user: UserId) -> Result<Client, (u16, u64, Value)> {
    let token = [("authorization", format!("Bearer {user}"))];
    match open(server, "/ws", &token).await {
        Ok(socket) => Ok(Client { socket, user, hello: Value::Null, early: VecDeque::new() }),
        Err(refusal) => {
            let wait = refusal.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            let body = refusal.body().clone().unwrap_or_default();
            let problem: Value = serde_json::from_slice(&body).unwrap();
            Err((refusal.status().as_u16(), wait, problem["code"].clone()))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_has_five_connections_at_a_time_and_another_when_one_ends() {
    let server = limited(|policy| policy.person.connections = 5).await;
    let (ann, bob) = (server.world.user("ann").await, server.world.user("bob").await);
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(knock(&server, ann).await.expect("a place"));
    }
    let (status, wait, code) = knock(&server, ann).await.err().expect("a refusal");
    assert_eq!((status, code), (429, json!("rate_limited")));
    assert!((1..=5).contains(&wait), "{wait}");
    assert!(knock(&server, bob).await.is_ok());
    open.pop();
    for _ in 0..500 {
        if knock(&server, ann).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the place of a connection that ended is not given to another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_to_connect_and_wrong_tokens_are_counted() {
    let server = limited(|policy| {
        policy.person.connects = Window { count: 3, per: MINUTE };
        policy.address.others = Window { count: 2, per: MINUTE };
    })
    .await;
    let ann = server.world.user("ann").await;
    for _ in 0..3 {
        assert!(knock(&server, ann).await.is_ok());
    }
    let (status, wait, _) = knock(&server, ann).await.err().expect("a refusal");
    assert_eq!((status, wait), (429, 20));
    let wrong = [("authorization", "Bearer nonsense".to_owned())];
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(open(&server, "/ws", &wrong).await.expect_err("a refusal").status().as_u16());
    }
    assert_eq!(told, [401, 401, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_a_full_server_come_again_before_it_has_seen_them_end_and_none_is_refused() {
    const ALL: usize = 60;
    let door = DoorLimits { connections: ALL, ..DoorLimits::default() };
    let server = Server::quick(RealtimeConfig { door, ..RealtimeConfig::default() }).await;
    let ann = server.world.user("ann").await;
    let mut inside: Vec<Client> = Vec::new();
    // As many wait as have left lately.
    for _ in 0..ALL {
        drop(knock(&server, ann).await.expect("a place"));
    }
    for storm in 0..3 {
        let old = std::mem::take(&mut inside);
        let end = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(old);
        };
        let coming = futures::future::join_all((0..ALL).map(|_| knock(&server, ann)));
        let (came, ()) = tokio::join!(coming, end);
        inside.extend(came.into_iter().flatten());
        assert_eq!(inside.len(), ALL, "the others were refused in storm {storm}");
    }
    let (status, _, code) = knock(&server, ann).await.err().expect("a refusal");
    assert_eq!((status, code), (503, json!("busy")));
}
