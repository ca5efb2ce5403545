//! Who may call what: every route that the server documents, tried by everyone.
//!
//! The routes come from the server's own `OpenAPI` document. One without a row here fails the test:
//! whoever adds a route says who may use it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use klatch_e2e::rest::{Answer, Rest};
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::token;
use serde_json::{Value, json};

/// An id of nothing.
const NOTHING: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";

/// Who tries. All but the first two have a good token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Forger,
    Stranger,
    Removed,
    Member,
    /// In the room, and a guest of the server.
    Guest,
    /// In the room: a program with a token for reading and writing.
    Bot,
    Owner,
}

const EVERYONE: [Who; 8] = [
    Who::Nobody,
    Who::Forger,
    Who::Stranger,
    Who::Removed,
    Who::Member,
    Who::Guest,
    Who::Bot,
    Who::Owner,
];

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug)]
enum Needs {
    /// Nothing: it must not answer 401.
    Nothing,
    /// A good token.
    Token,
    /// A good token of a person: programs are told so.
    Session,
    /// To be more than a guest.
    NoGuest,
    /// To be a server administrator; nobody here is.
    Admin,
    /// To be in the room, which is private: others learn nothing.
    Member,
    /// To be its owner; members are told that they may not.
    Owner,
    /// To have written the message; the room's owner may too where the second says so.
    Author(bool),
}

type Row = ((&'static str, &'static str), (Needs, Value));

/// Every route, what it needs, and a body that it takes.
fn rows() -> BTreeMap<(&'static str, &'static str), (Needs, Value)> {
    account_rows().into_iter().chain(room_rows()).chain(server_rows()).collect()
}

fn account_rows() -> Vec<Row> {
    let none = Value::Null;
    let token = json!({"name": "a program", "scopes": ["read"]});
    vec![
        (("POST", "/api/v1/auth/login"), (Needs::Nothing, json!({}))),
        (("POST", "/api/v1/auth/logout"), (Needs::Session, none.clone())),
        (("POST", "/api/v1/auth/refresh"), (Needs::Nothing, json!({}))),
        (("POST", "/api/v1/auth/register"), (Needs::Nothing, json!({}))),
        (("POST", "/api/v1/auth/reset"), (Needs::Nothing, json!({}))),
        (("POST", "/api/v1/auth/reset/request"), (Needs::Nothing, json!({}))),
        (("GET", "/api/v1/auth/sessions"), (Needs::Session, none.clone())),
        // Tokens of other issuers have no session that would end with them.
        (("DELETE", "/api/v1/auth/sessions"), (Needs::Session, none.clone())),
        (("DELETE", "/api/v1/auth/sessions/{sessionId}"), (Needs::Session, none.clone())),
        (("POST", "/api/v1/presence/query"), (Needs::Token, json!({"userIds": ["{strangerId}"]}))),
        (("GET", "/api/v1/users"), (Needs::Token, none.clone())),
        (("GET", "/api/v1/users/me"), (Needs::Token, none.clone())),
        (("GET", "/api/v1/users/me/presence"), (Needs::Token, none.clone())),
        (("PUT", "/api/v1/users/me/presence"), (Needs::Token, json!({"status": "away"}))),
        (("POST", "/api/v1/users/me/password"), (Needs::Session, json!({}))),
        (("GET", "/api/v1/users/me/tokens"), (Needs::Session, none.clone())),
        (("POST", "/api/v1/users/me/tokens"), (Needs::Session, token)),
        (("DELETE", "/api/v1/users/me/tokens/{tokenId}"), (Needs::Session, none.clone())),
        (("GET", "/api/v1/users/{userId}"), (Needs::Token, none)),
    ]
}

