use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::client::Call;
use crate::world::{Person, World, text};

const NDJSON: &str = "application/x-ndjson";

fn lines(lines: &[Value]) -> String {
    lines.iter().fold(String::new(), |mut out, line| {
        let _ = writeln!(out, "{line}");
        out
    })
}

fn small() -> Vec<Value> {
    vec![
        json!({"type": "user", "id": "u1", "username": "Zoë", "displayName": "Zoë Q."}),
        json!({"type": "room", "id": "r1", "roomType": "channel", "name": "old",
            "createdBy": "u1"}),
        json!({"type": "message", "id": "m1", "room": "r1", "sender": "u1", "content": "first",
            "createdAt": "2020-01-01T00:00:00Z"}),
        json!({"type": "message", "id": "m2", "room": "r1", "sender": "u1", "content": "second",
            "createdAt": "2020-01-02T00:00:00Z", "replyTo": "m1"}),
    ]
}

fn import(world: &World, who: &Person, query: &str, body: String) -> Call {
    world.call("POST", &format!("admin/import{query}")).token(&who.token).text(NDJSON, body)
}

#[tokio::test]
async fn an_import_is_counted_and_repeating_it_adds_nothing() {
    let world = World::new().await;
    let root = world.admin("root").await;
    let summary = import(&world, &root, "", lines(&small())).send().await.ok(200);
    let position = text(&summary, "position");
    let wanted = json!({
        "lines": 4, "users": 1, "rooms": 1, "members": 0, "messages": 2, "skipped": 0,
        "refused": 0, "errors": [], "position": position,
    });
    assert_eq!(summary, wanted);
    let again = import(&world, &root, "", lines(&small())).send().await.ok(200);
    assert_eq!((&again["skipped"], &again["messages"]), (&json!(4), &json!(0)));
    let rooms = world.call("GET", "rooms?scope=public").token(&root.token);
    let rooms = rooms.header("x-klatch-position", &position).send().await.ok(200);
    let path = format!("rooms/{}/messages", text(&rooms["items"][0], "roomId"));
    let page = world.call("GET", &path).token(&root.token).send().await.ok(200);
    let items = page["items"].as_array().unwrap();
    assert_eq!((&items[0]["content"], &items[1]["content"]), (&json!("second"), &json!("first")));
    assert_eq!(items[0]["createdAt"], "2020-01-02T00:00:00.000Z");
    assert_eq!(items[0]["replyTo"], items[1]["messageId"]);
}

#[tokio::test]
async fn lines_that_do_not_fit_are_told_and_the_rest_goes_on() {
    let world = World::new().await;
    let root = world.admin("root").await;
    let [user, den, first, second] = small().try_into().unwrap();
    let early = json!({"type": "message", "id": "m3", "room": "r1", "sender": "u1", "content": "x",
        "createdAt": "2019-01-01T00:00:00Z"});
    let stranger = json!({"type": "message", "id": "m4", "room": "nowhere", "sender": "u1",
        "content": "x", "createdAt": "2020-01-01T00:00:00Z"});
    let long = json!({"type": "user", "id": "x".repeat(300 * 1024)});
    let body = format!(
        "{user}\n\nnot json\n{den}\r\n{first}\n{early}\n{stranger}\n{long}\n{{\"type\":\"x\"}}\n{second}"
    );
    let summary = import(&world, &root, "", body).send().await.ok(200);
    assert_eq!((&summary["lines"], &summary["messages"]), (&json!(9), &json!(2)));
    assert_eq!(summary["refused"], 5);
    let errors: Vec<(u64, String)> = summary["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), text(error, "code")))
        .collect();
    let wanted = [
        (3, "malformed_json"),
        (6, "out_of_order"),
        (7, "unknown_reference"),
        (8, "line_too_long"),
        (9, "invalid_field"),
    ];
    assert_eq!(errors, wanted.map(|(line, code)| (line, code.to_owned())));
}

#[tokio::test]
async fn many_lines_are_taken_in_and_told_of_while_it_runs() {
    let world = World::new().await;
    let root = world.admin("root").await;
    let mut body = lines(&small()[..2]);
    for number in 0..5_000 {
        let line = json!({"type": "message", "id": format!("m{number}"), "room": "r1",
            "sender": "u1", "content": "x", "createdAt": "2020-01-01T00:00:00Z"});
        let _ = writeln!(body, "{line}");
    }
    let answer = import(&world, &root, "?progress=ndjson", body).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, NDJSON));
    let told: Vec<Value> = String::from_utf8(answer.body.to_vec())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (summary, progress) = told.split_last().unwrap();
    assert!(progress.len() >= 5, "{progress:?}");
    assert!(progress.iter().all(|line| line["type"] == "progress"));
    assert!(progress.is_sorted_by_key(|line| line["lines"].as_u64()));
    assert_eq!(summary["type"], "summary");
    assert_eq!((&summary["messages"], &summary["refused"]), (&json!(5_000), &json!(0)));
}

#[tokio::test]
async fn only_administrators_import() {
    let world = World::new().await;
    let root = world.admin("root").await;
    let ann = world.person("ann").await;
    let answer = import(&world, &ann, "", lines(&small())).send().await;
    assert_eq!(answer.problem(403), "admin_only");
    let answer = world.call("POST", "admin/import").text(NDJSON, lines(&small())).send().await;
    assert_eq!(answer.problem(401), "unauthorized");
    let form = world.call("POST", "admin/import").token(&root.token).text("text/html", "x");
    assert_eq!(form.send().await.problem(415), "unsupported_media_type");
    let odd = import(&world, &root, "?progress=xml", String::new()).send().await;
    assert_eq!(odd.problem(400), "invalid_parameter");
    let nothing = import(&world, &root, "", String::new()).send().await.ok(200);
    assert_eq!(nothing["lines"], 0);
}
