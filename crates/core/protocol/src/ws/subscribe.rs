//! What a connection chooses to get, and what it tells of what it has got.

use std::collections::HashSet;
use std::hash::Hash;

use klatch_domain::{RoomId, Seq, UserId};
use serde::Deserialize;

use super::client::{Refusal, id};

/// Most ids of each kind in a subscription.
pub const SUBSCRIPTIONS_MAX: usize = 1_000;

/// What a connection wants to get. Each replaces the one before; without one, it is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// Rooms whose events come whole.
    pub rooms: RoomChoice,
    /// People whose presence is told. None by default.
    pub presence: HashSet<UserId>,
    /// Whether it is told who types. Not by default.
    pub typing: bool,
}

/// Rooms whose events come whole; the others only tell that they went on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RoomChoice {
    /// All rooms of the user, also those that begin later.
    #[default]
    All,
    /// These, as far as the user is in them.
    Only(HashSet<RoomId>),
}

impl RoomChoice {
    /// Whether events of `room` come whole.
    pub fn has(&self, room: RoomId) -> bool {
        match self {
            Self::All => true,
            Self::Only(rooms) => rooms.contains(&room),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscribePayload {
    rooms: Option<Rooms>,
    #[serde(default)]
    presence: Vec<String>,
    #[serde(default)]
    typing: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rooms {
    Word(String),
    Ids(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AckPayload {
    room_id: String,
    seq: u64,
}

pub(super) fn subscription(payload: &SubscribePayload) -> Result<Subscription, Refusal> {
    let rooms = match &payload.rooms {
        None => RoomChoice::All,
        Some(Rooms::Word(word)) if word == "all" => RoomChoice::All,
        Some(Rooms::Word(_)) => {
            return Err(("invalid_field", "rooms is \"all\" or a list of ids".to_owned()));
        }
        Some(Rooms::Ids(ids)) => RoomChoice::Only(set(ids, "rooms")?),
    };
    Ok(Subscription {
        rooms,
        presence: set(&payload.presence, "presence")?,
        typing: payload.typing,
    })
}

pub(super) fn received(payload: &AckPayload) -> Result<(RoomId, Seq), Refusal> {
    if payload.seq == 0 {
        return Err(("invalid_field", "seq begins with 1".to_owned()));
    }
    Ok((id(&payload.room_id, "roomId")?, Seq(payload.seq)))
}

fn set<T>(ids: &[String], field: &'static str) -> Result<HashSet<T>, Refusal>
where
    T: std::str::FromStr + Eq + Hash,
{
    if ids.len() > SUBSCRIPTIONS_MAX {
        let detail = format!("{field} has more than {SUBSCRIPTIONS_MAX} ids");
        return Err(("too_many_subscriptions", detail));
    }
    ids.iter().map(|text| id(text, field)).collect()
}

#[cfg(test)]
mod tests {
    use crate::ws::client::{FrameError, Request, parse};

    use super::*;

    const ROOM: &str = "0192f7a0-5c3e-7abc-8def-0123456789ab";
    const OTHER: &str = "0192f7a0-5c3e-7abc-8def-0123456789ac";

    fn subscribe(payload: &str) -> Result<Subscription, FrameError> {
        let text = format!(r#"{{"type":"subscribe","payload":{payload}}}"#);
        match parse(&text)?.request {
            Request::Subscribe(subscription) => Ok(subscription),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subscription_is_read_and_what_it_leaves_out_is_the_default() {
        assert_eq!(subscribe("{}").unwrap(), Subscription::default());
        assert_eq!(subscribe(r#"{"rooms":"all"}"#).unwrap(), Subscription::default());
        let payload = format!(r#"{{"rooms":["{ROOM}"],"presence":["{OTHER}"],"typing":true}}"#);
        let chosen = subscribe(&payload).unwrap();
        assert!(chosen.rooms.has(ROOM.parse().unwrap()));
        assert!(!chosen.rooms.has(OTHER.parse().unwrap()));
        assert!(chosen.presence.contains(&OTHER.parse().unwrap()));
        assert!(chosen.typing);
        let none = subscribe(r#"{"rooms":[]}"#).unwrap();
        assert!(!none.rooms.has(ROOM.parse().unwrap()));
    }

    #[test]
    fn bad_subscriptions_are_refused_by_name() {
        let code = |payload: &str| subscribe(payload).expect_err(payload).code;
        assert_eq!(code(r#"{"rooms":"some"}"#), "invalid_field");
        assert_eq!(code(r#"{"rooms":["x"]}"#), "invalid_field");
        assert_eq!(code(r#"{"rooms":7}"#), "invalid_payload");
        assert_eq!(code(r#"{"room":[]}"#), "invalid_payload");
        let many = |count: usize| {
            let ids: Vec<String> = (0..count).map(|n| format!("{:?}", id_of(n))).collect();
            ids.join(",")
        };
        assert!(subscribe(&format!(r#"{{"rooms":[{}]}}"#, many(1_000))).is_ok());
        for field in ["rooms", "presence"] {
            let payload = format!(r#"{{"{field}":[{}]}}"#, many(1_001));
            assert_eq!(code(&payload), "too_many_subscriptions");
        }
    }

    fn id_of(n: usize) -> String {
        format!("0192f7a0-5c3e-7abc-8def-{n:012x}")
    }

    #[test]
    fn a_receipt_names_a_room_and_a_seq() {
        let ack = |payload: &str| {
            parse(&format!(r#"{{"type":"ack","payload":{payload}}}"#)).map(|frame| frame.request)
        };
        let good = ack(&format!(r#"{{"roomId":"{ROOM}","seq":7}}"#)).unwrap();
        assert_eq!(good, Request::Ack(ROOM.parse().unwrap(), Seq(7)));
        let code = |payload: &str| ack(payload).expect_err(payload).code;
        assert_eq!(code(&format!(r#"{{"roomId":"{ROOM}","seq":0}}"#)), "invalid_field");
        assert_eq!(code(r#"{"roomId":"x","seq":1}"#), "invalid_field");
        assert_eq!(code(&format!(r#"{{"roomId":"{ROOM}","seq":-1}}"#)), "invalid_payload");
        assert_eq!(code(&format!(r#"{{"roomId":"{ROOM}"}}"#)), "invalid_payload");
    }
}
