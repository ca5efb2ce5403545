//! `--demo`: a room with something in it, a bot that answers, and a line to try.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use klatch_domain::event::{Change, Event, TimelineEvent, UserChange};
use klatch_domain::member::MemberRole;
use klatch_domain::permission::Actor;
use klatch_domain::room::{RoomTexts, RoomType, Visibility};
use klatch_domain::user::ServerRole;
use klatch_domain::{Clock, ContentType, Rejection, RoomId, UserId};
use klatch_ports::StreamId;
use klatch_ports::api::ServiceError;
use klatch_ports::api::commands::{CommandApi, SendMessage};
use klatch_ports::api::import::{ImportApi, ImportItem};
use klatch_ports::log::Record;
use klatch_ports::metadata::MetadataReader;
use klatch_protocol::event::decode;
use klatch_protocol::hash;
use klatch_protocol::sealed::{KeyRing, Place};
use klatch_pump::{ReactError, Reactor, Start};
use parking_lot::Mutex;

const BOT: &str = "demo/bot";
const ROOM: &str = "demo/general";
const BOT_NAME: &str = "klatchbot";
/// Who speaks through the line that is printed.
const SPEAKER: &str = "demo/terminal";
/// The name of who speaks through the line that is printed.
pub(crate) const SPEAKER_NAME: &str = "terminal";
/// People whose first message was answered, before the list begins anew.
const GREETED_MAX: usize = 10_000;

const HELP: &str = "I know `@klatchbot ping`, `@klatchbot count` and `@klatchbot echo …`. Open a \
                    second window and talk to yourself; stop the server and start it again: \
                    nothing is lost.";

/// What the demo made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seeded {
    pub(crate) room: RoomId,
    pub(crate) bot: Actor,
}

/// Makes the demo's room, bot and messages; does nothing when they are there.
pub(crate) async fn seed(
    import: &dyn ImportApi,
    metadata: &dyn MetadataReader,
    clock: &dyn Clock,
) -> anyhow::Result<Seeded> {
    let nobody = Actor { user: UserId::from_bits(0), role: ServerRole::Admin };
    let mut session = import.begin(nobody).await?;
    session.push(items(clock)).await?;
    if let Some(position) = session.position() {
        let most = std::time::Duration::from_secs(10);
        metadata.wait_applied(position.partition, position.offset, most).await?;
    }
    let bot = metadata.user_by_external(hash::external_id("user", BOT)).await?;
    let room = metadata.room_by_external(hash::external_id("room", ROOM)).await?;
    let (Some(bot), Some(room)) = (bot, room) else {
        anyhow::bail!("the demo's room could not be made: is a channel called general there?");
    };
    Ok(Seeded { room, bot: Actor { user: bot, role: ServerRole::Member } })
}

fn items(clock: &dyn Clock) -> Vec<ImportItem> {
    let now = clock.now();
    let message = |id: &str, content: &str, at| ImportItem::Message {
        id: format!("demo/{id}"),
        room: ROOM.to_owned(),
        sender: BOT.to_owned(),
        content: content.to_owned(),
        content_type: ContentType::Text,
        metadata: String::new(),
        reply_to: None,
        thread: None,
        created_at: at,
    };
    let texts = RoomTexts {
        name: Some("general".to_owned()),
        topic: Some("Everyone is here".to_owned()),
        ..RoomTexts::default()
    };
    let bot = |id: &str, username: &str, shown: &str| ImportItem::User {
        id: id.to_owned(),
        username: Some(username.to_owned()),
        display_name: Some(shown.to_owned()),
        email: None,
        bot: true,
        created_at: Some(now),
    };
    vec![
        bot(BOT, BOT_NAME, "Klatch Bot"),
        bot(SPEAKER, SPEAKER_NAME, "Terminal"),
        ImportItem::Room {
            id: ROOM.to_owned(),
            kind: RoomType::Channel,
            visibility: Visibility::Public,
            texts,
            created_by: Some(BOT.to_owned()),
            created_at: Some(now),
        },
        ImportItem::Member {
            room: ROOM.to_owned(),
            user: SPEAKER.to_owned(),
            role: MemberRole::Member,
            created_at: Some(now),
        },
        message("1", "Welcome to **Klatch**. This room is open to everyone on this server.", now),
        message("2", "Every message you see was on disk before its sender was told so.", now),
        message("3", "Say something, or ask me: `@klatchbot help`.", now),
    ]
}

