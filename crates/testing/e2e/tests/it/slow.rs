//! A client that does not read for a while, as a user of it would fare.

use std::time::Duration;

use klatch_e2e::rest::Rest;
use klatch_e2e::server::{Server, Settings, quiet};
use klatch_e2e::socket::{self, Incoming, Receiver};
use klatch_e2e::token;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// Enough to fill the buffers of both kernels and the server's queue.
const MESSAGES: usize = 300;
const CHARS: usize = 30_000;

/// What a client has of a room.
#[derive(Default)]
struct Have {
    seqs: Vec<u64>,
    notices: usize,
    /// The highest seq that the connection itself told of; history may have told of more.
    told: u64,
}

impl Have {
    fn last(&self) -> u64 {
        self.seqs.last().copied().unwrap_or(1)
    }

    /// The connection goes forward only.
    fn hear(&mut self, seq: u64) {
        assert!(seq > self.told, "{seq} after {}", self.told);
        self.told = seq;
    }

    /// Does what the documentation asks for about a notice: reads what it tells of.
    ///
    /// A page of history holds what came after the notice as well, so that a later notice may tell
    /// of nothing new; but never of less than the connection told of before.
    async fn catch_up(&mut self, rest: &Rest, room: &str, notice: &Value) {
        let (head, position) = (notice["headSeq"].as_u64().unwrap(), &notice["headPosition"]);
        self.hear(head);
        self.notices += 1;
        while self.last() < head {
            let path = format!("/api/v1/rooms/{room}/messages?after={}&limit=200", self.last());
            let page = rest.get_at(&path, position.as_str()).await.unwrap().success().unwrap();
            let mut items: Vec<u64> =
                page.items().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()).collect();
            assert!(!items.is_empty(), "history ends before {head}");
            items.reverse();
            self.seqs.extend(items);
        }
    }

    /// An event; it may have been in what was read.
    fn take(&mut self, seq: u64) {
        self.hear(seq);
        if seq > self.last() {
            assert_eq!(seq, self.last() + 1, "a hole that nobody told of");
            self.seqs.push(seq);
        }
    }

    /// Reads until it has everything up to `head`.
    async fn read(&mut self, receiver: &mut Receiver, rest: &Rest, room: &str, head: u64) {
        while self.last() < head {
            let Incoming::Frame(kind, frame) = receiver.next().await else { panic!("closed") };
            let payload = &frame["payload"];
            if payload["roomId"] != room {
                continue;
            }
            match (kind.as_str(), payload["seq"].as_u64()) {
                ("room", None) => self.catch_up(rest, room, payload).await,
                (_, Some(seq)) => self.take(seq),
                _ => {}
            }
        }
    }
}

async fn say(rest: &Rest, room: &str, content: &str) -> u64 {
    let path = format!("/api/v1/rooms/{room}/messages");
    let sent = rest.post(&path, &json!({ "content": content })).await.unwrap();
    sent.success().unwrap().number("seq").unwrap()
}

async fn room_of_two(ada: &Rest, ben: &Rest) -> String {
    let me = ben.get("/api/v1/users/me").await.unwrap().success().unwrap();
    let body = json!({"type": "group", "name": "x", "memberIds": [me.text("userId").unwrap()]});
    let made = ada.post("/api/v1/rooms", &body).await.unwrap().success().unwrap();
    made.text("roomId").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_did_not_read_for_a_while_stays_and_reads_from_history_what_a_notice_told() {
    let _turn = quiet::beside_others().await.unwrap();
    let settings = Settings::default().with("KLATCH_REALTIME__ROOM_KIB_PER_SECOND", "1048576");
    let server = Server::start(settings).await.unwrap();
    let (ada, ben) = (server.rest_as("ada"), server.rest_as("ben"));
    let (loud, calm) = (room_of_two(&ada, &ben).await, room_of_two(&ada, &ben).await);
    let token = token::of("ben");
    let (mut sender, mut slow) = socket::connect_narrow(server.address(), &token).await.unwrap();
    sender.send("ping", json!({}), "p").await.unwrap();
    slow.next_of("pong", SOON).await.unwrap();
    let (mut other, mut quick) = socket::connect(server.address(), &token, "").await.unwrap();
    other.send("ping", json!({}), "p").await.unwrap();
    quick.next_of("pong", SOON).await.unwrap();
    let text = "x".repeat(CHARS);
    let head = MESSAGES as u64 + 1;
    let writing = async {
        for n in 0..MESSAGES {
            say(&ada, &loud, &text).await;
            if n == MESSAGES / 2 {
                say(&ada, &calm, "hi").await;
            }
        }
    };
    // The other connection of the same user goes on meanwhile.
    let mut at_once = Have::default();
    tokio::join!(writing, at_once.read(&mut quick, &ben, &loud, head));
    let (mut late, mut late_calm) = (Have::default(), Have::default());
    late.read(&mut slow, &ben, &loud, head).await;
    assert!(late.notices > 0, "it never lagged");
    assert_eq!(late.seqs, at_once.seqs);
    assert_eq!(say(&ada, &calm, "again").await, 3);
    late_calm.catch_up_or_read(&mut slow, &ben, &calm).await;
    assert_eq!(say(&ada, &loud, "whole again").await, head + 1);
    let event = slow.next_of("message", SOON).await.unwrap();
    assert_eq!(event["payload"]["seq"], head + 1);
}

impl Have {
    /// The quiet room came whole, before or after the notice of the other.
    async fn catch_up_or_read(&mut self, receiver: &mut Receiver, rest: &Rest, room: &str) {
        let path = format!("/api/v1/rooms/{room}/messages?after=1");
        let page = rest.get(&path).await.unwrap().success().unwrap();
        assert!(!page.items().unwrap().is_empty());
        self.seqs = vec![2];
        self.read(receiver, rest, room, 3).await;
        assert_eq!((self.last(), self.notices), (3, 0));
    }
}