fn room_rows() -> Vec<Row> {
    let none = Value::Null;
    let text = json!({"content": "hello"});
    vec![
        // With `roomId` for those who run the room.
        (("GET", "/api/v1/invitations"), (Needs::Admin, none.clone())),
        (("POST", "/api/v1/invitations"), (Needs::Owner, json!({"roomId": "{roomId}"}))),
        (("POST", "/api/v1/invitations/accept"), (Needs::Token, json!({}))),
        (("DELETE", "/api/v1/invitations/{invitationId}"), (Needs::Token, none.clone())),
        (("POST", "/api/v1/invitations/look"), (Needs::Nothing, json!({}))),
        (("GET", "/api/v1/rooms"), (Needs::Token, none.clone())),
        (("POST", "/api/v1/rooms"), (Needs::NoGuest, json!({"type": "group", "name": "new"}))),
        (("GET", "/api/v1/rooms/{roomId}"), (Needs::Member, none.clone())),
        (("PATCH", "/api/v1/rooms/{roomId}"), (Needs::Owner, json!({"topic": "t"}))),
        (("DELETE", "/api/v1/rooms/{roomId}"), (Needs::Owner, none.clone())),
        (("POST", "/api/v1/rooms/{roomId}/join"), (Needs::Member, none.clone())),
        (("POST", "/api/v1/rooms/{roomId}/leave"), (Needs::Member, none.clone())),
        (("GET", "/api/v1/rooms/{roomId}/members"), (Needs::Member, none.clone())),
        (
            ("POST", "/api/v1/rooms/{roomId}/members"),
            // Anyone in it may bring people.
            (Needs::Member, json!({"userId": "{strangerId}"})),
        ),
        (
            ("PATCH", "/api/v1/rooms/{roomId}/members/{userId}"),
            (Needs::Owner, json!({"role": "admin"})),
        ),
        (("DELETE", "/api/v1/rooms/{roomId}/members/{userId}"), (Needs::Owner, none.clone())),
        (("GET", "/api/v1/rooms/{roomId}/messages"), (Needs::Member, none.clone())),
        (("POST", "/api/v1/rooms/{roomId}/messages"), (Needs::Member, text.clone())),
        (("GET", "/api/v1/rooms/{roomId}/messages/{messageId}"), (Needs::Member, none.clone())),
        (("PATCH", "/api/v1/rooms/{roomId}/messages/{messageId}"), (Needs::Author(false), text)),
        (
            ("DELETE", "/api/v1/rooms/{roomId}/messages/{messageId}"),
            (Needs::Author(true), none.clone()),
        ),
        (("GET", "/api/v1/sync"), (Needs::Token, none.clone())),
        (("POST", "/api/v1/rooms/{roomId}/typing"), (Needs::Member, none)),
    ]
}

fn server_rows() -> Vec<Row> {
    let none = Value::Null;
    let token = json!({"name": "a program", "scopes": ["read"]});
    vec![
        (("POST", "/api/v1/admin/import"), (Needs::Admin, json!({"type": "user", "id": "x"}))),
        (("GET", "/api/v1/admin/audit"), (Needs::Admin, none.clone())),
        (("POST", "/api/v1/admin/bots"), (Needs::Admin, json!({"username": "bot"}))),
        (("GET", "/api/v1/admin/bots/{userId}/tokens"), (Needs::Admin, none.clone())),
        (("POST", "/api/v1/admin/bots/{userId}/tokens"), (Needs::Admin, token)),
        (("DELETE", "/api/v1/admin/bots/{userId}/tokens/{tokenId}"), (Needs::Admin, none.clone())),
        (("POST", "/api/v1/admin/keys/rotate"), (Needs::Admin, json!({}))),
        (("GET", "/api/v1/admin/users"), (Needs::Admin, none.clone())),
        (("POST", "/api/v1/admin/users"), (Needs::Admin, json!({"username": "new"}))),
        (("GET", "/api/v1/admin/users/{userId}"), (Needs::Admin, none.clone())),
        (("PATCH", "/api/v1/admin/users/{userId}"), (Needs::Admin, json!({"role": "admin"}))),
        (("POST", "/api/v1/admin/users/{userId}/erase"), (Needs::Admin, none.clone())),
        (("GET", "/api/v1/admin/users/{userId}/export"), (Needs::Admin, none.clone())),
        (("POST", "/api/v1/admin/users/{userId}/reset"), (Needs::Admin, none.clone())),
        (("GET", "/api/v1/docs"), (Needs::Nothing, none.clone())),
        (("GET", "/api/v1/meta"), (Needs::Nothing, none.clone())),
        (("GET", "/api/v1/openapi.json"), (Needs::Nothing, none.clone())),
        (("GET", "/api/v1/problems"), (Needs::Nothing, none.clone())),
        (("GET", "/api/v1/problems/{code}"), (Needs::Nothing, none.clone())),
        (("GET", "/healthz"), (Needs::Nothing, none.clone())),
        (("GET", "/metrics"), (Needs::Nothing, none.clone())),
        (("GET", "/readyz"), (Needs::Nothing, none)),
    ]
}