/// Answers in the demo's room.
pub(crate) struct Bot {
    pub(crate) seeded: Seeded,
    pub(crate) commands: Arc<dyn CommandApi>,
    pub(crate) key_ring: Arc<KeyRing>,
    pub(crate) greeted: Mutex<HashSet<UserId>>,
}

#[async_trait]
impl Reactor for Bot {
    fn name(&self) -> &'static str {
        "demo-bot"
    }

    fn stream(&self) -> StreamId {
        StreamId::Messages
    }

    fn start(&self) -> Start {
        Start::Now
    }

    async fn react(&self, record: &Record) -> Result<(), ReactError> {
        let Ok(Event::Timeline(event)) = decode(record.body.clone()) else { return Ok(()) };
        let Change::MessageSent(sent) = &event.change else { return Ok(()) };
        if event.room != self.seeded.room || event.actor == self.seeded.bot.user {
            return Ok(());
        }
        let place = Place::Timeline(event.room, event.seq);
        let Some(body) = self.key_ring.open_body(place, &sent.body).await? else { return Ok(()) };
        let Some((key, content)) = self.answer(&event, &body.content) else { return Ok(()) };
        let message = SendMessage {
            content,
            reply_to: Some(sent.id),
            // A record handed out twice is answered once.
            client_key: Some(key),
            ..SendMessage::default()
        };
        settled(self.commands.send_message(self.seeded.bot, event.room, message).await)
    }
}

impl Bot {
    /// What to say, and the key under which it is said once.
    fn answer(&self, event: &TimelineEvent, said: &str) -> Option<(String, String)> {
        let is_new = {
            let mut greeted = self.greeted.lock();
            if greeted.len() >= GREETED_MAX {
                greeted.clear();
            }
            greeted.insert(event.actor)
        };
        let Some(asked) = said.trim().strip_prefix("@klatchbot").map(str::trim) else {
            // The log knows the key also after a restart: nobody is greeted anew because of it.
            let greeting = "Good to hear you! Ask me with `@klatchbot help`.";
            return is_new.then(|| (format!("greeting-{}", event.actor), greeting.to_owned()));
        };
        let content = match asked {
            "ping" => "pong".to_owned(),
            "count" => format!("This was event {} of this room.", event.seq),
            _ => asked.strip_prefix("echo ").map_or_else(|| HELP.to_owned(), str::to_owned),
        };
        Some((format!("answer-{}", event.seq), content))
    }
}

/// Brings everyone who registers into the demo's room.
pub(crate) struct Host {
    pub(crate) seeded: Seeded,
    pub(crate) commands: Arc<dyn CommandApi>,
}

#[async_trait]
impl Reactor for Host {
    fn name(&self) -> &'static str {
        "demo-host"
    }

    fn stream(&self) -> StreamId {
        StreamId::Meta
    }

    fn start(&self) -> Start {
        Start::Now
    }

    async fn react(&self, record: &Record) -> Result<(), ReactError> {
        let Ok(Event::User(event)) = decode(record.body.clone()) else { return Ok(()) };
        let UserChange::Registered { bot: false, external: None, .. } = event.change else {
            return Ok(());
        };
        let Seeded { room, bot } = self.seeded;
        settled(self.commands.add_member(bot, room, event.user, MemberRole::Member).await)
    }
}

/// A refusal will not change by trying again, and somebody who is in already may stay.
fn settled<T>(answer: Result<T, ServiceError>) -> Result<(), ReactError> {
    match answer {
        Ok(_) | Err(ServiceError::Rejected(Rejection::AlreadyMember)) => Ok(()),
        Err(ServiceError::Rejected(rejection)) => {
            tracing::info!(%rejection, "the demo could not do this");
            Ok(())
        }
        Err(error) => Err(ReactError::Failed(error.to_string())),
    }
}
