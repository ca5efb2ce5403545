/** The one place where a new state is made. */

import type { Message, Room, RoomId } from '../protocol/types';
import type { Action, OfType } from './actions';
import { EMPTY_TIMELINE, INITIAL, type Kept, type State, type Timeline } from './model';
import { markRead, newest, patchTimeline, reduceEvent, reduceHint } from './reduce-events';
import { reducePeople } from './reduce-people';
import { cover, entryAt, inMainHistory, insert, merge } from './timeline';

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case 'event':
      return reduceEvent(state, action.event);
    case 'hint':
      return reduceHint(state, action.hint);
    case 'session/signed-in':
      return signedIn(state, action);
    case 'session/self':
      return state.me?.userId === action.me.userId ? { ...state, me: action.me } : state;
    case 'session/signed-out':
      return { ...INITIAL, session: 'signed-out', ended: action.ended, kept: kept(state, action) };
    case 'link/changed':
      return { ...state, link: action.link };
    case 'link/hello':
      return { ...state, limits: action.limits };
    case 'users/learned':
      return learnUsers(state, action);
    case 'draft/changed':
      return { ...state, drafts: { ...state.drafts, [action.roomId]: action.draft } };
    case 'quote/loaded':
      return { ...state, quotes: { ...state.quotes, [action.messageId]: action.message } };
    case 'presence/told':
    case 'presence/forgotten':
    case 'typing/told':
      return reducePeople(state, action);
    case 'notice/added':
      return { ...state, notices: [...state.notices.slice(-2), action.notice] };
    case 'notice/dropped':
      return { ...state, notices: state.notices.filter((n) => n.id !== action.id) };
    default:
      return reduceRooms(state, action);
  }
}

function signedIn(state: State, { me, read, unsent }: OfType<'session/signed-in'>): State {
  const next: State = { ...INITIAL, session: 'signed-in', me, read, ...unsent };
  const { kept } = state;
  if (kept?.userId !== me.userId) return next;
  const ids = new Set(kept.outbox.map((o) => o.clientMessageId));
  const others = unsent.outbox.filter((o) => !ids.has(o.clientMessageId));
  const drafts = { ...unsent.drafts, ...kept.drafts };
  return { ...next, drafts, outbox: [...others, ...kept.outbox] };
}

function kept(state: State, { ended }: OfType<'session/signed-out'>): Kept | null {
  if (ended === null) return null;
  if (state.me === null) return state.kept;
  return { userId: state.me.userId, drafts: state.drafts, outbox: state.outbox };
}

function reduceRooms(state: State, action: Action): State {
  switch (action.type) {
    case 'rooms/loading':
      return { ...state, roomList: { ...state.roomList, status: 'loading' } };
    case 'rooms/failed':
      return { ...state, roomList: { ...state.roomList, status: 'failed' } };
    case 'rooms/loaded':
      return roomsLoaded(state, action);
    case 'room/known':
      return roomKnown(state, action);
    case 'room/opened':
      return roomOpened(state, action.roomId);
    case 'room/read':
      return markRead(state, action.roomId, action.ordinal);
    case 'members/loading':
    case 'members/failed':
    case 'members/loaded':
      return reduceMembers(state, action);
    default:
      return reduceHistory(state, action);
  }
}

function reduceHistory(state: State, action: Action): State {
  switch (action.type) {
    case 'history/loading':
    case 'history/failed':
      return historyStatus(state, action);
    case 'history/loaded':
      return historyLoaded(state, action);
    case 'history/covered':
      return patchTimeline(state, action.roomId, (t) => cover(t, action.seq));
    case 'history/forgotten':
      return forgetTimelines(state, action.except);
    case 'history/dropped':
      return dropTimelines(state, action.roomIds);
    default:
      return reduceOutgoing(state, action);
  }
}

function reduceOutgoing(state: State, action: Action): State {
  switch (action.type) {
    case 'outbox/queued':
      return { ...state, outbox: [...state.outbox, action.outgoing] };
    case 'outbox/retried':
    case 'outbox/failed':
      return outboxStatus(state, action);
    case 'outbox/discarded':
      return {
        ...state,
        outbox: state.outbox.filter((o) => o.clientMessageId !== action.clientMessageId),
      };
    case 'outbox/confirmed':
      return confirm(state, action);
    case 'outbox/paced':
      return { ...state, pacedUntil: action.until };
    case 'change/begun':
      return { ...state, changes: { ...state.changes, [action.messageId]: action.change } };
    case 'change/acknowledged':
      return changeAcknowledged(state, action);
    case 'change/dropped': {
      const { [action.messageId]: _gone, ...changes } = state.changes;
      return { ...state, changes };
    }
    default:
      return state;
  }
}