/// What is right for whom.
fn is_right(needs: Needs, who: Who, answer: &Answer) -> bool {
    let (status, code) = (answer.status, answer.code());
    let welcome = status < 500 && status != 401 && status != 403 && code != "room_not_found";
    match (needs, who) {
        (Needs::Nothing, _) => status != 401,
        (_, Who::Nobody | Who::Forger) => status == 401,
        (Needs::Admin, _) | (Needs::Owner, Who::Member | Who::Guest | Who::Bot) => status == 403,
        (Needs::Session, Who::Bot) => code == "session_needed",
        (Needs::NoGuest, Who::Guest) | (Needs::Author(_), Who::Guest | Who::Bot) => {
            code == "forbidden"
        }
        (Needs::Member | Needs::Owner | Needs::Author(_), Who::Stranger | Who::Removed) => {
            status == 404 && code == "room_not_found"
        }
        (Needs::Author(owner_too), Who::Owner) => (status == 403) != owner_too && status < 500,
        // The message is the member's own.
        (
            Needs::Token
            | Needs::Session
            | Needs::NoGuest
            | Needs::Member
            | Needs::Owner
            | Needs::Author(_),
            _,
        ) => welcome,
    }
}

/// The people, made once.
struct People {
    rest: Vec<(Who, Rest)>,
    ids: BTreeMap<&'static str, String>,
}

impl People {
    async fn gather(server: &Server, chief: &Rest) -> Self {
        let names = [
            (Who::Guest, "guest"),
            (Who::Stranger, "stranger"),
            (Who::Removed, "removed"),
            (Who::Member, "member"),
            (Who::Owner, "owner"),
        ];
        let other = server.rest_as("other").get("/api/v1/users/me").await.unwrap();
        let other = other.success().unwrap().text("userId").unwrap();
        let mut rest = vec![(Who::Nobody, server.rest())];
        let (_, forged) = token::forged("owner").remove(0);
        rest.push((Who::Forger, Rest::new(server.address(), Some(forged))));
        let mut ids = BTreeMap::from([("other", other)]);
        for (who, name) in names {
            let person = server.rest_as(name);
            let me = person.get("/api/v1/users/me").await.unwrap().success().unwrap();
            ids.insert(name, me.text("userId").unwrap());
            rest.push((who, person));
        }
        let path = format!("/api/v1/admin/users/{}", ids["guest"]);
        let role = json!({"role": "guest"});
        chief.json(Method::PATCH, &path, &role).await.unwrap().success().unwrap();
        let (bot, token) = Self::make_bot(chief).await;
        ids.insert("bot", bot);
        rest.push((Who::Bot, Rest::new(server.address(), Some(token))));
        Self { rest, ids }
    }

