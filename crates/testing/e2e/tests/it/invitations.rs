//! Invitations: what they let in, and what they do not.

use bytes::Bytes;
use http::Method;
use klatch_e2e::rest::{Answer, Json, Rest};
use klatch_e2e::server::{Server, Settings, quiet};
use serde_json::{Value, json};

const CLOSED: (&str, &str) = ("KLATCH_AUTH__OPEN_REGISTRATION", "false");

async fn register(server: &Server, name: &str, invitation: Option<&str>) -> Answer {
    let mut body = json!({
        "username": name, "email": format!("{name}@example.org"), "password": "a long password",
    });
    if let Some(token) = invitation {
        body["invitation"] = token.into();
    }
    server.rest().post("/api/v1/auth/register", &body).await.unwrap()
}

fn signed_in(server: &Server, made: &Json) -> Rest {
    Rest::new(server.address(), Some(made.text("accessToken").unwrap()))
}

async fn channel(owner: &Rest, name: &str) -> String {
    let body = json!({"type": "channel", "visibility": "private", "name": name});
    let made = owner.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let (room, position) = (made.text("roomId").unwrap(), made.text("position").unwrap());
    let path = format!("/api/v1/rooms/{room}");
    owner.get_at(&path, Some(&position)).await.unwrap().success().unwrap();
    room
}

async fn invite(who: &Rest, wish: &Value) -> Answer {
    who.post("/api/v1/invitations", wish).await.unwrap()
}

async fn accept(who: &Rest, token: &str) -> Answer {
    who.post("/api/v1/invitations/accept", &json!({ "token": token })).await.unwrap()
}

async fn delete(who: &Rest, path: &str) -> Answer {
    who.ask(Method::DELETE, path, &[], Bytes::new()).await.unwrap()
}

