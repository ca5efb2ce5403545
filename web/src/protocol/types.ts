/** The shapes of the REST interface, field for field. */

export type UserId = string;
export type RoomId = string;
export type MessageId = string;

export interface User {
  userId: UserId;
  username: string;
  displayName: string;
  avatar?: string;
  /** A program acts under this name. */
  bot?: boolean;
}

/** What someone's devices, or they themselves, say of whether they are there. */
export type Status = 'online' | 'away' | 'dnd' | 'offline';

/** A person as others see them now. */
export interface Presence {
  userId: UserId;
  status: Status;
  text?: string;
  emoji?: string;
  /** When what they chose ends. */
  expiresAt?: string;
  /** Of someone who is offline, if it is known. */
  lastSeen?: string;
}

/** The signed-in person; fields only they may see are optional. */
export interface Self extends User {
  email?: string;
  role?: string;
  createdAt?: string;
}

export type RoomType = 'direct' | 'group' | 'channel';
export type MemberRole = 'owner' | 'admin' | 'member';

export interface Room {
  roomId: RoomId;
  type: RoomType;
  name?: string;
  visibility: 'public' | 'private';
  description?: string;
  topic?: string;
  avatar?: string;
  createdBy?: UserId;
  createdAt: string;
  archived: boolean;
  memberCount: number;
  headSeq: number;
  lastOrdinal: number;
  lastActivityAt: string;
  role?: MemberRole;
  joined: boolean;
  /** Newest message the asker has read, where the server keeps receipts. */
  readOrdinal?: number;
}

export interface Member extends User {
  role: MemberRole;
  joinedAt: string;
}

export interface Message {
  messageId: MessageId;
  roomId: RoomId;
  seq: number;
  ordinal: number | null;
  senderId: UserId;
  content: string;
  contentType: string;
  replyTo: MessageId | null;
  threadId?: MessageId | null;
  createdAt: string;
  editedAt: string | null;
  deletedAt: string | null;
}

export interface Page<T> {
  items: T[];
  nextCursor?: string | null;
}

/** What a send was answered with, by REST and by WebSocket alike. */
export interface SendReceipt {
  messageId: MessageId;
  roomId: RoomId;
  seq: number;
  ordinal: number | null;
  createdAt: string;
  position: string;
  clientMessageId?: string;
}

/** What any other room command was answered with. */
export interface CommandReceipt {
  seq?: number;
  position?: string;
}

export interface NewMessage {
  roomId: RoomId;
  content: string;
  clientMessageId: string;
  replyTo?: MessageId;
}

export interface NewRoom {
  type: RoomType;
  name?: string;
  visibility?: 'public' | 'private';
  topic?: string;
  memberIds?: UserId[];
}

export interface Limits {
  maxFrameBytes: number;
  maxContentChars: number;
}

export const DEFAULT_LIMITS: Limits = { maxFrameBytes: 65_536, maxContentChars: 40_000 };
