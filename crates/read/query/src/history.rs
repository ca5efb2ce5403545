//! Pages of a room's past: from the tails of busy rooms, or else one
//! [`MessageReader::history`] call per page.

use std::sync::Arc;

use klatch_domain::{Message, Rejection, RoomId};
use klatch_ports::api::queries::{HistoryFrom, MessageView, Page, Shown};
use klatch_ports::messages::{MessageReader, Range};
use klatch_ports::{ErrorKind, PortError, PortResult};
use klatch_protocol::sealed::KeyRing;

use crate::cursor::{Cursor, REFUSED};
use crate::tail::Tails;

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
    tails: &Tails,
    (messages, keys): (&dyn MessageReader, &KeyRing),
    room: RoomId,
    range: Range,
    limit: usize,
) -> PortResult<Page<Arc<Shown>>> {
    if tails.may_answer(room, range, limit)
        && let Some(tail) = tails.of(room).await?
        && let Some((items, more)) = tail.page(range, limit)
    {
        return Ok(Page {
            items: items.to_vec(),
            next: more.then(|| next(items, range)).flatten(),
        });
    }
    // One row more than asked tells whether there is another page, without a count.
    let mut rows = messages.history(room, range, limit + 1).await?;
    let more = trim(&mut rows, range, limit);
    let items = open_all(keys, rows).await?;
    let next = more.then(|| next(&items, range)).flatten();
    Ok(Page { items, next })
}

/// Takes off the row beyond `limit`; whether there was one.
fn trim(rows: &mut Vec<Message>, range: Range, limit: usize) -> bool {
    if rows.len() <= limit {
        return false;
    }
    match range {
        Range::Latest | Range::Before(_) => rows.truncate(limit),
        Range::After(_) => {
            rows.drain(..rows.len() - limit);
        }
    }
    true
}

/// Where the next page begins.
fn next(items: &[Arc<Shown>], range: Range) -> Option<String> {
    let seq = |item: &Arc<Shown>| item.view.message.seq;
    let cursor = match range {
        Range::Latest | Range::Before(_) => Cursor::Before(items.last().map(seq)?),
        Range::After(_) => Cursor::After(items.first().map(seq)?),
    };
    Some(cursor.encode())
}

/// Messages with their words, in the same order.
pub(crate) async fn open_all(keys: &KeyRing, rows: Vec<Message>) -> PortResult<Vec<Arc<Shown>>> {
    let mut items = Vec::with_capacity(rows.len());
    for message in rows {
        items.push(Arc::new(Shown::new(open_in_list(keys, message).await?)));
    }
    Ok(items)
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
