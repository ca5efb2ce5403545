//! How often each may come, and what they are told of it.

use std::time::Duration;

use klatch_gateway::Config;
use klatch_limits::{Policy, Window};
use serde_json::{Value, json};

use crate::client::Answer;
use crate::world::{PASSWORD, Person, Setup, World, text};

const MINUTE: Duration = Duration::from_mins(1);

async fn limited() -> World {
    World::with(Setup { policy: Some(Policy::default()), ..Setup::default() }).await
}

async fn behind_a_proxy(policy: &Policy) -> World {
    let trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    let config = Config { trusted_proxies, ..Config::default() };
    World::with(Setup { policy: Some(*policy), config, ..Setup::default() }).await
}

async fn say(world: &World, who: &Person, room: &str) -> Answer {
    let call = world.call("POST", &format!("rooms/{room}/messages")).token(&who.token);
    call.json(&json!({"content": "hello"})).send().await
}

async fn log_in(world: &World, from: &str, login: &str, password: &str) -> Answer {
    let call = world.call("POST", "auth/login").header("x-forwarded-for", from);
    call.json(&json!({"login": login, "password": password})).send().await
}

/// All that an answer says of limits.
fn told(answer: &Answer) -> [String; 6] {
    ["ratelimit-policy", "ratelimit", "x-ratelimit-limit", "x-ratelimit-remaining"]
        .into_iter()
        .chain(["x-ratelimit-reset-after", "x-ratelimit-bucket"])
        .map(|name| answer.header(name).to_owned())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[tokio::test]
async fn a_person_sends_sixty_messages_a_minute_and_is_told_where_they_stand() {
    let world = limited().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let room = world.channel(&ann, "one", "public").await;
    let first = say(&world, &ann, &room).await;
    let expected = ["\"send\";q=60;w=60", "\"send\";r=59;t=1", "60", "59", "1", "send"];
    assert_eq!(told(&first), expected);
    for left in (0..59).rev() {
        let answer = say(&world, &ann, &room).await;
        assert_eq!(answer.header("x-ratelimit-remaining"), left.to_string());
        answer.ok(202);
    }
    let over = say(&world, &ann, &room).await;
    assert_eq!(over.problem(429), "rate_limited");
    assert_eq!(over.header("retry-after"), "1");
    let expected = ["\"send\";q=60;w=60", "\"send\";r=0;t=60", "60", "0", "60", "send"];
    assert_eq!(told(&over), expected);
    // Neither another person nor another action is concerned.
    world.call("POST", &format!("rooms/{room}/join")).token(&bob.token).send().await.ok(202);
    say(&world, &bob, &room).await.ok(202);
    let read = world.call("GET", &format!("rooms/{room}/messages")).token(&ann.token).send().await;
    assert_eq!(read.header("ratelimit-policy"), "\"read\";q=1200;w=60");
    read.ok(200);
    world.clock.advance(Duration::from_secs(1));
    say(&world, &ann, &room).await.ok(202);
    assert_eq!(say(&world, &ann, &room).await.problem(429), "rate_limited");
}

#[tokio::test]
async fn a_person_makes_ten_rooms_an_hour_and_an_administrator_more() {
    let world = limited().await;
    let (root, ann) = (world.admin("root").await, world.person("ann").await);
    let make = async |who: &Person| {
        let call = world.call("POST", "rooms").token(&who.token);
        call.json(&json!({"type": "group", "name": "a group"})).send().await
    };
    for _ in 0..10 {
        make(&ann).await.ok(202);
    }
    let over = make(&ann).await;
    assert_eq!(over.problem(429), "rate_limited");
    assert_eq!(
        (over.header("retry-after"), over.header("x-ratelimit-bucket")),
        ("360", "create-room")
    );
    for _ in 0..11 {
        make(&root).await.ok(202);
    }
}

#[tokio::test]
async fn logins_count_by_address_and_only_trusted_proxies_say_which() {
    let mut policy = Policy::OPEN;
    policy.address.logins = Window { count: 3, per: MINUTE };
    let world = behind_a_proxy(&policy).await;
    world.person("ann").await;
    for _ in 0..3 {
        let answer = log_in(&world, "192.0.2.1", "ann", PASSWORD).await;
        assert_eq!(answer.header("x-ratelimit-bucket"), "login");
        answer.ok(200);
    }
    let over = log_in(&world, "192.0.2.1", "ann", PASSWORD).await;
    assert_eq!((over.problem(429).as_str(), over.header("retry-after")), ("rate_limited", "20"));
    let other_name = log_in(&world, "192.0.2.1", "bob", "whatever").await;
    assert_eq!(other_name.problem(429), "rate_limited", "the address counts, not the name");
    log_in(&world, "192.0.2.2", "ann", PASSWORD).await.ok(200);
    // What a client writes in front of what the proxy writes counts for nothing.
    let forged = log_in(&world, "203.0.113.9, 192.0.2.1", "ann", PASSWORD).await;
    assert_eq!(forged.problem(429), "rate_limited");

    let direct = World::with(Setup { policy: Some(policy), ..Setup::default() }).await;
    direct.person("ann").await;
    for from in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
        log_in(&direct, from, "ann", PASSWORD).await.ok(200);
    }
    let over = log_in(&direct, "192.0.2.4", "ann", PASSWORD).await;
    assert_eq!(over.problem(429), "rate_limited", "nobody may choose their address");
}

