//! Who may say what by WebSocket: every type of frame that the server knows, said by everyone.
//!
//! The types come from the page that describes them; one without a row here fails the test. What
//! the page leaves out, the protocol's own tests find.

use std::time::Duration;

use http::Method;
use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming, Receiver, Sender};
use klatch_e2e::token;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);
const DOCS: &str = include_str!("../../../../../docs/protocol/websocket.md");
/// What only members may read.
const CANARY: &str = "canary-for-members-only";

/// Who says it. All have a good token; without one nobody gets as far as a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Stranger,
    Guest,
    Removed,
    Member,
    Owner,
}

const EVERYONE: [Who; 5] = [Who::Stranger, Who::Guest, Who::Removed, Who::Member, Who::Owner];

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Guest => "guest",
            Self::Removed => "removed",
            Self::Member => "member",
            Self::Owner => "owner",
        }
    }

    fn is_inside(self) -> bool {
        matches!(self, Self::Member | Self::Owner)
    }
}

/// What is right for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// Nothing but a connection; whatever it names, others' rooms stay unseen.
    Nothing,
    /// To be in the room, which is private: others learn nothing.
    Member,
    /// To have written the message; the room's owner may too where it says so.
    Author(bool),
    /// Is not answered at all, so that it cannot tell anything.
    Silence,
    /// A token of the same user.
    OwnToken,
}

/// A frame as someone may send it.
struct Row {
    kind: &'static str,
    needs: Needs,
    payload: Value,
}

fn rows() -> Vec<Row> {
    let row = |kind, needs, payload| Row { kind, needs, payload };
    let (room, message) = ("{roomId}", "{messageId}");
    vec![
        row("message", Needs::Member, json!({"roomId": room, "content": "hello"})),
        row(
            "edit",
            Needs::Author(false),
            json!({"roomId": room, "messageId": message, "content": "new"}),
        ),
        row("delete", Needs::Author(true), json!({"roomId": room, "messageId": message})),
        row("typing", Needs::Member, json!({"roomId": room, "isTyping": true})),
        row("presence", Needs::Nothing, json!({"status": "away"})),
        row("ack", Needs::Silence, json!({"roomId": room, "seq": 1})),
        row(
            "subscribe",
            Needs::Nothing,
            json!({"rooms": [room], "presence": ["{ownerId}"], "typing": true}),
        ),
        row("resume", Needs::Nothing, json!({"positions": ["{position}"]})),
        row("auth", Needs::OwnToken, json!({"token": "{ownersToken}"})),
        row("ping", Needs::Nothing, json!({})),
    ]
}

/// The types that the page names under "Client to server".
fn documented() -> Vec<String> {
    let part = DOCS.split("\n## Client to server\n").nth(1).expect("the part");
    let part = part.split("\n## ").next().unwrap();
    let lines = part.lines().filter_map(|line| line.strip_prefix("| `"));
    lines.filter_map(|line| line.split('`').next()).map(str::to_owned).collect()
}

struct Scene {
    room: String,
    message: String,
    /// Before anything happened in the room.
    position: String,
}

struct Stage {
    server: Server,
    owner: Rest,
    member: Rest,
    ids: Vec<(Who, String)>,
}

impl Stage {
    async fn set() -> Self {
        let server = Server::start(Settings::default()).await.unwrap();
        let root = server.register_admin().await.unwrap();
        let mut ids = Vec::new();
        for who in EVERYONE {
            let me = server.rest_as(who.name()).get("/api/v1/users/me").await.unwrap();
            ids.push((who, me.success().unwrap().text("userId").unwrap()));
        }
        let (owner, member) = (server.rest_as("owner"), server.rest_as("member"));
        let stage = Self { server, owner, member, ids };
        let path = format!("/api/v1/admin/users/{}", stage.id(Who::Guest));
        let guest = root.json(Method::PATCH, &path, &json!({"role": "guest"})).await.unwrap();
        guest.success().unwrap();
        stage
    }

    fn id(&self, who: Who) -> &str {
        self.ids.iter().find(|(other, _)| *other == who).map_or("", |(_, id)| id)
    }

    async fn scene(&self, number: usize) -> Scene {
        let body = json!({
            "type": "channel", "visibility": "private", "name": format!("room-{number}"),
            "memberIds": [self.id(Who::Member), self.id(Who::Removed)],
        });
        let made = self.owner.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
        let room = made.text("roomId").unwrap();
        let position = made.text("position").unwrap();
        let path = format!("/api/v1/rooms/{room}/members/{}", self.id(Who::Removed));
        let gone = self.owner.ask(Method::DELETE, &path, &[], bytes::Bytes::new()).await.unwrap();
        gone.success().unwrap();
        let path = format!("/api/v1/rooms/{room}/messages");
        let sent = self.member.post(&path, &json!({ "content": CANARY })).await.unwrap();
        let sent = sent.success().unwrap();
        let message = sent.text("messageId").unwrap();
        // What is asked next must know of all that.
        let seen = Some(sent.text("position").unwrap());
        self.owner.get_at(&path, seen.as_deref()).await.unwrap().success().unwrap();
        Scene { room, message, position }
    }
}

/// What a client was told from its frame until the answer to a ping after it.
struct Told {
    answer: Option<Value>,
    frames: Vec<Value>,
    closed: Option<u16>,
}

impl Told {
    /// The kind of the answer and the code if it is an error.
    fn outcome(&self) -> (&str, &str) {
        let Some(answer) = &self.answer else { return ("nothing", "") };
        let code = answer["payload"]["code"].as_str().unwrap_or_default();
        (answer["type"].as_str().unwrap_or_default(), code)
    }
}

