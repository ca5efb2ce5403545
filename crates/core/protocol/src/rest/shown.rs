//! Pages of messages as JSON: from what is in memory to the bytes, with nothing made in between.

use std::sync::Arc;

use bytes::Bytes;
use klatch_domain::{MessageId, RoomId, Timestamp, UserId};
use klatch_ports::api::queries::{MessageView, Page, Shown as ShownMessage};
use serde::Serialize;
use serde::ser::Error as _;
use serde_json::value::RawValue;

use super::message::ReactionBody;
use crate::ws::server::Shown;

/// What a message takes besides its words, about.
const REST_BYTES: usize = 512;

/// A page of messages: the same as [`super::page::PageBody`] of [`super::message::MessageBody`],
/// with each message encoded once for all who read it.
///
/// # Errors
/// A message cannot be encoded.
pub fn page_json(page: &Page<Arc<ShownMessage>>) -> serde_json::Result<Vec<u8>> {
    let mut encoded = Vec::with_capacity(page.items.len());
    let mut scratch = Vec::new();
    for shown in &page.items {
        let bytes = shown.encoded(|view| one_json(view, &mut scratch));
        if bytes.is_empty() {
            return Err(serde_json::Error::custom("a message that is no JSON"));
        }
        encoded.push(bytes);
    }
    let length: usize = encoded.iter().map(|bytes| bytes.len() + 1).sum();
    let mut out = Vec::with_capacity(length + 128);
    out.extend_from_slice(br#"{"items":["#);
    for (index, bytes) in encoded.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(bytes);
    }
    out.push(b']');
    if let Some(next) = &page.next {
        out.extend_from_slice(br#","nextCursor":"#);
        serde_json::to_writer(&mut out, next)?;
    }
    out.push(b'}');
    Ok(out)
}

/// One message, empty if it cannot be encoded. It is kept for the next who read it, so it gets just
/// the bytes it needs; `scratch` is what it grows in.
fn one_json(view: &MessageView, scratch: &mut Vec<u8>) -> Bytes {
    scratch.clear();
    scratch.reserve(REST_BYTES + view.body.as_ref().map_or(0, |words| words.content.len()));
    match serde_json::to_writer(&mut *scratch, &Body::of(view)) {
        Ok(()) => Bytes::copy_from_slice(scratch),
        Err(_) => Bytes::new(),
    }
}

/// What [`super::message::MessageBody`] says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    message_id: Shown<MessageId>,
    room_id: Shown<RoomId>,
    seq: u64,
    ordinal: Option<u64>,
    sender_id: Shown<UserId>,
    content: &'a str,
    content_type: &'static str,
    metadata: Option<&'a RawValue>,
    reply_to: Option<Shown<MessageId>>,
    thread_id: Option<Shown<MessageId>>,
    created_at: Shown<Timestamp>,
    edited_at: Option<Shown<Timestamp>>,
    deleted_at: Option<Shown<Timestamp>>,
    reactions: &'static [ReactionBody],
    attachments: &'a [String],
}

impl<'a> Body<'a> {
    fn of(view: &'a MessageView) -> Self {
        let MessageView { message, body: words } = view;
        let metadata = words.as_ref().map(|words| words.metadata.as_str());
        let metadata = metadata.filter(|metadata| !metadata.is_empty());
        Self {
            message_id: Shown(message.id),
            room_id: Shown(message.room),
            seq: message.seq.0,
            ordinal: message.ordinal.map(|ordinal| ordinal.0),
            sender_id: Shown(message.sender),
            content: words.as_ref().map_or("", |words| &words.content),
            content_type: message.content_type.as_str(),
            metadata: metadata.and_then(|metadata| serde_json::from_str(metadata).ok()),
            reply_to: message.reply_to.map(Shown),
            thread_id: message.thread.map(Shown),
            created_at: Shown(message.created_at),
            edited_at: message.edited.map(|(at, _)| Shown(at)),
            deleted_at: message.deleted.map(|(at, _)| Shown(at)),
            reactions: &[],
            attachments: words.as_ref().map_or(&[], |words| &words.attachments),
        }
    }
}

#[cfg(test)]
mod tests {
    use klatch_domain::message::MessageBody as Words;
    use klatch_domain::{ContentType, Message, Ordinal, Seq};

    use super::super::message::MessageBody;
    use super::super::page::PageBody;
    use super::*;

    fn plain(seq: u64) -> MessageView {
        let message = Message {
            id: MessageId::from_bits(u128::from(seq) << 64 | 7),
            room: RoomId::from_bits(5),
            seq: Seq(seq),
            ordinal: None,
            sender: UserId::from_bits(9),
            content_type: ContentType::Text,
            body: None,
            reply_to: None,
            thread: None,
            created_at: Timestamp(1_790_000_000_007),
            edited: None,
            deleted: None,
        };
        MessageView { message, body: None }
    }

    fn full(seq: u64) -> MessageView {
        let mut view = plain(seq);
        view.message.ordinal = Some(Ordinal(seq));
        view.message.content_type = ContentType::Image;
        view.message.reply_to = Some(MessageId::from_bits(3));
        view.message.thread = Some(MessageId::from_bits(4));
        view.message.edited = Some((Timestamp(1_790_000_000_008), Seq(12)));
        view.message.deleted = Some((Timestamp(1_790_000_000_009), Seq(13)));
        view.body = Some(Words {
            content: "\"é\n\u{1}".repeat(300),
            metadata: r#"{"a":[1,"x\" y"]}"#.into(),
            attachments: vec!["one".into(), "t\"wo".into()],
            client_key: Some("key".into()),
            ..Words::default()
        });
        view
    }

    #[test]
    fn a_page_says_what_its_messages_say_one_by_one() {
        let empty = MessageView { body: Some(Words::default()), ..plain(3) };
        for (views, next) in [
            (vec![], None),
            (vec![plain(1)], Some("next\"")),
            (vec![plain(1), full(2), empty, full(4)], None),
        ] {
            let next = next.map(str::to_owned);
            let shown = views.iter().cloned().map(|view| Arc::new(ShownMessage::new(view)));
            let page = Page { items: shown.collect(), next: next.clone() };
            let written = page_json(&page).unwrap();
            let whole = PageBody::of(Page { items: views, next }, MessageBody::from);
            assert_eq!(written, serde_json::to_vec(&whole).unwrap());
            // What was encoded once is the same the next time.
            assert_eq!(page_json(&page).unwrap(), written);
        }
    }
}
