//! Decides a wish on the state that all wishes before it leave. Pure: no IO, no waiting.

use std::sync::Arc;

use klatch_domain::event::{Change, MessageSent, TimelineEvent};
use klatch_domain::limits;
use klatch_domain::member::{MemberRole, Membership};
use klatch_domain::message::MessageBody;
use klatch_domain::permission::{self, Action, Actor};
use klatch_domain::room::{RoomTextsPatch, RoomType, Visibility};
use klatch_domain::{Entropy, MessageId, Rejection, Timestamp, UserId};
use klatch_protocol::sealed::{PersonCipher, Place};
use smallvec::{SmallVec, smallvec};

use crate::room_state::RoomState;
use crate::wish::{Facts, ImportWish, SendWish, Wish};

/// What a decision needs besides the room.
pub(crate) struct Context<'a> {
    pub(crate) actor: Actor,
    pub(crate) now: Timestamp,
    pub(crate) entropy: &'a dyn Entropy,
    /// Key of the person whose words are in the wish.
    pub(crate) cipher: Option<Arc<PersonCipher>>,
    pub(crate) facts: Option<&'a Facts>,
}

/// The events a wish becomes, in order.
pub(crate) type Events = SmallVec<[TimelineEvent; 1]>;

/// Decides. On success the state has taken the events in; on refusal it is as before.
pub(crate) fn decide(
    state: &mut RoomState,
    wish: &Wish,
    ctx: &Context<'_>,
) -> Result<Events, Rejection> {
    let events = match wish {
        Wish::Send(send) => smallvec![message(state, send, ctx)?],
        Wish::Import(import) => imported(state, import, ctx)?,
        Wish::Edit { message, content } => smallvec![edit(state, *message, content, ctx)?],
        Wish::Delete { message } => smallvec![delete(state, *message, ctx)?],
        Wish::Update { texts, visibility } => smallvec![update(state, texts, *visibility, ctx)?],
        Wish::Archive { archived } => {
            may(state, ctx, Action::Archive)?;
            smallvec![event(state, ctx, Change::RoomArchived { archived: *archived })]
        }
        Wish::DeleteRoom => {
            may(state, ctx, Action::DeleteRoom)?;
            smallvec![event(state, ctx, Change::RoomDeleted)]
        }
        Wish::Join => {
            may(state, ctx, Action::Join)?;
            smallvec![joined(state, ctx, ctx.actor.user, MemberRole::Member)?]
        }
        Wish::Leave => {
            may(state, ctx, Action::Leave)?;
            keep_an_owner(state, ctx, ctx.actor.user, None)?;
            smallvec![event(state, ctx, Change::MemberLeft { user: ctx.actor.user })]
        }
        Wish::Add { user, role } => smallvec![add(state, *user, *role, ctx)?],
        Wish::Remove { user } => smallvec![remove(state, *user, ctx)?],
        Wish::ChangeRole { user, role } => smallvec![change_role(state, *user, *role, ctx)?],
        Wish::ImportMember { user, role, at } => {
            return import_member(state, *user, *role, *at, ctx);
        }
    };
    for event in &events {
        state.apply(event);
    }
    Ok(events)
}

fn may(state: &RoomState, ctx: &Context<'_>, action: Action) -> Result<(), Rejection> {
    let membership = state.member(ctx.actor.user).flatten();
    permission::check(ctx.actor, &state.room, membership, action)
}

fn event(state: &RoomState, ctx: &Context<'_>, change: Change) -> TimelineEvent {
    TimelineEvent {
        room: state.room.id,
        seq: state.head.seq.next(),
        at: state.head.next_time(ctx.now),
        actor: ctx.actor.user,
        change,
    }
}