/// The room as somebody sees it who waits for what has just been done.
async fn room_at(who: &Rest, room: &str, position: &str) -> Answer {
    who.get_at(&format!("/api/v1/rooms/{room}"), Some(position)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_opens_its_room_with_its_role_as_often_as_was_said_and_nothing_else() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default().with(CLOSED.0, CLOSED.1)).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let (room, other) = (channel(&chief, "one").await, channel(&chief, "two").await);
    register(&server, "eve", None).await.problem(403, "registration_closed").unwrap();
    let wish = json!({"roomId": room, "role": "guest", "maxUses": 1});
    let made = invite(&chief, &wish).await.success().unwrap();
    let token = made.text("token").unwrap();
    let body = json!({ "token": token });
    let look = server.rest().post("/api/v1/invitations/look", &body).await.unwrap();
    let look = look.success().unwrap();
    assert_eq!(
        (look.text("roomName").unwrap(), look.text("role").unwrap()),
        ("one".into(), "guest".into())
    );
    // A registration that fails uses nothing up.
    register(&server, "x", Some(&token)).await.problem(422, "invalid_field").unwrap();
    register(&server, "root", Some(&token)).await.problem(409, "username_taken").unwrap();
    let entered = register(&server, "ann", Some(&token)).await.success().unwrap();
    assert_eq!(entered.text("roomId").unwrap(), room);
    assert_eq!(entered.0["user"]["role"], "guest");
    let ann = signed_in(&server, &entered);
    let sent = ann.post(&format!("/api/v1/rooms/{room}/messages"), &json!({"content": "hi"})).await;
    let position = sent.unwrap().success().unwrap().text("position").unwrap();
    room_at(&ann, &room, &position).await.success().unwrap();
    room_at(&ann, &other, &position).await.problem(404, "room_not_found").unwrap();
    // Used up: by registering, by somebody else, and by the same person after they were removed.
    register(&server, "bob", Some(&token)).await.problem(410, "invitation_used_up").unwrap();
    let eve = server.rest_as("eve");
    accept(&eve, &token).await.problem(410, "invitation_used_up").unwrap();
    let id = entered.0["user"]["userId"].as_str().unwrap();
    let removed = delete(&chief, &format!("/api/v1/rooms/{room}/members/{id}")).await;
    let position = removed.success().unwrap().text("position").unwrap();
    room_at(&ann, &room, &position).await.problem(404, "room_not_found").unwrap();
    accept(&ann, &token).await.problem(410, "invitation_used_up").unwrap();
    room_at(&ann, &room, &position).await.problem(404, "room_not_found").unwrap();
    let list = chief.get(&format!("/api/v1/invitations?roomId={room}")).await.unwrap();
    let list = list.success().unwrap();
    assert_eq!(
        (&list.items().unwrap()[0]["uses"], &list.items().unwrap()[0]["token"]),
        (&json!(1), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_run_a_room_invite_to_it_and_lose_that_with_their_place() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    server.register_admin().await.unwrap();
    let (owner, bob, cy) = (server.rest_as("owner"), server.rest_as("bob"), server.rest_as("cy"));
    let room = channel(&owner, "one").await;
    let wish = json!({"roomId": room, "maxUses": 5});
    invite(&bob, &wish).await.problem(404, "room_not_found").unwrap();
    invite(&owner, &json!({})).await.problem(403, "admin_only").unwrap();
    for (field, value) in [
        ("maxUses", json!(0)),
        ("maxUses", json!(10_001)),
        ("role", json!("admin")),
        ("expiresAt", json!("2001-01-01T00:00:00.000Z")),
        ("expiresAt", json!("2999-01-01T00:00:00.000Z")),
    ] {
        let mut bad = wish.clone();
        bad[field] = value;
        let refused = invite(&owner, &bad).await.problem(422, "invalid_field").unwrap();
        assert_eq!(refused["errors"][0]["pointer"], format!("/{field}"));
    }
    let made = invite(&owner, &wish).await.success().unwrap();
    let (token, id) = (made.text("token").unwrap(), made.text("invitationId").unwrap());
    let entered = accept(&bob, &token).await;
    assert_eq!(entered.status, 202);
    let position = entered.success().unwrap().text("position").unwrap();
    room_at(&bob, &room, &position).await.success().unwrap();
    // Who is in already uses nothing up.
    accept(&bob, &token).await.problem(409, "already_member").unwrap();
    // A member does not run the room: its invitations are not theirs to make, see or take back.
    invite(&bob, &wish).await.problem(403, "forbidden").unwrap();
    let list = format!("/api/v1/invitations?roomId={room}");
    bob.get(&list).await.unwrap().problem(403, "forbidden").unwrap();
    let path = format!("/api/v1/invitations/{id}");
    for stranger in [&bob, &cy] {
        delete(stranger, &path).await.problem(404, "invitation_not_found").unwrap();
    }
    accept(&cy, "no such token").await.problem(403, "invalid_invitation").unwrap();
    assert_eq!(delete(&owner, &path).await.status, 204);
    accept(&cy, &token).await.problem(410, "invitation_revoked").unwrap();
    let listed = owner.get(&list).await.unwrap().success().unwrap();
    let listed = &listed.items().unwrap()[0];
    assert_eq!((&listed["uses"], &listed["revoked"]), (&json!(1), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_of_someone_who_may_invite_no_more_let_nobody_in() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let made = register(&server, "ann", None).await.success().unwrap();
    let (ann, id) = (signed_in(&server, &made), made.0["user"]["userId"].as_str().unwrap());
    let room = channel(&ann, "one").await;
    let me = chief.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let body = json!({"userId": me.text("userId").unwrap(), "role": "owner"});
    let path = format!("/api/v1/rooms/{room}/members");
    ann.post(&path, &body).await.unwrap().success().unwrap();
    let wish = json!({"roomId": room, "maxUses": 9});
    let token = invite(&ann, &wish).await.success().unwrap().text("token").unwrap();
    let (bob, cy) = (server.rest_as("bob"), server.rest_as("cy"));
    assert_eq!(accept(&bob, &token).await.status, 202);
    // Out of the room: the decision falls in the room itself.
    let gone = delete(&chief, &format!("{path}/{id}")).await;
    gone.success().unwrap();
    accept(&cy, &token).await.problem(403, "invalid_invitation").unwrap();
    let account = register(&server, "dot", Some(&token)).await.success().unwrap();
    assert_eq!(account.0.get("roomId"), None);
    // Locked out of the server.
    chief.post(&path, &json!({"userId": id, "role": "admin"})).await.unwrap().success().unwrap();
    let banned = json!({"banned": true});
    let path = format!("/api/v1/admin/users/{id}");
    chief.json(Method::PATCH, &path, &banned).await.unwrap().success().unwrap();
    accept(&cy, &token).await.problem(403, "invalid_invitation").unwrap();
    register(&server, "flo", Some(&token)).await.problem(403, "invalid_invitation").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uses_are_counted_for_good_whatever_becomes_of_the_process() {
    let _turn = quiet::beside_others().await.unwrap();
    let mut server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let room = channel(&chief, "one").await;
    let wish = json!({"roomId": room, "maxUses": 3});
    let token = invite(&chief, &wish).await.success().unwrap().text("token").unwrap();
    let crowd: Vec<Rest> = (0..12).map(|n| server.rest_as(&format!("user{n}"))).collect();
    let mut entered = 0;
    for (number, person) in crowd.iter().enumerate() {
        let answer = accept(person, &token).await;
        entered += usize::from(answer.status == 202);
        if number % 2 == 0 {
            server.kill();
            server.begin().await.unwrap();
        }
        if entered == 3 {
            break;
        }
    }
    assert_eq!(entered, 3);
    for person in &crowd[4..] {
        accept(person, &token).await.problem(410, "invitation_used_up").unwrap();
    }
}
