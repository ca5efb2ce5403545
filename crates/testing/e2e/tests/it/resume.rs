//! What a client is told when it comes back, tier by tier.

use std::time::Duration;

use futures::future::try_join_all;
use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming};
use klatch_e2e::token;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

async fn say(rest: &Rest, room: &str, content: &str) -> anyhow::Result<Value> {
    let path = format!("/api/v1/rooms/{room}/messages");
    Ok(rest.post(&path, &json!({ "content": content })).await?.success()?.0)
}

async fn say_many(rest: &Rest, room: &str, name: usize) -> anyhow::Result<()> {
    for n in 0..100 {
        say(rest, room, &format!("{name} {n}")).await?;
    }
    Ok(())
}

/// Resumes and gives what came before the answer, and the answer's payload.
async fn resume(server: &Server, positions: &Value) -> (Vec<Value>, Value) {
    let (mut sender, mut receiver) =
        socket::connect(server.address(), &token::of("bob"), "").await.unwrap();
    sender.send("resume", json!({ "positions": positions }), "r").await.unwrap();
    let mut missed = Vec::new();
    loop {
        match receiver.next().await {
            Incoming::Frame(kind, frame) if kind == "resumed" => {
                return (missed, frame["payload"].clone());
            }
            Incoming::Frame(kind, _) if kind == "hello" => {}
            Incoming::Frame(_, frame) => missed.push(frame["payload"].clone()),
            other => panic!("{other:?}"),
        }
    }
}

/// The one room that changed, with the newest of 1,001 missed events.
fn check_newest(answer: &Value, room: &str) {
    assert_eq!(answer["rooms"].as_array().map(Vec::len), Some(1));
    let told = &answer["rooms"][0];
    assert_eq!((told["roomId"].as_str(), &told["truncated"]), (Some(room), &json!(true)));
    assert_eq!((&told["headSeq"], &told["lastOrdinal"]), (&json!(1002), &json!(1001)));
    let events = told["events"].as_array().unwrap();
    let seqs: Vec<u64> =
        events.iter().filter_map(|event| event["payload"]["seq"].as_u64()).collect();
    assert_eq!(seqs, (953..=1002).collect::<Vec<u64>>());
    assert_eq!(events[49]["payload"]["content"], "one too many");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_missed_events_are_replayed_and_more_are_a_delta_after_a_kill_too() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let ada = server.rest_as("ada");
    let bob = server.rest_as("bob").get("/api/v1/users/me").await.unwrap().success().unwrap();
    let body = json!({"type": "group", "memberIds": [bob.text("userId").unwrap()]});
    let made = ada.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let room = made.text("roomId").unwrap();
    let (mut sender, mut receiver) =
        socket::connect(server.address(), &token::of("bob"), "").await.unwrap();
    let hello = receiver.next_of("hello", SOON).await.unwrap();
    sender.send("ping", json!({}), "p").await.unwrap();
    receiver.next_of("pong", SOON).await.unwrap();
    let positions = hello["payload"]["positions"].clone();
    drop((sender, receiver));

    let writers: Vec<Rest> = (0..10).map(|_| server.rest_as("ada")).collect();
    let first = &writers[0];
    try_join_all(writers.iter().enumerate().map(|(name, rest)| say_many(rest, &room, name)))
        .await
        .unwrap();
    let (missed, answer) = resume(&server, &positions).await;
    assert_eq!(
        (answer["tier"].as_str(), answer["replayed"].as_u64()),
        (Some("replay"), Some(1000))
    );
    let seqs: Vec<u64> = missed.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(seqs, (2..1002).collect::<Vec<u64>>());
    let after = answer["positions"].clone();

    say(first, &room, "one too many").await.unwrap();
    let (missed, answer) = resume(&server, &positions).await;
    assert_eq!((missed.len(), answer["tier"].as_str()), (0, Some("delta")));
    check_newest(&answer, &room);

    server.kill();
    server.begin().await.unwrap();
    let (missed, answer) = resume(&server, &after).await;
    assert_eq!((missed.len(), answer["tier"].as_str()), (1, Some("replay")));
    assert_eq!(missed[0]["content"], "one too many");
    let (missed, answer) = resume(&server, &positions).await;
    assert_eq!((missed.len(), answer["tier"].as_str()), (0, Some("delta")));
    check_newest(&answer, &room);

    let (missed, answer) = resume(&server, &json!([])).await;
    assert_eq!((missed.len(), answer["tier"].as_str()), (0, Some("snapshot")));
    let listed = &answer["rooms"][0];
    assert_eq!((listed["roomId"].as_str(), &listed["headSeq"]), (Some(&*room), &json!(1002)));
    // Whoever was told that a room is truncated finds everything there.
    let path = format!("/api/v1/rooms/{room}");
    let shown = server.rest_as("bob").get_at(&path, answer["positions"][0].as_str()).await;
    assert_eq!(shown.unwrap().success().unwrap().number("headSeq").unwrap(), 1002);
}