fn message(
    state: &RoomState,
    wish: &SendWish,
    ctx: &Context<'_>,
) -> Result<TimelineEvent, Rejection> {
    may(state, ctx, Action::Send)?;
    // No key: the account was erased while its token still lived.
    let cipher = ctx.cipher.as_ref().ok_or(Rejection::Forbidden)?;
    if wish.message.thread.is_some() {
        return Err(Rejection::InvalidField("threadId"));
    }
    if wish.message.reply_to.is_some_and(|id| !names_event_of(state, id)) {
        return Err(Rejection::InvalidField("replyTo"));
    }
    let (seq, at) = (state.head.seq.next(), state.head.next_time(ctx.now));
    let body = MessageBody {
        content: wish.message.content.clone(),
        metadata: wish.message.metadata.clone(),
        attachments: wish.message.attachments.clone(),
        client_key: wish.message.client_key.clone(),
        request_hash: wish.request_hash,
    };
    let sent = MessageSent {
        id: MessageId::new(state.room.id, seq, at),
        ordinal: Some(state.head.ordinal.next()),
        content_type: wish.message.content_type,
        body: cipher.seal_body(Place::Timeline(state.room.id, seq), body, ctx.entropy),
        key: wish.key,
        external: None,
        reply_to: wish.message.reply_to,
        thread: None,
    };
    Ok(event(state, ctx, Change::MessageSent(sent)))
}

fn names_event_of(state: &RoomState, id: MessageId) -> bool {
    id.may_be_of(state.room.id) && id.seq() <= state.head.seq && id.seq().0 > 0
}

fn imported(
    state: &mut RoomState,
    import: &ImportWish,
    ctx: &Context<'_>,
) -> Result<Events, Rejection> {
    if state.room.deleted {
        return Err(Rejection::RoomNotFound);
    }
    if import.at < state.head.time {
        return Err(Rejection::OutOfOrder);
    }
    let cipher = ctx.cipher.as_ref().ok_or(Rejection::UserNotFound)?;
    let mut events = Events::new();
    let ctx = Context {
        actor: Actor { user: import.sender, ..ctx.actor },
        now: import.at,
        cipher: None,
        ..*ctx
    };
    let is_member = state.member(import.sender).flatten().is_some_and(Membership::is_current);
    let mut seq = state.head.seq.next();
    if !is_member {
        events.push(joined(state, &ctx, import.sender, MemberRole::Member)?);
        seq = seq.next();
    }
    let body = MessageBody {
        content: import.content.clone(),
        metadata: import.metadata.clone(),
        ..MessageBody::default()
    };
    let room = state.room.id;
    let sent = MessageSent {
        id: MessageId::new(room, seq, import.at),
        ordinal: Some(state.head.ordinal.next()),
        content_type: import.content_type,
        body: cipher.seal_body(Place::Timeline(room, seq), body, ctx.entropy),
        key: None,
        external: Some(import.external),
        reply_to: import.reply_to,
        thread: None,
    };
    events.push(TimelineEvent { seq, ..event(state, &ctx, Change::MessageSent(sent)) });
    Ok(events)
}

fn import_member(
    state: &mut RoomState,
    user: UserId,
    role: MemberRole,
    at: Timestamp,
    ctx: &Context<'_>,
) -> Result<Events, Rejection> {
    let stay = state.member(user).flatten().filter(|stay| stay.is_current());
    let ctx = Context { now: at, actor: ctx.actor, cipher: None, ..*ctx };
    let event = match stay {
        Some(stay) if stay.role == role => return Err(Rejection::AlreadyMember),
        Some(_) => event(state, &ctx, Change::MemberRoleChanged { user, role }),
        None => joined(state, &ctx, user, role)?,
    };
    state.apply(&event);
    Ok(smallvec![event])
}

fn edit(
    state: &RoomState,
    message: MessageId,
    content: &str,
    ctx: &Context<'_>,
) -> Result<TimelineEvent, Rejection> {
    // Whoever may not see the room is told so before anything is said of the message.
    may(state, ctx, Action::Read)?;
    let row = target(state, message, ctx)?;
    if row.sender != ctx.actor.user {
        return Err(Rejection::Forbidden);
    }
    may(state, ctx, Action::EditOwn)?;
    let cipher = ctx.cipher.as_ref().ok_or(Rejection::Forbidden)?;
    let body = MessageBody { content: content.to_owned(), ..MessageBody::default() };
    let place = Place::Timeline(state.room.id, state.head.seq.next());
    let body = cipher.seal_body(place, body, ctx.entropy);
    Ok(event(state, ctx, Change::MessageEdited { message, body }))
}

fn delete(
    state: &RoomState,
    message: MessageId,
    ctx: &Context<'_>,
) -> Result<TimelineEvent, Rejection> {
    may(state, ctx, Action::Read)?;
    let row = target(state, message, ctx)?;
    let own = row.sender == ctx.actor.user;
    may(state, ctx, if own { Action::DeleteOwn } else { Action::DeleteAny })?;
    Ok(event(state, ctx, Change::MessageDeleted { message }))
}

