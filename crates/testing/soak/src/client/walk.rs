//! Walks through history, page by page, recorded as one operation each.

use klatch_checker::{Call, Direction, Item, Name, Purpose, Reply, Walk, digest};
use serde_json::Value;

use super::live::Who;
use super::stage::Stage;
use crate::rest::{Json, Rest};

/// A walk that is to be made.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The room.
    pub room: Name,
    /// The way.
    pub direction: Direction,
    /// Where it starts, exclusive; `None` is the end of the room in the other direction.
    pub from: Option<u64>,
    /// Items of a page, 1–200.
    pub size: u32,
    /// Pages after which the walk breaks off.
    pub most: usize,
    /// What is owed to it.
    pub purpose: Purpose,
    /// Position that it must have reached, besides those of the person's own writes.
    pub at_least: Option<String>,
}

impl Pages {
    /// The whole room from one end to the other, when all is quiet.
    pub fn finally(room: &Name, direction: Direction, size: u32, at_least: Option<String>) -> Self {
        let from = (direction == Direction::Forward).then_some(0);
        let purpose = Purpose::Final;
        Self { room: room.clone(), direction, from, size, most: usize::MAX, purpose, at_least }
    }
}

/// Makes a walk. False: it was refused or broke off.
pub(super) async fn walk(
    stage: &Stage,
    who: &Who,
    rest: &Rest,
    wrote: impl Fn() -> Option<String>,
    pages: Pages,
) -> bool {
    let Pages { room, direction, from, size, most, purpose, at_least } = pages;
    let asked =
        Walk { room: room.clone(), reader: who.user.clone(), direction, from, page: size, purpose };
    let op = stage.recorder().invoke(who.process, Call::Read(asked));
    // Read after the invocation is on record: what is acknowledged in between may be asked for.
    let position = at_least.or_else(|| wrote().filter(|_| purpose == Purpose::OwnWrites));
    let base = format!("/api/v1/rooms/{room}/messages?limit={size}");
    let mut path = match (direction, from) {
        (Direction::Backward, None) => base.clone(),
        (Direction::Backward, Some(before)) => format!("{base}&before={before}"),
        (Direction::Forward, after) => format!("{base}&after={}", after.unwrap_or(0)),
    };
    let (mut items, mut complete) = (Vec::new(), false);
    for _ in 0..most {
        let Ok(answer) = rest.get_at(&path, position.as_deref()).await else {
            stage.recorder().unknown(op);
            return false;
        };
        let page = match answer.success().and_then(|page| page_of(&page, direction)) {
            Ok(page) => page,
            Err(error) => {
                let code = answer.code();
                let may_be = ["read_model_behind", "room_not_found", "unavailable", "busy"];
                if !may_be.contains(&code.as_str()) {
                    stage.surprise(format!("a page of history failed: {error:#}"));
                }
                stage.recorder().fail(op, &code);
                return false;
            }
        };
        let (found, next) = page;
        if found.len() > size as usize || (found.is_empty() && next.is_some()) {
            stage.surprise(format!("a page of {} for {size}, next {next:?}", found.len()));
        }
        items.extend(found);
        let Some(cursor) = next else {
            complete = true;
            break;
        };
        path = format!("{base}&cursor={cursor}");
    }
    stage.recorder().ok(op, Reply::Page { items, complete });
    true
}

/// A page's items in walk order, and the cursor of the next page.
fn page_of(page: &Json, direction: Direction) -> anyhow::Result<(Vec<Item>, Option<String>)> {
    let mut items = page.items()?.iter().map(item_of).collect::<anyhow::Result<Vec<_>>>()?;
    if direction == Direction::Forward {
        items.reverse();
    }
    Ok((items, page.text("nextCursor").ok()))
}

fn item_of(value: &Value) -> anyhow::Result<Item> {
    let message = Json(value.clone());
    let deleted = value.get("deletedAt").is_some_and(Value::is_string);
    let content = message.text("content")?;
    anyhow::ensure!(!deleted || content.is_empty(), "a deleted message shows its words: {value}");
    Ok(Item {
        seq: message.number("seq")?,
        message: message.text("messageId")?.into(),
        sender: message.text("senderId")?.into(),
        ordinal: value.get("ordinal").and_then(Value::as_u64),
        client: None,
        body: (!deleted).then(|| digest(content.as_bytes())),
        deleted,
    })
}
