/** WebSocket frames: what is sent, and a strict reading of what arrives. */

import type {
  Limits,
  MemberRole,
  MessageId,
  NewMessage,
  Presence,
  Room,
  RoomId,
  Status,
  UserId,
} from './types';
import { DEFAULT_LIMITS } from './types';

interface TimelineEvent {
  roomId: RoomId;
  seq: number;
  position: string;
}

export interface MessageEvent extends TimelineEvent {
  type: 'message';
  messageId: MessageId;
  ordinal: number | null;
  senderId: UserId;
  content: string;
  contentType: string;
  replyTo: MessageId | null;
  threadId: MessageId | null;
  createdAt: string;
  clientMessageId?: string;
}

export interface EditEvent extends TimelineEvent {
  type: 'edit';
  messageId: MessageId;
  targetSeq: number;
  content: string;
  editedAt: string;
}

export interface DeleteEvent extends TimelineEvent {
  type: 'delete';
  messageId: MessageId;
  targetSeq: number;
  deletedAt: string;
}

export interface MemberEvent extends TimelineEvent {
  type: 'member';
  userId: UserId;
  change: 'joined' | 'left' | 'removed' | 'role';
  role?: MemberRole;
  at: string;
}

export interface RoomEvent extends TimelineEvent {
  type: 'room';
  change: 'created' | 'updated' | 'archived' | 'deleted';
  room?: Partial<Room>;
  at: string;
}

/** An event with a place in a room's timeline. */
export type RoomTimelineEvent = MessageEvent | EditEvent | DeleteEvent | MemberEvent | RoomEvent;

/** The light form of `room`: something happened there, fetch it when it matters. */
export interface RoomHint {
  type: 'room-hint';
  roomId: RoomId;
  headSeq?: number;
  /** Where `headSeq` is: reads with it are not stale. Not a place to resume from. */
  headPosition?: string;
  memberCount?: number;
}

/** Someone types, or has stopped; nothing of it stays. */
export interface Typing {
  type: 'typing';
  roomId: RoomId;
  userId: UserId;
  isTyping: boolean;
}

export interface PresenceFrame {
  type: 'presence';
  presence: Presence;
}

export interface Hello {
  type: 'hello';
  connectionId: string;
  userId: UserId;
  heartbeatMs: number;
  positions: string[];
  limits: Limits;
}

export interface Ack {
  type: 'ack';
  requestId: string;
  payload: Record<string, unknown>;
}

export interface ErrorFrame {
  type: 'error';
  requestId?: string;
  code: string;
  title?: string;
  detail?: string;
  retryAfterMs?: number;
}

/** A room in which something happened while away. */
export interface RoomDelta {
  roomId: RoomId;
  /** The newest events, oldest of them first. */
  events: (RoomTimelineEvent | RoomHint)[];
  /** There were more before them. */
  truncated: boolean;
  /** One is no longer in it. */
  left: boolean;
}

export interface Resumed {
  type: 'resumed';
  tier: 'replay' | 'delta' | 'snapshot';
  /** Of a delta. */
  rooms: RoomDelta[];
  /** Another part of the answer follows. */
  more: boolean;
  positions: string[];
}

export type ServerFrame =
  | Hello
  | RoomTimelineEvent
  | RoomHint
  | Typing
  | PresenceFrame
  | Ack
  | ErrorFrame
  | Resumed
  | { type: 'invalid'; reason: string }
  | { type: 'pong'; positions: string[] };

/** What the client says; `requestId` is added by the sender. */
export type ClientFrame =
  | { type: 'message'; payload: NewMessage }
  | { type: 'edit'; payload: { roomId: RoomId; messageId: MessageId; content: string } }
  | { type: 'delete'; payload: { roomId: RoomId; messageId: MessageId } }
  | { type: 'resume'; payload: { positions: string[] } }
  | { type: 'subscribe'; payload: { presence: readonly UserId[]; typing: boolean } }
  | { type: 'typing'; payload: { roomId: RoomId; isTyping: boolean } }
  | { type: 'presence'; payload: { status: Status } }
  | { type: 'ping'; payload: Record<string, never> };

type Fields = Record<string, unknown>;

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(fields: Fields, key: string): string | undefined {
  const value = fields[key];
  return typeof value === 'string' ? value : undefined;
}

