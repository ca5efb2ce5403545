/** Timeline events, applied as the server applies them; applying one twice changes nothing. */

import type {
  DeleteEvent,
  EditEvent,
  MemberEvent,
  MessageEvent,
  RoomEvent,
  RoomHint,
  RoomTimelineEvent,
} from '../protocol/frames';
import { later } from '../protocol/position';
import type { Room, RoomId } from '../protocol/types';
import type { State, Timeline } from './model';
import { withTyping } from './reduce-people';
import { applyDelete, applyEdit, inMainHistory, insert, markSeen, messageOf } from './timeline';

export function reduceEvent(state: State, event: RoomTimelineEvent): State {
  const fresh = event.seq > (state.rooms[event.roomId]?.headSeq ?? 0);
  const applied = applyByType(state, event, fresh);
  const roomPositions = {
    ...applied.roomPositions,
    [event.roomId]: later(applied.roomPositions[event.roomId], event.position),
  };
  const moved = patchRoom({ ...applied, roomPositions }, event.roomId, (room) => ({
    ...room,
    headSeq: Math.max(room.headSeq, event.seq),
  }));
  return patchTimeline(moved, event.roomId, (timeline) => markSeen(timeline, event.seq));
}

function applyByType(state: State, event: RoomTimelineEvent, fresh: boolean): State {
  switch (event.type) {
    case 'message':
      return applyMessage(state, event);
    case 'edit':
    case 'delete':
      return applyChange(state, event);
    case 'member':
      return applyMember(state, event, fresh);
    case 'room':
      return applyRoom(state, event);
  }
}

function applyMessage(state: State, event: MessageEvent): State {
  const own = event.senderId === state.me?.userId;
  const sent = own ? event.clientMessageId : undefined;
  const key = sent ?? event.messageId;
  const silent = withTyping(state, event.roomId, event.senderId, false);
  let next = patchTimeline(silent, event.roomId, (timeline) => {
    const message = messageOf(event);
    if (!inMainHistory(message)) return timeline;
    return { ...timeline, items: insert(timeline.items, message, key) };
  });
  if (sent !== undefined) {
    next = { ...next, outbox: next.outbox.filter((o) => o.clientMessageId !== sent) };
  }
  next = patchRoom(next, event.roomId, (room) => ({
    ...room,
    lastOrdinal: Math.max(room.lastOrdinal, event.ordinal ?? 0),
    lastActivityAt: newest(event.createdAt, room.lastActivityAt),
  }));
  return own && event.ordinal !== null ? markRead(next, event.roomId, event.ordinal) : next;
}

/** The later of two RFC 3339 times. */
export function newest(a: string, b: string): string {
  return Date.parse(a) > Date.parse(b) ? a : b;
}

function applyChange(state: State, event: EditEvent | DeleteEvent): State {
  const { [event.messageId]: _shown, ...changes } = state.changes;
  const next = patchTimeline(state, event.roomId, (timeline) =>
    event.type === 'edit' ? applyEdit(timeline, event) : applyDelete(timeline, event),
  );
  const quote = next.quotes[event.messageId];
  if (!quote) return { ...next, changes };
  const changed =
    event.type === 'edit'
      ? { ...quote, content: event.content, editedAt: event.editedAt }
      : { ...quote, content: '', deletedAt: event.deletedAt };
  return { ...next, changes, quotes: { ...next.quotes, [event.messageId]: changed } };
}

const COUNT_STEP = { joined: 1, left: -1, removed: -1, role: 0 } as const;

function applyMember(state: State, event: MemberEvent, fresh: boolean): State {
  const mine = event.userId === state.me?.userId;
  const here = event.change === 'joined' || event.change === 'role';
  const next = patchRoom(state, event.roomId, (room) => {
    // A room that was read after this event knows of it already.
    if (!fresh) return room;
    const counted = Math.max(0, room.memberCount + COUNT_STEP[event.change]);
    const changed = { ...room, memberCount: counted };
    if (!mine) return changed;
    const role = event.role ?? room.role;
    return here && role ? { ...changed, joined: true, role } : { ...changed, joined: here };
  });
  const list = next.members[event.roomId];
  if (!list) return next;
  const others = list.items.filter((m) => m.userId !== event.userId);
  const known = list.items.find((m) => m.userId === event.userId);
  const user = known ?? next.users[event.userId];
  const items = !here
    ? others
    : user
      ? [...others, { ...user, joinedAt: event.at, ...known, role: event.role ?? 'member' }]
      : list.items;
  return { ...next, members: { ...next.members, [event.roomId]: { ...list, items } } };
}

const SETTINGS = ['name', 'description', 'topic', 'avatar', 'visibility', 'archived'] as const;

function applyRoom(state: State, event: RoomEvent): State {
  if (event.change === 'deleted') return forgetRoom(state, event.roomId);
  return patchRoom(state, event.roomId, (room) => {
    // The event is the same for all recipients: what is the asker's own stays as it is.
    const told = event.room ?? {};
    const settings = Object.fromEntries(
      SETTINGS.filter((key) => told[key] !== undefined).map((key) => [key, told[key]]),
    );
    return { ...room, ...settings };
  });
}

/** A hint says that the room is further than we know, and where reading it is not stale. */
export function reduceHint(state: State, hint: RoomHint): State {
  const { roomId, headPosition } = hint;
  const roomPositions = headPosition
    ? { ...state.roomPositions, [roomId]: later(state.roomPositions[roomId], headPosition) }
    : state.roomPositions;
  return patchRoom({ ...state, roomPositions }, roomId, (room) => ({
    ...room,
    headSeq: Math.max(room.headSeq, hint.headSeq ?? 0),
    memberCount: hint.memberCount ?? room.memberCount,
  }));
}

/** Moves the read pointer; it never goes back. */
export function markRead(state: State, roomId: RoomId, ordinal: number): State {
  if ((state.read[roomId] ?? 0) >= ordinal) return state;
  return { ...state, read: { ...state.read, [roomId]: ordinal } };
}

export function forgetRoom(state: State, roomId: RoomId): State {
  const { [roomId]: _room, ...rooms } = state.rooms;
  const { [roomId]: _timeline, ...timelines } = state.timelines;
  const { [roomId]: _members, ...members } = state.members;
  return { ...state, rooms, timelines, members };
}

export function patchRoom(state: State, roomId: RoomId, change: (room: Room) => Room): State {
  const room = state.rooms[roomId];
  if (!room) return state;
  return { ...state, rooms: { ...state.rooms, [roomId]: change(room) } };
}

export function patchTimeline(
  state: State,
  roomId: RoomId,
  change: (timeline: Timeline) => Timeline,
): State {
  const timeline = state.timelines[roomId];
  if (!timeline) return state;
  const next = change(timeline);
  if (next === timeline) return state;
  return { ...state, timelines: { ...state.timelines, [roomId]: next } };
}