    async fn make_bot(chief: &Rest) -> (String, String) {
        let bot = json!({"username": "bot"});
        let bot = chief.post("/api/v1/admin/bots", &bot).await.unwrap().success().unwrap();
        let bot = bot.text("userId").unwrap();
        let wish = json!({"name": "a program", "scopes": ["read", "write"]});
        let path = format!("/api/v1/admin/bots/{bot}/tokens");
        let token = chief.post(&path, &wish).await.unwrap().success().unwrap();
        (bot, token.text("token").unwrap())
    }

    fn of(&self, who: Who) -> &Rest {
        &self.rest.iter().find(|(other, _)| *other == who).unwrap().1
    }
}

/// A private room with a member's message, and one person who was removed.
async fn make_scene(people: &People, number: usize) -> (String, String) {
    let owner = people.of(Who::Owner);
    let (member, removed) = (&people.ids["member"], &people.ids["removed"]);
    let members = [member, removed, &people.ids["other"], &people.ids["guest"], &people.ids["bot"]];
    let name = format!("room-{number}");
    let body = json!({
        "type": "channel", "visibility": "private", "name": name, "memberIds": members,
    });
    let room = owner.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let room = room.text("roomId").unwrap();
    let path = format!("/api/v1/rooms/{room}/messages");
    let sent = people.of(Who::Member).post(&path, &json!({"content": "mine"})).await.unwrap();
    let message = sent.success().unwrap().text("messageId").unwrap();
    let path = format!("/api/v1/rooms/{room}/members/{removed}");
    let gone = owner.ask(Method::DELETE, &path, &[], Bytes::new()).await.unwrap();
    let position = gone.success().unwrap().text("position").unwrap();
    // What is read next must know of all that.
    owner.get_at(&format!("/api/v1/rooms/{room}"), Some(&position)).await.unwrap();
    (room, message)
}

async fn routes(server: &Server) -> Vec<(String, String)> {
    let document = server.rest().get("/api/v1/openapi.json").await.unwrap().value().unwrap();
    let mut found = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            found.push((method.to_uppercase(), path.clone()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_route_answers_everyone_as_its_row_says() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    let chief = server.register_admin().await.unwrap();
    let people = People::gather(&server, &chief).await;
    let rows = rows();
    let mut wrong = Vec::new();
    let routes = routes(&server).await;
    let mut made = 0;
    for (method, path) in &routes {
        let Some((needs, body)) = rows.get(&(method.as_str(), path.as_str())) else {
            wrong.push(format!("{method} {path} has no row: say who may use it"));
            continue;
        };
        for who in EVERYONE {
            let (room, message) = make_scene(&people, made).await;
            made += 1;
            let fill = |text: &str| {
                text.replace("{roomId}", &room)
                    .replace("{messageId}", &message)
                    .replace("{userId}", &people.ids["other"])
                    .replace("{strangerId}", &people.ids["stranger"])
                    .replace("{sessionId}", NOTHING)
                    .replace("{invitationId}", NOTHING)
                    .replace("{tokenId}", NOTHING)
                    .replace("{code}", "room_not_found")
            };
            let body = if body.is_null() { String::new() } else { fill(&body.to_string()) };
            let kind =
                if path.ends_with("import") { "application/x-ndjson" } else { "application/json" };
            let kind: &[(&str, &str)] =
                if body.is_empty() { &[] } else { &[("content-type", kind)] };
            let verb = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = people.of(who).ask(verb, &fill(path), kind, Bytes::from(body)).await;
            let answer = answer.unwrap();
            if !is_right(*needs, who, &answer) {
                let (status, code) = (answer.status, answer.code());
                wrong.push(format!(
                    "{method} {path} needs {needs:?}, {who:?} was told {status} {code}"
                ));
            }
        }
    }
    let gone = rows.keys().filter(|(method, path)| {
        !routes.iter().any(|route| route.0 == *method && route.1 == *path)
    });
    wrong.extend(gone.map(|(method, path)| format!("{method} {path} has a row and no route")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