#[tokio::test]
async fn wrong_tokens_count_against_the_address_that_sends_them() {
    let mut policy = Policy::OPEN;
    policy.address.others = Window { count: 5, per: MINUTE };
    let world = behind_a_proxy(&policy).await;
    let ann = world.person("ann").await;
    let ask = async |from: &str, token: &str| {
        world.call("GET", "users/me").header("x-forwarded-for", from).token(token).send().await
    };
    for _ in 0..5 {
        assert_eq!(ask("192.0.2.1", "wrong").await.problem(401), "invalid_token");
    }
    assert_eq!(ask("192.0.2.1", "wrong").await.problem(429), "rate_limited");
    assert_eq!(ask("192.0.2.2", "wrong").await.problem(401), "invalid_token");
    ask("192.0.2.1", &ann.token).await.ok(200);
}

#[tokio::test]
async fn imports_are_not_limited_and_nothing_is_with_the_open_policy() {
    let world = limited().await;
    let admin = world.admin("root").await;
    for n in 0..3 {
        let line = json!({"type": "user", "id": format!("x{n}")}).to_string();
        let call = world.call("POST", "admin/import").token(&admin.token);
        let answer = call.text("application/x-ndjson", line).send().await;
        assert_eq!(told(&answer), <[String; 6]>::default());
        answer.ok(200);
    }
    let open = World::new().await;
    let ann = open.person("ann").await;
    let room = open.channel(&ann, "one", "public").await;
    for _ in 0..100 {
        let answer = say(&open, &ann, &room).await;
        assert_eq!(answer.header("ratelimit"), "");
        answer.ok(202);
    }
}

#[tokio::test]
async fn every_documented_route_below_api_tells_of_its_limit() {
    let world = limited().await;
    let root = world.admin("root").await;
    let document = world.call("GET", "openapi.json").send().await.ok(200);
    let paths: &serde_json::Map<String, Value> = document["paths"].as_object().unwrap();
    let mut silent = Vec::new();
    for (path, methods) in paths.iter().filter(|(path, _)| path.starts_with("/api/v1/")) {
        let path = path.trim_start_matches("/api/v1/");
        // Ends the session that the others need.
        if path == "auth/logout" || path == "admin/import" {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            let filled = path.replace("{code}", "room_not_found").replace(['{', '}'], "x");
            let call = world.call(&method.to_uppercase(), &filled).token(&root.token);
            let answer = call.json(&json!({})).send().await;
            if answer.header("ratelimit").is_empty() {
                silent.push(format!("{method} {path}: {}", answer.status));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_the_headers() {
    let allowed_origins = vec!["https://app.example.org".to_owned()];
    let config = Config { allowed_origins, ..Config::default() };
    let world = World::with(Setup { config, ..Setup::default() }).await;
    let call = world.call("GET", "meta").header("origin", "https://app.example.org");
    let answer = call.send().await;
    let exposed = answer.header("access-control-expose-headers").to_lowercase();
    for name in ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "retry-after"] {
        assert!(exposed.split(',').any(|it| it.trim() == name), "{name} in {exposed}");
    }
    assert_eq!(text(&answer.ok(200), "version"), env!("CARGO_PKG_VERSION"));
}