async fn say((sender, receiver): (&mut Sender, &mut Receiver), kind: &str, payload: Value) -> Told {
    sender.send(kind, payload, "asked").await.unwrap();
    let mut told = Told { answer: None, frames: Vec::new(), closed: None };
    // A frame that closes leaves no room for another.
    let _ = sender.send("ping", json!({}), "after").await;
    // Messages are answered when they are durable, which may be after what was said later.
    let (mut later, mut answered) = (false, kind == "ack");
    let heard = async {
        while !(later && answered) {
            match receiver.next().await {
                Incoming::Frame(_, frame) if frame["requestId"] == "after" => later = true,
                Incoming::Frame(_, frame) => {
                    if frame["requestId"] == "asked" {
                        told.answer = Some(frame.clone());
                        answered = true;
                    }
                    told.frames.push(frame);
                }
                Incoming::Closed(code, _) => {
                    told.closed = Some(code);
                    break;
                }
                Incoming::Lost => break,
            }
        }
    };
    tokio::time::timeout(SOON, heard).await.expect("an answer in time");
    told
}

fn is_right(needs: Needs, who: Who, told: &Told) -> bool {
    let (kind, code) = told.outcome();
    match needs {
        Needs::Silence => kind == "nothing" && told.closed.is_none(),
        Needs::OwnToken if who == Who::Owner => kind == "ack",
        Needs::OwnToken => told.closed == Some(4004),
        Needs::Nothing => !matches!(kind, "nothing" | "error"),
        _ if !who.is_inside() => (kind, code) == ("error", "room_not_found"),
        Needs::Author(false) if who == Who::Owner => (kind, code) == ("error", "forbidden"),
        Needs::Member | Needs::Author(_) => kind == "ack",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_of_frame_answers_everyone_as_its_row_says() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = Stage::set().await;
    let (mut wrong, mut number) = (Vec::new(), 0);
    for Row { kind, needs, payload } in rows() {
        for who in EVERYONE {
            number += 1;
            let scene = stage.scene(number).await;
            let payload = payload.to_string();
            let filled = payload
                .replace("{roomId}", &scene.room)
                .replace("{messageId}", &scene.message)
                .replace("{ownerId}", stage.id(Who::Owner))
                .replace("{position}", &scene.position)
                .replace("{ownersToken}", &token::of("owner"));
            let filled: Value = serde_json::from_str(&filled).unwrap();
            let address = stage.server.address();
            let (mut sender, mut receiver) =
                socket::connect(address, &token::of(who.name()), "").await.unwrap();
            receiver.next_of("hello", SOON).await.unwrap();
            let told = say((&mut sender, &mut receiver), kind, filled).await;
            if !is_right(needs, who, &told) {
                let outcome = told.outcome();
                wrong.push(format!("{kind} needs {needs:?}, {who:?} was told {outcome:?}"));
            }
            // Said while everyone is connected: only members hear it, whatever they asked for.
            let path = format!("/api/v1/rooms/{}/messages", scene.room);
            stage.owner.post(&path, &json!({ "content": CANARY })).await.unwrap();
            let mut frames = told.frames;
            if told.closed.is_none() {
                frames.extend(say((&mut sender, &mut receiver), "ping", json!({})).await.frames);
            }
            let leaked = frames.iter().any(|frame| {
                let text = frame.to_string();
                text.contains(CANARY) || (who != Who::Removed && text.contains(&scene.room))
            });
            if leaked && !who.is_inside() {
                wrong.push(format!("{kind}: {who:?} was told of a room they are not in"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_documented_type_of_frame_has_a_row_and_every_row_is_documented() {
    let mut documented = documented();
    let mut rows: Vec<String> = rows().iter().map(|row| row.kind.to_owned()).collect();
    documented.sort_unstable();
    rows.sort_unstable();
    assert_eq!(rows, documented, "who may send it?");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_good_token_nobody_gets_as_far_as_a_frame() {
    let _turn = quiet::beside_others().await.unwrap();
    let server = Server::start(Settings::default()).await.unwrap();
    for (what, token) in token::forged("ada") {
        let refused = socket::connect(server.address(), &token, "").await;
        let refused = refused.expect_err(what).to_string();
        assert!(refused.contains("401") || refused.contains("431"), "{what}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_of_other_rooms_lead_nowhere_in_frames() {
    let _turn = quiet::beside_others().await.unwrap();
    let stage = Stage::set().await;
    let (theirs, body) = (stage.scene(1).await, json!({"type": "group", "name": "mine"}));
    let stranger = stage.server.rest_as("stranger");
    let mine = stranger.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    let mine = mine.text("roomId").unwrap();
    let (mut sender, mut receiver) =
        socket::connect(stage.server.address(), &token::of("stranger"), "").await.unwrap();
    receiver.next_of("hello", SOON).await.unwrap();
    let message = &theirs.message;
    for (kind, payload, code) in [
        (
            "edit",
            json!({"roomId": mine, "messageId": message, "content": "mine now"}),
            "message_not_found",
        ),
        ("delete", json!({"roomId": mine, "messageId": message}), "message_not_found"),
        ("message", json!({"roomId": mine, "content": "re", "replyTo": message}), "invalid_field"),
        ("message", json!({"roomId": mine, "content": "re", "threadId": message}), "invalid_field"),
    ] {
        let told = say((&mut sender, &mut receiver), kind, payload).await;
        assert_eq!(told.outcome(), ("error", code), "{kind}");
        assert!(!told.frames.iter().any(|frame| frame.to_string().contains(CANARY)));
    }
}
