/** Shapes about accounts, invitations and running the server. */

import type { RoomId, User, UserId } from './types';

export type ServerRole = 'guest' | 'member' | 'admin';

/** A device on which someone is signed in. */
export interface SessionInfo {
  sessionId: string;
  /** What the browser or program called itself. */
  device: string;
  createdAt: string;
  usedAt: string;
  expiresAt: string;
  /** It is the one that asks. */
  current: boolean;
}

export interface NewInvitation {
  roomId?: RoomId;
  role?: 'member' | 'guest';
  maxUses?: number;
  expiresAt?: string;
}

export interface Invitation {
  invitationId: string;
  roomId?: RoomId;
  role: ServerRole;
  maxUses: number;
  uses: number;
  expiresAt: string;
  revoked: boolean;
  createdBy: UserId;
  createdAt: string;
  /** Only in the answer that makes it. */
  token?: string;
}

/** What an invitation leads to. */
export interface InvitationPreview {
  roomId?: RoomId;
  roomName?: string;
  role: ServerRole;
  expiresAt: string;
}

/** What a program may use its token for. */
export type Scope = 'read' | 'write' | 'admin';

export interface NewToken {
  /** What it is for. */
  name: string;
  scopes: readonly Scope[];
  /** It does not end by itself without it. */
  expiresAt?: string;
}

/** A token by which a program acts in somebody's name. */
export interface ApiToken {
  tokenId: string;
  userId: UserId;
  name: string;
  scopes: readonly Scope[];
  createdAt: string;
  expiresAt?: string;
  /** Who made it, when that was not the user. */
  madeBy?: UserId;
  /** The secret itself; only in the answer that makes it. */
  token?: string;
}

/** A user under whose name a program acts. */
export interface NewBot {
  username: string;
  displayName?: string;
  role?: 'member' | 'guest';
}

/** An account as administrators see it. */
export interface Account extends User {
  email?: string;
  role: ServerRole;
  bot: boolean;
  banned: boolean;
  hasPassword: boolean;
  createdAt: string;
}

export interface AccountPatch {
  role?: ServerRole;
  banned?: boolean;
}

export interface AuditEntry {
  at: string;
  /** Absent when it was done on the machine itself. */
  by?: UserId;
  act: string;
  userId?: UserId;
  roomId?: RoomId;
  objectId?: string;
  role?: ServerRole;
}