function learnUsers(state: State, { users }: OfType<'users/learned'>): State {
  if (users.length === 0) return state;
  const learned = Object.fromEntries(users.map((u) => [u.userId, u]));
  return { ...state, users: { ...state.users, ...learned } };
}

/** What was heard live is never put back by a list that was read a little earlier. */
function mergeRoom(old: Room | undefined, next: Room): Room {
  if (!old) return next;
  return {
    ...next,
    headSeq: Math.max(old.headSeq, next.headSeq ?? 0),
    lastOrdinal: Math.max(old.lastOrdinal, next.lastOrdinal ?? 0),
    lastActivityAt: newest(old.lastActivityAt, next.lastActivityAt ?? ''),
  };
}

/** Where reading of a room begins that this browser has no pointer for. */
function firstRead(room: Room, remembered: boolean): number {
  if (typeof room.readOrdinal === 'number') return room.readOrdinal;
  return remembered && room.type !== 'channel' ? 0 : (room.lastOrdinal ?? 0);
}

function withRooms(state: State, added: readonly Room[], remembered: boolean): State {
  const rooms = { ...state.rooms };
  const read = { ...state.read };
  for (const room of added) {
    rooms[room.roomId] = mergeRoom(rooms[room.roomId], room);
    const known = Math.max(read[room.roomId] ?? -1, room.readOrdinal ?? -1);
    read[room.roomId] = known >= 0 ? known : firstRead(room, remembered);
  }
  return { ...state, rooms, read };
}

function roomsLoaded(state: State, action: OfType<'rooms/loaded'>): State {
  const listed = new Set(action.rooms.map((r) => r.roomId));
  const complete = action.replace && action.nextCursor === null;
  const kept = Object.values(state.rooms).filter(
    (room) => !complete || listed.has(room.roomId) || !room.joined,
  );
  const rooms = Object.fromEntries(kept.map((r) => [r.roomId, r]));
  const roomList = { status: 'ready' as const, nextCursor: action.nextCursor };
  return withRooms({ ...state, rooms, roomList }, action.rooms, action.remembered);
}

function roomKnown(state: State, action: OfType<'room/known'>): State {
  const next = withRooms(state, [action.room], action.fresh ?? false);
  if (action.position === undefined) return next;
  const roomPositions = { ...next.roomPositions, [action.room.roomId]: action.position };
  return { ...next, roomPositions };
}

function roomOpened(state: State, roomId: RoomId | null): State {
  if (roomId === null) return { ...state, openRoom: null };
  const room = state.rooms[roomId];
  const read = state.read[roomId];
  const unread = room !== undefined && read !== undefined && room.lastOrdinal > read;
  const old = state.timelines[roomId] ?? EMPTY_TIMELINE;
  const timeline: Timeline = { ...old, readUpTo: unread ? read : null };
  return { ...state, openRoom: roomId, timelines: { ...state.timelines, [roomId]: timeline } };
}

function reduceMembers(
  state: State,
  action: OfType<'members/loading' | 'members/failed' | 'members/loaded'>,
): State {
  const old = state.members[action.roomId] ?? { items: [], nextCursor: null, status: 'loading' };
  if (action.type !== 'members/loaded') {
    const status = action.type === 'members/failed' ? 'failed' : 'loading';
    return { ...state, members: { ...state.members, [action.roomId]: { ...old, status } } };
  }
  const listed = new Set(action.members.map((m) => m.userId));
  const before = action.append ? old.items.filter((m) => !listed.has(m.userId)) : [];
  const items = [...before, ...action.members];
  const list = { items, nextCursor: action.nextCursor, status: 'ready' as const };
  const learned = learnUsers(state, { type: 'users/learned', users: action.members });
  return { ...learned, members: { ...learned.members, [action.roomId]: list } };
}

