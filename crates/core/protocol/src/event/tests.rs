//! Every form of event goes to the log and back, and the golden files stay readable.

use std::fmt::Write as _;
use std::path::PathBuf;

use bytes::Bytes;
use klatch_domain::event::{MessageSent, RoomCreated, UserChange, UserEvent};
use klatch_domain::member::MemberRole;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{ContentType, MessageId, Ordinal, RoomId, Sealed, Seq, Timestamp, UserId};

use super::*;

fn sealed(n: u128) -> Sealed {
    Sealed { person: UserId::from_bits(n), bytes: Bytes::from_static(b"\x01 sealed words") }
}

fn timeline(change: Change) -> Event {
    Event::Timeline(TimelineEvent {
        room: RoomId::from_bits(0x0192_0000_0000_7000_8000_0000_0000_0001),
        seq: Seq(17),
        at: Timestamp(1_700_000_000_123),
        actor: UserId::from_bits(0x0192_0000_0000_7000_8000_0000_0000_0002),
        change,
    })
}

fn person(change: UserChange) -> Event {
    Event::User(UserEvent { user: UserId::from_bits(3), at: Timestamp(5), change })
}

/// One event of every form. A new form gets a line here and a golden file.
fn every_form() -> Vec<(&'static str, Event)> {
    [message_forms(), room_forms(), user_forms()].concat()
}

fn message_forms() -> Vec<(&'static str, Event)> {
    let message = MessageId::from_bits(77);
    vec![
        (
            "message-sent",
            timeline(Change::MessageSent(MessageSent {
                id: message,
                ordinal: Some(Ordinal(12)),
                content_type: ContentType::Text,
                body: sealed(2),
                key: Some(u128::MAX),
                external: None,
                reply_to: Some(MessageId::from_bits(70)),
                thread: None,
            })),
        ),
        (
            "message-sent-imported",
            timeline(Change::MessageSent(MessageSent {
                id: message,
                ordinal: None,
                content_type: ContentType::File,
                body: sealed(2),
                key: None,
                external: Some(5),
                reply_to: None,
                thread: Some(MessageId::from_bits(71)),
            })),
        ),
        ("message-edited", timeline(Change::MessageEdited { message, body: sealed(2) })),
        ("message-deleted", timeline(Change::MessageDeleted { message })),
    ]
}

fn room_forms() -> Vec<(&'static str, Event)> {
    let user = UserId::from_bits(9);
    let texts =
        RoomTexts {
            name: Some("general".into()), topic: Some("…".into()), ..RoomTexts::default()
        };
    vec![
        (
            "room-created",
            timeline(Change::RoomCreated(RoomCreated {
                kind: RoomType::Channel,
                visibility: Visibility::Public,
                texts: texts.clone(),
                members: vec![
                    (user, MemberRole::Owner),
                    (UserId::from_bits(10), MemberRole::Member),
                ],
                external: Some(1),
            })),
        ),
        ("room-updated", timeline(Change::RoomUpdated { texts, visibility: Visibility::Private })),
        ("room-archived", timeline(Change::RoomArchived { archived: true })),
        ("room-deleted", timeline(Change::RoomDeleted)),
        (
            "member-joined",
            timeline(Change::MemberJoined {
                user,
                role: MemberRole::Member,
                read_floor: Ordinal(4),
            }),
        ),
        ("member-left", timeline(Change::MemberLeft { user })),
        (
            "member-role-changed",
            timeline(Change::MemberRoleChanged { user, role: MemberRole::Admin }),
        ),
    ]
}

fn user_forms() -> Vec<(&'static str, Event)> {
    vec![
        (
            "user-registered",
            person(UserChange::Registered {
                profile: sealed(3),
                bot: true,
                role: ServerRole::Member,
                external: None,
            }),
        ),
        ("profile-changed", person(UserChange::ProfileChanged { profile: sealed(3) })),
        ("role-changed", person(UserChange::RoleChanged { role: ServerRole::Admin })),
        ("user-erased", person(UserChange::Erased)),
    ]
}

#[test]
fn every_form_of_event_survives_the_log() {
    for (name, event) in every_form() {
        let record = encode(&event);
        assert_eq!(decode(record.body), Ok(event), "{name}");
    }
}

/// Golden files hold the bytes of version 1 in hexadecimal. They are never rewritten: a missing
/// one is made when `KLATCH_UPDATE_GOLDEN` is set, an existing one must read back as it did.
#[test]
fn golden_events_still_read_and_are_still_written_alike() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/event");
    for (name, event) in every_form() {
        let path = folder.join(format!("{name}.v1.hex"));
        if !path.exists() && std::env::var_os("KLATCH_UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, to_hex(&encode(&event).body)).unwrap();
        }
        let golden = from_hex(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(decode(golden.clone()), Ok(event.clone()), "{name}");
        assert_eq!(encode(&event).body, golden, "{name}");
    }
}

#[test]
fn damaged_events_are_refused_and_never_panic() {
    for (_, event) in every_form() {
        let body = encode(&event).body;
        for cut in 0..body.len() {
            let _ = decode(body.slice(..cut));
        }
        for bit in 0..body.len() * 8 {
            let mut bytes = body.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(bytes.into());
        }
    }
    assert!(matches!(decode(Bytes::from_static(b"\xff\xff")), Err(DecodeError::Malformed(_))));
    assert_eq!(decode(Bytes::from_static(b"\x08\x02")), Err(DecodeError::Newer(2)));
    assert_eq!(decode(Bytes::from_static(b"\x08\x01")), Err(DecodeError::Field("body")));
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.chunks(32).fold(String::new(), |mut text, line| {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        text
    })
}

fn from_hex(text: &str) -> Bytes {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect::<Vec<u8>>().into()
}