fn target<'a>(
    state: &RoomState,
    message: MessageId,
    ctx: &Context<'a>,
) -> Result<&'a klatch_domain::Message, Rejection> {
    let row = ctx.facts.and_then(|facts| facts.message.as_ref());
    let row = row.filter(|row| row.id == message && row.room == state.room.id);
    let row = row.ok_or(Rejection::MessageNotFound)?;
    if row.deleted.is_some() { Err(Rejection::MessageDeleted) } else { Ok(row) }
}

fn update(
    state: &RoomState,
    texts: &RoomTextsPatch,
    visibility: Option<Visibility>,
    ctx: &Context<'_>,
) -> Result<TimelineEvent, Rejection> {
    may(state, ctx, Action::Update)?;
    let kind = state.room.kind;
    if visibility == Some(Visibility::Public) && kind != RoomType::Channel {
        return Err(Rejection::WrongRoomType);
    }
    let texts = texts.apply(&state.room.texts).checked(kind)?;
    let visibility = visibility.unwrap_or(state.room.visibility);
    Ok(event(state, ctx, Change::RoomUpdated { texts, visibility }))
}

fn joined(
    state: &RoomState,
    ctx: &Context<'_>,
    user: UserId,
    role: MemberRole,
) -> Result<TimelineEvent, Rejection> {
    let most = match state.room.kind {
        RoomType::Direct => 2,
        RoomType::Group => limits::GROUP_MEMBERS_MAX,
        RoomType::Channel => limits::CHANNEL_MEMBERS_MAX,
    };
    if state.room.member_count >= most {
        return Err(Rejection::RoomFull);
    }
    let read_floor = state.head.ordinal;
    Ok(event(state, ctx, Change::MemberJoined { user, role, read_floor }))
}

fn add(
    state: &RoomState,
    user: UserId,
    role: MemberRole,
    ctx: &Context<'_>,
) -> Result<TimelineEvent, Rejection> {
    may(state, ctx, Action::Invite)?;
    if role != MemberRole::Member {
        may(state, ctx, Action::ChangeRole(MemberRole::Member, role))?;
    }
    if !ctx.facts.is_some_and(|facts| facts.user_exists) {
        return Err(Rejection::UserNotFound);
    }
    if state.member(user).flatten().is_some_and(Membership::is_current) {
        return Err(Rejection::AlreadyMember);
    }
    joined(state, ctx, user, role)
}

fn remove(state: &RoomState, user: UserId, ctx: &Context<'_>) -> Result<TimelineEvent, Rejection> {
    may(state, ctx, Action::Read)?;
    let role = member_role(state, user)?;
    if user == ctx.actor.user {
        may(state, ctx, Action::Leave)?;
    } else {
        may(state, ctx, Action::Remove(role))?;
    }
    keep_an_owner(state, ctx, user, None)?;
    Ok(event(state, ctx, Change::MemberLeft { user }))
}

fn change_role(
    state: &RoomState,
    user: UserId,
    role: MemberRole,
    ctx: &Context<'_>,
) -> Result<TimelineEvent, Rejection> {
    may(state, ctx, Action::Read)?;
    let old = member_role(state, user)?;
    may(state, ctx, Action::ChangeRole(old, role))?;
    keep_an_owner(state, ctx, user, Some(role))?;
    Ok(event(state, ctx, Change::MemberRoleChanged { user, role }))
}

fn member_role(state: &RoomState, user: UserId) -> Result<MemberRole, Rejection> {
    let stay = state.member(user).flatten().filter(|stay| stay.is_current());
    stay.map(|stay| stay.role).ok_or(Rejection::MemberNotFound)
}

/// A room with others in it keeps at least one owner.
fn keep_an_owner(
    state: &RoomState,
    ctx: &Context<'_>,
    user: UserId,
    becomes: Option<MemberRole>,
) -> Result<(), Rejection> {
    let is_owner = member_role(state, user)? == MemberRole::Owner;
    let stays_owner = becomes == Some(MemberRole::Owner);
    let others = state.room.member_count > 1 || becomes.is_some();
    let owners = ctx.facts.map_or(0, |facts| facts.owners);
    if is_owner && !stays_owner && others && owners <= 1 {
        return Err(Rejection::LastOwner);
    }
    Ok(())
}