function historyStatus(state: State, action: OfType<'history/loading' | 'history/failed'>): State {
  const failed = action.type === 'history/failed';
  return patchTimeline(state, action.roomId, (timeline) => {
    if (action.older) return { ...timeline, older: failed ? 'failed' : 'loading' };
    const error = failed ? { error: action.error } : {};
    return { ...timeline, status: failed ? 'failed' : 'loading', ...error };
  });
}

function historyLoaded(state: State, action: OfType<'history/loaded'>): State {
  const old = state.timelines[action.roomId] ?? EMPTY_TIMELINE;
  const newest = action.messages.reduce((max, m) => Math.max(max, m.seq), 0);
  const base = action.place === 'replace' ? onlyBeyond(old, newest) : old;
  const items = merge(base.items, action.messages.filter(inMainHistory));
  const next: Timeline = { ...base, items, status: 'ready' };
  if (action.place !== 'newer') {
    next.atStart = action.atStart;
    const seqs = action.messages.map((m) => m.seq);
    next.from = action.atStart ? 0 : Math.min(base.from || Infinity, ...seqs);
    next.older = 'idle';
  }
  const timeline = action.place === 'older' ? next : cover(next, newest);
  return { ...state, timelines: { ...state.timelines, [action.roomId]: timeline } };
}

/** Forgets what a new page replaces, but not what was heard live after the page was read. */
function onlyBeyond(timeline: Timeline, seq: number): Timeline {
  return {
    ...timeline,
    from: 0,
    items: timeline.items.filter((entry) => entry.seq > seq),
    headSeen: timeline.headSeen > seq ? timeline.headSeen : 0,
    ahead: timeline.ahead.filter((s) => s > seq),
  };
}

function forgetTimelines(state: State, except: RoomId | null): State {
  const kept = except === null ? undefined : state.timelines[except];
  const timelines = kept && except !== null ? { [except]: kept } : {};
  // Rooms without a name are called after their members, so these stay.
  const named = Object.entries(state.members).filter(([roomId]) => !state.rooms[roomId]?.name);
  return { ...state, timelines, members: Object.fromEntries(named), quotes: {}, changes: {} };
}

function dropTimelines(state: State, roomIds: readonly RoomId[]): State {
  const kept = Object.entries(state.timelines).filter(([roomId]) => !roomIds.includes(roomId));
  return { ...state, timelines: Object.fromEntries(kept) };
}

function outboxStatus(state: State, action: OfType<'outbox/retried' | 'outbox/failed'>): State {
  const outbox = state.outbox.map((o) => {
    if (o.clientMessageId !== action.clientMessageId) return o;
    const { error: _old, ...rest } = o;
    return action.type === 'outbox/failed'
      ? { ...rest, status: 'failed' as const, error: action.error }
      : { ...rest, status: 'sending' as const };
  });
  return { ...state, outbox };
}

/** The ack of a send: the message takes its place, and the event that follows changes nothing. */
function confirm(state: State, action: OfType<'outbox/confirmed'>): State {
  const { receipt, clientMessageId } = action;
  const outgoing = state.outbox.find((o) => o.clientMessageId === clientMessageId);
  const outbox = state.outbox.filter((o) => o !== outgoing);
  if (!outgoing || !state.me) return { ...state, outbox };
  const message: Message = {
    messageId: receipt.messageId,
    roomId: receipt.roomId,
    seq: receipt.seq,
    ordinal: receipt.ordinal ?? null,
    senderId: state.me.userId,
    content: outgoing.content,
    contentType: 'text',
    replyTo: outgoing.replyTo,
    createdAt: receipt.createdAt,
    editedAt: null,
    deletedAt: null,
  };
  const next = patchTimeline({ ...state, outbox }, receipt.roomId, (timeline) =>
    entryAt(timeline.items, receipt.seq)
      ? timeline
      : { ...timeline, items: insert(timeline.items, message, clientMessageId) },
  );
  return message.ordinal === null ? next : markRead(next, receipt.roomId, message.ordinal);
}

function changeAcknowledged(state: State, action: OfType<'change/acknowledged'>): State {
  const change = state.changes[action.messageId];
  if (!change) return state;
  const headSeen = state.timelines[change.roomId]?.headSeen ?? 0;
  const { [action.messageId]: _done, ...others } = state.changes;
  if (action.seq !== undefined && headSeen >= action.seq) return { ...state, changes: others };
  const kept = action.seq === undefined ? change : { ...change, seq: action.seq };
  return { ...state, changes: { ...others, [action.messageId]: kept } };
}
