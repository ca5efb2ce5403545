/** What views ask of the state, computed once per change. */

import type { Member, Room, RoomId, User, UserId } from '../protocol/types';
import type { Outgoing, State } from './model';

function memo<A, B>(compute: (a: A) => B): (a: A) => B {
  let last: { a: A; b: B } | null = null;
  return (a) => {
    if (!last || last.a !== a) last = { a, b: compute(a) };
    return last.b;
  };
}

const byActivity = memo((rooms: State['rooms']): readonly Room[] =>
  Object.values(rooms)
    .filter((room) => room.joined)
    .map((room) => ({ room, at: Date.parse(room.lastActivityAt ?? room.createdAt) }))
    .sort((a, b) => b.at - a.at || (a.room.roomId < b.room.roomId ? -1 : 1))
    .map(({ room }) => room),
);

/** Joined rooms, latest activity first. */
export function joinedRooms(state: State): readonly Room[] {
  return byActivity(state.rooms);
}

/** Messages after the read pointer. */
export function unreadOf(state: State, room: Room): number {
  return Math.max(0, room.lastOrdinal - (state.read[room.roomId] ?? room.lastOrdinal));
}

/** Whether something is written for a room, and not sent. */
export function hasDraft({ drafts }: State, roomId: RoomId): boolean {
  return (drafts[roomId]?.text ?? '').trim() !== '';
}

/** Unread messages over all joined rooms. */
export function totalUnread(state: State): number {
  return joinedRooms(state).reduce((sum, room) => sum + unreadOf(state, room), 0);
}

/** What a room is called: its name, or its other people. */
export function titleOf(state: State, room: Room): string {
  if (room.name) return room.name;
  const members = state.members[room.roomId]?.items ?? [];
  const others = members.filter((m) => m.userId !== state.me?.userId);
  if (others.length > 0) return others.map(nameOf).join(', ');
  if (members.length > 0) return room.type === 'direct' ? 'Notes to yourself' : 'Just you';
  return room.type === 'direct' ? 'Direct message' : 'Group';
}

/** The other person of a direct room, for the picture. */
export function peerOf(state: State, room: Room): Member | undefined {
  if (room.type !== 'direct') return undefined;
  const members = state.members[room.roomId]?.items ?? [];
  return members.find((m) => m.userId !== state.me?.userId) ?? members[0];
}

export function nameOf(user: User): string {
  return user.displayName || user.username;
}

/** The name of a sender, even before it is known. */
export function senderName(users: State['users'], userId: UserId): string {
  const user = users[userId];
  return user ? nameOf(user) : '…';
}

const outboxByRoom = memo((outbox: State['outbox']) => {
  const rooms = new Map<RoomId, Outgoing[]>();
  for (const o of outbox) rooms.set(o.roomId, [...(rooms.get(o.roomId) ?? []), o]);
  return rooms;
});
const NONE: readonly Outgoing[] = [];

/** What is on its way to a room. */
export function outboxOf(state: State, roomId: RoomId): readonly Outgoing[] {
  return outboxByRoom(state.outbox).get(roomId) ?? NONE;
}

/** Who types in a room, in words; empty when nobody does. */
export function typingText(state: State, roomId: RoomId): string {
  const typing = state.typing[roomId] ?? [];
  const names = typing.map((userId) => senderName(state.users, userId)).filter((n) => n !== '…');
  const [first, second] = names;
  if (first === undefined) return typing.length > 0 ? 'Someone is typing…' : '';
  if (second === undefined) return `${first} is typing…`;
  if (names.length === 2) return `${first} and ${second} are typing…`;
  return 'Several people are typing…';
}
