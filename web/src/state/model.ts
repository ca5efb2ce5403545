/** What the client knows. Plain immutable data; only the reducer makes new states. */

import type {
  Limits,
  Member,
  Message,
  MessageId,
  Presence,
  Room,
  RoomId,
  Self,
  User,
  UserId,
} from '../protocol/types';
import { DEFAULT_LIMITS } from '../protocol/types';

/** A message of a timeline. `key` stays the same from optimistic display to the stored message. */
export interface Entry extends Message {
  key: string;
}

/** A message on its way. */
export interface Outgoing {
  clientMessageId: string;
  roomId: RoomId;
  content: string;
  replyTo: MessageId | null;
  createdAt: string;
  status: 'sending' | 'failed';
  /** Why it failed, in words. */
  error?: string;
}

/** An edit or delete that the server has not told of yet; shown over the message. */
export interface Change {
  kind: 'edit' | 'delete';
  roomId: RoomId;
  content: string;
  /** The event's seq, once acknowledged. */
  seq?: number;
}

export interface Timeline {
  /** Ascending by seq, without repetition; one unbroken stretch of history up to the newest. */
  items: readonly Entry[];
  /** The oldest seq that was read; history before it is not loaded. */
  from: number;
  /** Every event up to this seq is part of `items` (or concerns none of them). */
  headSeen: number;
  /** Seqs seen beyond `headSeen` + 1: while there are any, something is missing between. */
  ahead: readonly number[];
  status: 'loading' | 'ready' | 'failed';
  older: 'idle' | 'loading' | 'failed';
  /** The oldest message is there. */
  atStart: boolean;
  /** Ordinal up to which was read when the room was opened: the "new" line goes below it. */
  readUpTo: number | null;
  error?: string;
}

export interface MemberList {
  items: readonly Member[];
  nextCursor: string | null;
  status: 'loading' | 'ready' | 'failed';
}

/** What is being written in a room. */
export interface Draft {
  text: string;
  mode: { kind: 'new' } | { kind: 'reply' | 'edit'; messageId: MessageId };
  /** The text put aside while an old message is edited. */
  aside?: string;
}

export const EMPTY_DRAFT: Draft = { text: '', mode: { kind: 'new' } };

export type LinkPhase = 'off' | 'connecting' | 'catching-up' | 'live' | 'waiting';

export interface Link {
  phase: LinkPhase;
  /** Failed attempts since the last live connection. */
  attempt: number;
  /** When the next attempt starts, in ms since the epoch, while waiting. */
  nextAt: number | null;
  /** Why there is none, if it is known: sent too much, or refused although the server answers. */
  why?: 'limited' | 'refused';
}

export interface Notice {
  id: string;
  text: string;
  tone: 'error' | 'info';
}

/** What someone had written when their session was ended for them. */
export interface Kept {
  userId: UserId;
  drafts: Readonly<Record<RoomId, Draft>>;
  outbox: readonly Outgoing[];
}

export interface State {
  session: 'unknown' | 'signed-out' | 'signed-in';
  /** Why one is signed out, for the form; null if one wanted it. */
  ended: string | null;
  kept: Kept | null;
  me: Self | null;
  limits: Limits;
  link: Link;
  rooms: Readonly<Record<RoomId, Room>>;
  /** The list of joined rooms: loaded, and whether there is more. */
  roomList: { status: 'loading' | 'ready' | 'failed'; nextCursor: string | null };
  /** Newest position heard of per room, for reads that must not be stale. */
  roomPositions: Readonly<Record<RoomId, string>>;
  users: Readonly<Record<UserId, User>>;
  members: Readonly<Record<RoomId, MemberList>>;
  timelines: Readonly<Record<RoomId, Timeline>>;
  /** Messages on their way, oldest first. */
  outbox: readonly Outgoing[];
  /** The server asked to send slower: until then messages wait, in ms since the epoch. */
  pacedUntil: number | null;
  changes: Readonly<Record<MessageId, Change>>;
  /** Parents of replies that are outside the loaded history; null: gone or not readable. */
  quotes: Readonly<Record<MessageId, Message | null>>;
  drafts: Readonly<Record<RoomId, Draft>>;
  /** Ordinal read per room. */
  read: Readonly<Record<RoomId, number>>;
  openRoom: RoomId | null;
  /** People on the screen, as they are now; who is not here is not known. */
  presence: Readonly<Record<UserId, Presence>>;
  /** Who types where, in the order in which they began. */
  typing: Readonly<Record<RoomId, readonly UserId[]>>;
  notices: readonly Notice[];
}

export const INITIAL: State = {
  session: 'unknown',
  ended: null,
  kept: null,
  me: null,
  limits: DEFAULT_LIMITS,
  link: { phase: 'off', attempt: 0, nextAt: null },
  rooms: {},
  roomList: { status: 'loading', nextCursor: null },
  roomPositions: {},
  users: {},
  members: {},
  timelines: {},
  outbox: [],
  pacedUntil: null,
  changes: {},
  quotes: {},
  drafts: {},
  read: {},
  openRoom: null,
  presence: {},
  typing: {},
  notices: [],
};

export const EMPTY_TIMELINE: Timeline = {
  items: [],
  from: 0,
  headSeen: 0,
  ahead: [],
  status: 'loading',
  older: 'idle',
  atStart: false,
  readUpTo: null,
};