function number(fields: Fields, key: string): number | undefined {
  const value = fields[key];
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function texts(fields: Fields, key: string): string[] {
  const value = fields[key];
  return Array.isArray(value) ? value.filter((v): v is string => typeof v === 'string') : [];
}

/**
 * Reads one text frame. Unknown types and broken frames are null: a newer server may say more
 * than this client knows.
 */
export function parseFrame(raw: string): ServerFrame | null {
  let parsed: unknown;
  try {
    parsed = JSON.parse(raw);
  } catch {
    return null;
  }
  if (!isFields(parsed)) return null;
  const type = text(parsed, 'type');
  const payload = isFields(parsed.payload) ? parsed.payload : {};
  const requestId = text(parsed, 'requestId');
  switch (type) {
    case 'hello':
      return parseHello(payload);
    case 'pong':
      return { type: 'pong', positions: texts(payload, 'positions') };
    case 'ack':
      return requestId === undefined ? null : { type: 'ack', requestId, payload };
    case 'error':
      return parseError(payload, requestId);
    case 'resumed':
      return parseResumed(payload);
    case 'invalid':
      return { type: 'invalid', reason: text(payload, 'reason') ?? '' };
    case 'presence':
      return parsePresence(payload);
    case 'typing':
      return parseTyping(payload);
    default:
      return type === undefined ? null : parseEvent(type, payload);
  }
}

function parseHello(p: Fields): Hello | null {
  const user = isFields(p.user) ? p.user : undefined;
  const userId = user && text(user, 'userId');
  if (userId === undefined) return null;
  const limits = isFields(p.limits) ? p.limits : {};
  return {
    type: 'hello',
    connectionId: text(p, 'connectionId') ?? '',
    userId,
    heartbeatMs: number(p, 'heartbeatMs') ?? 30_000,
    positions: texts(p, 'positions'),
    limits: {
      maxFrameBytes: number(limits, 'maxFrameBytes') ?? DEFAULT_LIMITS.maxFrameBytes,
      maxContentChars: number(limits, 'maxContentChars') ?? DEFAULT_LIMITS.maxContentChars,
    },
  };
}

function parseError(p: Fields, requestId: string | undefined): ErrorFrame {
  const frame: ErrorFrame = { type: 'error', code: text(p, 'code') ?? 'unknown' };
  const title = text(p, 'title');
  const detail = text(p, 'detail');
  const retryAfterMs = number(p, 'retryAfterMs');
  if (requestId !== undefined) frame.requestId = requestId;
  if (title !== undefined) frame.title = title;
  if (detail !== undefined) frame.detail = detail;
  if (retryAfterMs !== undefined) frame.retryAfterMs = retryAfterMs;
  return frame;
}

function parseResumed(p: Fields): Resumed {
  const named = text(p, 'tier');
  // An unknown tier is treated as the one that trusts nothing.
  const tier = named === 'replay' || named === 'delta' ? named : 'snapshot';
  const rooms = tier === 'delta' && Array.isArray(p.rooms) ? p.rooms : [];
  return {
    type: 'resumed',
    tier,
    rooms: rooms.flatMap(parseDelta),
    more: p.more === true,
    positions: texts(p, 'positions'),
  };
}

const STATUSES = ['online', 'away', 'dnd', 'offline'] as const;

function parsePresence(p: Fields): PresenceFrame | null {
  const userId = text(p, 'userId');
  const status = oneOf(STATUSES, text(p, 'status'));
  if (userId === undefined || status === undefined) return null;
  const presence: Presence = { userId, status };
  for (const key of ['text', 'emoji', 'expiresAt', 'lastSeen'] as const) {
    const value = text(p, key);
    if (value !== undefined) presence[key] = value;
  }
  return { type: 'presence', presence };
}

function parseTyping(p: Fields): Typing | null {
  const roomId = text(p, 'roomId');
  const userId = text(p, 'userId');
  if (roomId === undefined || userId === undefined || typeof p.isTyping !== 'boolean') return null;
  return { type: 'typing', roomId, userId, isTyping: p.isTyping };
}

function parseDelta(told: unknown): RoomDelta[] {
  if (!isFields(told)) return [];
  const roomId = text(told, 'roomId');
  if (roomId === undefined) return [];
  const frames = Array.isArray(told.events) ? told.events.filter(isFields) : [];
  const events = frames.map((frame) =>
    parseEvent(text(frame, 'type') ?? '', isFields(frame.payload) ? frame.payload : {}),
  );
  const known = events.filter((event) => event !== null);
  // What this client cannot read it must not take for everything.
  const truncated = told.truncated !== false || known.length < frames.length;
  return [{ roomId, events: known, truncated, left: told.left === true }];
}

function parseEvent(type: string, p: Fields): RoomTimelineEvent | RoomHint | null {
  const roomId = text(p, 'roomId');
  if (roomId === undefined) return null;
  const seq = number(p, 'seq');
  const position = text(p, 'position');
  if (seq === undefined || position === undefined) {
    return type === 'room' ? parseHint(roomId, p) : null;
  }
  const place = { roomId, seq, position };
  switch (type) {
    case 'message':
      return parseMessage(place, p);
    case 'edit':
    case 'delete':
      return parseChange(type, place, p);
    case 'member':
      return parseMember(place, p);
    case 'room':
      return parseRoom(place, p);
    default:
      // Reactions, pins and what comes later still count for the room's seq.
      return { type: 'room', ...place, change: 'updated', at: '' };
  }
}

function parseHint(roomId: RoomId, p: Fields): RoomHint {
  const hint: RoomHint = { type: 'room-hint', roomId };
  const headSeq = number(p, 'headSeq');
  const headPosition = text(p, 'headPosition');
  const memberCount = number(p, 'memberCount');
  if (headSeq !== undefined) hint.headSeq = headSeq;
  if (headPosition !== undefined) hint.headPosition = headPosition;
  if (memberCount !== undefined) hint.memberCount = memberCount;
  return hint;
}

function parseMessage(place: TimelineEvent, p: Fields): MessageEvent | null {
  const messageId = text(p, 'messageId');
  const senderId = text(p, 'senderId');
  if (messageId === undefined || senderId === undefined) return null;
  const event: MessageEvent = {
    type: 'message',
    ...place,
    messageId,
    senderId,
    ordinal: number(p, 'ordinal') ?? null,
    content: text(p, 'content') ?? '',
    contentType: text(p, 'contentType') ?? 'text',
    replyTo: text(p, 'replyTo') ?? null,
    threadId: text(p, 'threadId') ?? null,
    createdAt: text(p, 'createdAt') ?? '',
  };
  const clientMessageId = text(p, 'clientMessageId');
  if (clientMessageId !== undefined) event.clientMessageId = clientMessageId;
  return event;
}

function parseChange(
  type: 'edit' | 'delete',
  place: TimelineEvent,
  p: Fields,
): EditEvent | DeleteEvent | null {
  const messageId = text(p, 'messageId');
  const targetSeq = number(p, 'targetSeq');
  if (messageId === undefined || targetSeq === undefined) return null;
  const target = { ...place, messageId, targetSeq };
  if (type === 'delete') return { type, ...target, deletedAt: text(p, 'deletedAt') ?? '' };
  const [content, editedAt] = [text(p, 'content') ?? '', text(p, 'editedAt') ?? ''];
  return { type, ...target, content, editedAt };
}

const MEMBER_CHANGES = ['joined', 'left', 'removed', 'role'] as const;
const ROOM_CHANGES = ['created', 'updated', 'archived', 'deleted'] as const;
const ROLES = ['owner', 'admin', 'member'] as const;

function oneOf<T extends string>(words: readonly T[], word: string | undefined): T | undefined {
  return words.find((w) => w === word);
}

function parseMember(place: TimelineEvent, p: Fields): MemberEvent | null {
  const userId = text(p, 'userId');
  const change = oneOf(MEMBER_CHANGES, text(p, 'change'));
  if (userId === undefined || change === undefined) return null;
  const event: MemberEvent = { type: 'member', ...place, userId, change, at: text(p, 'at') ?? '' };
  const role = oneOf(ROLES, text(p, 'role'));
  if (role !== undefined) event.role = role;
  return event;
}

function parseRoom(place: TimelineEvent, p: Fields): RoomEvent {
  const change = oneOf(ROOM_CHANGES, text(p, 'change')) ?? 'updated';
  const event: RoomEvent = { type: 'room', ...place, change, at: text(p, 'at') ?? '' };
  // Settings stand beside the change; a key that is absent did not change.
  event.room = p as Partial<Room>;
  return event;
}
