//! What was missed, asked by REST.

use serde_json::{Value, json};

use crate::world::{Person, World, text};

async fn sync(world: &World, who: &Person, positions: &[String]) -> Value {
    let query: Vec<_> = positions.iter().map(|position| format!("position={position}")).collect();
    world.call("GET", &format!("sync?{}", query.join("&"))).token(&who.token).send().await.ok(200)
}

fn positions(answer: &Value) -> Vec<String> {
    let positions = answer["positions"].as_array().unwrap();
    positions.iter().map(|position| position.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_was_said_since_comes_once_and_in_order_and_nothing_of_rooms_of_others() {
    let world = World::new().await;
    let (ann, ben) = (world.person("ann").await, world.person("ben").await);
    let room = world.channel(&ann, "ours", "private").await;
    let other = world.channel(&ben, "others", "private").await;
    let start = sync(&world, &ann, &[]).await;
    assert_eq!(start["tier"], "snapshot");
    let listed = &start["rooms"][0];
    assert_eq!((&listed["roomId"], &listed["headSeq"]), (&json!(room), &json!(1)));
    assert_eq!(start["rooms"].as_array().unwrap().len(), 1);
    world.say(&ann, &room, "one").await;
    world.say(&ben, &other, "not hers").await;
    world.say(&ann, &room, "two").await;
    let answer = sync(&world, &ann, &positions(&start)).await;
    assert_eq!(answer["tier"], "replay");
    let words: Vec<_> = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (event["type"].clone(), event["payload"]["content"].clone()))
        .collect();
    assert_eq!(words, [(json!("message"), json!("one")), (json!("message"), json!("two"))]);
    let again = sync(&world, &ann, &positions(&answer)).await;
    assert_eq!((&again["tier"], &again["events"]), (&json!("replay"), &json!([])));
}

#[tokio::test]
async fn more_than_a_replay_holds_is_told_by_rooms_with_their_newest_events() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let loud = world.channel(&ann, "loud", "private").await;
    let calm = world.channel(&ann, "calm", "private").await;
    let start = positions(&sync(&world, &ann, &[]).await);
    for _ in 0..1_005 {
        world.say(&ann, &loud, "again").await;
    }
    world.say(&ann, &calm, "hello").await;
    let answer = sync(&world, &ann, &start).await;
    assert_eq!((&answer["tier"], answer.get("events")), (&json!("delta"), None));
    let (first, second) = (&answer["rooms"][0], &answer["rooms"][1]);
    assert_eq!((&first["roomId"], &first["truncated"]), (&json!(calm), &json!(false)));
    assert_eq!(first["events"][0]["payload"]["content"], "hello");
    assert_eq!((&second["roomId"], &second["truncated"]), (&json!(loud), &json!(true)));
    assert_eq!(second["events"].as_array().unwrap().len(), 50);
    assert_eq!((&second["headSeq"], &second["lastOrdinal"]), (&json!(1_006), &json!(1_005)));
    assert_eq!(second["events"][49]["payload"]["seq"], 1_006);
}

#[tokio::test]
async fn positions_that_mean_nothing_are_named_and_malformed_ones_refused() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let answer = sync(&world, &ann, &["m0-0000000a.1".to_owned()]).await;
    assert_eq!(answer["tier"], "invalid");
    assert_eq!(text(&answer, "reason"), "epoch_changed");
    assert_eq!(sync(&world, &ann, &positions(&answer)).await["tier"], "replay");
    let call = world.call("GET", "sync?position=m0-0000000a.1&position=x").token(&ann.token);
    assert_eq!(call.send().await.problem(400), "invalid_position");
}

#[tokio::test]
async fn a_read_model_that_stands_still_is_behind() {
    let world = World::new().await;
    let ann = world.person("ann").await;
    let room = world.channel(&ann, "ours", "private").await;
    let start = positions(&sync(&world, &ann, &[]).await);
    world.stop_writers().await;
    world.say(&ann, &room, "hello").await;
    let call = world.call("GET", &format!("sync?position={}", start[0])).token(&ann.token);
    assert_eq!(call.send().await.problem(503), "read_model_behind");
}
