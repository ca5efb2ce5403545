//! Pages of a room's past.
//!
//! All rows come through one [`MessageReader::history`] call per page: a cache of room tails goes
//! in front of that port, and nothing here changes.

use klatch_domain::{Message, Rejection};
use klatch_ports::api::queries::{HistoryFrom, MessageView, Page};
use klatch_ports::messages::{MessageReader, Range};
use klatch_ports::{ErrorKind, PortError, PortResult};
use klatch_protocol::sealed::KeyRing;

use crate::cursor::{Cursor, REFUSED};

/// The range that a request names.
///
/// # Errors
/// A cursor that is none of a history.
pub(crate) fn range(from: &HistoryFrom) -> Result<Range, Rejection> {
    match from {
        HistoryFrom::Range(range) => Ok(*range),
        HistoryFrom::Cursor(text) => match Cursor::decode(text)? {
            Cursor::Before(seq) => Ok(Range::Before(seq)),
            Cursor::After(seq) => Ok(Range::After(seq)),
            Cursor::Active(..) | Cursor::Room(_) | Cursor::Member(_) | Cursor::Name(..) => {
                Err(REFUSED)
            }
        },
    }
}

/// One page, newest first whatever the direction. Deleted messages are in it without words.
pub(crate) async fn page(
    messages: &dyn MessageReader,
    keys: &KeyRing,
    room: klatch_domain::RoomId,
    range: Range,
    limit: usize,
) -> PortResult<Page<MessageView>> {
    // One row more than asked tells whether there is another page, without a count.
    let mut rows = messages.history(room, range, limit + 1).await?;
    let next = trim(&mut rows, range, limit).map(|cursor| cursor.encode());
    let mut items = Vec::with_capacity(rows.len());
    for message in rows {
        items.push(open_in_list(keys, message).await?);
    }
    Ok(Page { items, next })
}

/// Takes off the row beyond `limit`, and says where the next page begins if there was one.
fn trim(rows: &mut Vec<Message>, range: Range, limit: usize) -> Option<Cursor> {
    if rows.len() <= limit {
        return None;
    }
    match range {
        Range::Latest | Range::Before(_) => {
            rows.truncate(limit);
            rows.last().map(|oldest| Cursor::Before(oldest.seq))
        }
        Range::After(_) => {
            rows.drain(..rows.len() - limit);
            rows.first().map(|newest| Cursor::After(newest.seq))
        }
    }
}

/// A message with its words.
///
/// # Errors
/// As the ports report; damaged words are [`ErrorKind::Corrupt`].
pub(crate) async fn open(keys: &KeyRing, message: Message) -> PortResult<MessageView> {
    let body = keys.open_message(&message).await?;
    Ok(MessageView { message, body })
}

/// The same for one of many: a damaged message is reported and shown without words, so that it
/// does not take the rest of the room with it.
async fn open_in_list(keys: &KeyRing, message: Message) -> PortResult<MessageView> {
    let body = match keys.open_message(&message).await {
        Ok(body) => body,
        Err(error @ PortError { kind: ErrorKind::Corrupt, .. }) => {
            let (room, seq) = (message.room, message.seq);
            tracing::error!(%room, %seq, %error, "the words of a stored message do not open");
            None
        }
        Err(error) => return Err(error),
    };
    Ok(MessageView { message, body })
}
