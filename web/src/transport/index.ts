/**
 * The only door to the network. State talks to these interfaces; `browser.ts` makes them of
 * fetch, WebSocket and cookies.
 */

import type {
  Account,
  AccountPatch,
  ApiToken,
  AuditEntry,
  Invitation,
  InvitationPreview,
  NewBot,
  NewInvitation,
  NewToken,
  SessionInfo,
} from '../protocol/trust';
import type {
  CommandReceipt,
  Member,
  MemberRole,
  Message,
  MessageId,
  NewMessage,
  NewRoom,
  Page,
  Room,
  RoomId,
  Self,
  SendReceipt,
  User,
  UserId,
} from '../protocol/types';

export interface Registration {
  username: string;
  email: string;
  password: string;
  displayName?: string;
  /** From the one-time link that makes the first administrator. */
  setupToken?: string;
  /** From a link that somebody gave them. */
  invitation?: string;
}

/** A new account, and the room that its invitation led to. */
export interface Registered {
  user: Self;
  roomId?: RoomId;
}

export interface Credentials {
  login: string;
  password: string;
}

export interface HistoryQuery {
  before?: number;
  after?: number;
  limit?: number;
  /** Wait until the read model has applied this position. */
  position?: string | undefined;
}

export interface RoomsQuery {
  scope: 'joined' | 'public';
  cursor?: string | undefined;
  limit?: number;
  position?: string | undefined;
}

export interface AccountsQuery {
  /** What the name begins with; empty for all. */
  q: string;
  cursor?: string | undefined;
  /** Only bots, or only people. */
  bot?: boolean;
}

/** One's own account, and others' for those who run the server. */
export interface TrustApi {
  sessions(): Promise<Page<SessionInfo>>;
  endSession(sessionId: string): Promise<void>;
  /** Ends all sessions, this one too. */
  endSessions(): Promise<void>;
  changePassword(currentPassword: string, newPassword: string): Promise<void>;
  requestReset(login: string): Promise<void>;
  resetPassword(token: string, newPassword: string): Promise<void>;

  invitations(roomId: RoomId | undefined, cursor?: string): Promise<Page<Invitation>>;
  invite(invitation: NewInvitation): Promise<Invitation>;
  revokeInvitation(invitationId: string): Promise<void>;
  lookAtInvitation(token: string): Promise<InvitationPreview>;
  acceptInvitation(token: string): Promise<CommandReceipt & { roomId: RoomId }>;

  /** Tokens of programs: one's own, or those of a bot. */
  tokens(bot?: UserId): Promise<Page<ApiToken>>;
  /** The answer is the only one that has the token itself. */
  makeToken(wish: NewToken, bot?: UserId): Promise<ApiToken>;
  endToken(tokenId: string, bot?: UserId): Promise<void>;

  accounts(query: AccountsQuery): Promise<Page<Account>>;
  account(userId: UserId): Promise<Account>;
  makeBot(bot: NewBot): Promise<Account>;
  changeAccount(userId: UserId, patch: AccountPatch): Promise<Account>;
  /** A token that sets their password, for 30 minutes. */
  resetLink(userId: UserId): Promise<{ token: string }>;
  audit(cursor?: string): Promise<Page<AuditEntry>>;
}

/**
 * Every call rejects with a `Problem`. A 401 is answered by one refresh and one repetition, a short
 * 429 by waiting as long as the server says.
 */
export interface Api extends TrustApi {
  /** Whether this browser seems to hold a session (the readable cookie is there). */
  hasSession(): boolean;
  /**
   * From here on calls are made for this person only: once this browser's cookies are another
   * one's they are not made, or their answer is not given, and fail with `another_person`. With null
   * they are made for whomever the cookies stand for.
   */
  actFor(userId: UserId | null): void;
  register(input: Registration): Promise<Registered>;
  login(input: Credentials): Promise<Self>;
  logout(): Promise<void>;
  me(): Promise<Self>;
  /** Renews the access cookie if it is near its end; other tabs are taken into account. */
  renew(): Promise<void>;
  /** Renews it in any case, unless another tab did after `since` (ms since the epoch). */
  renewSince(since: number): Promise<void>;
  /** When the access cookie ends, in ms since the epoch, if known. */
  expiresAt(): number | null;

  rooms(query: RoomsQuery): Promise<Page<Room>>;
  room(roomId: RoomId, position?: string): Promise<Room>;
  createRoom(room: NewRoom): Promise<Room & CommandReceipt>;
  join(roomId: RoomId): Promise<CommandReceipt>;
  leave(roomId: RoomId): Promise<CommandReceipt>;
  members(roomId: RoomId, cursor?: string, position?: string): Promise<Page<Member>>;
  addMember(roomId: RoomId, userId: UserId): Promise<CommandReceipt>;
  changeRole(roomId: RoomId, userId: UserId, role: MemberRole): Promise<CommandReceipt>;
  removeMember(roomId: RoomId, userId: UserId): Promise<CommandReceipt>;

  /** Items come newest first, whatever the direction. */
  history(roomId: RoomId, query: HistoryQuery): Promise<Page<Message>>;
  message(roomId: RoomId, messageId: MessageId): Promise<Message>;
  send(message: NewMessage): Promise<SendReceipt>;
  edit(roomId: RoomId, messageId: MessageId, content: string): Promise<CommandReceipt>;
  remove(roomId: RoomId, messageId: MessageId): Promise<CommandReceipt>;

  user(userId: UserId): Promise<User>;
  searchUsers(query: string): Promise<Page<User>>;
}

/** What a socket reports; after `onClose` nothing more comes. */
export interface SocketEvents {
  onText(text: string): void;
  onClose(code: number, reason: string): void;
}

export interface Socket {
  /** False if the socket is not open; nothing was sent then. */
  send(text: string): boolean;
  close(): void;
}

export interface Transport {
  api: Api;
  /** Sets who is told that a call waits because the server asked for it, and how long. */
  onSlowed(listener: (ms: number) => void): void;
  /** Sets who is told that a call found this browser to be another person's. */
  onAnother(listener: (userId: UserId) => void): void;
  connect(events: SocketEvents): Socket;
}

/** Time, chance and small memory; given in, so that tests decide them. */
export interface Environment {
  now(): number;
  /** Loads the page anew, so that nothing of what it knew remains. */
  restart(): void;
  /** Runs `task` after `ms`; the answer cancels it. */
  after(ms: number, task: () => void): () => void;
  /** 0 ≤ x < 1 */
  random(): number;
  uuid(): string;
  /** Tells when the network comes back or the page is looked at again; the answer stops it. */
  onWake(task: () => void): () => void;
  /** Tells, at most every few seconds, that the person does something; the answer stops it. */
  onTouch(task: () => void): () => void;
  /** Tells that the page may be gone in a moment; the answer stops it. */
  onLeave(task: () => void): () => void;
  /**
   * A string kept in this browser, for whoever uses it; null if there is none. Unsent words of the
   * person lie here until they sign out; never a token, nor anything else that lets someone in.
   */
  remember(key: string): string | null;
  keep(key: string, value: string): void;
  forget(key: string): void;
  /** Tells what another tab has just kept under `key`; null: nothing more. The answer stops it. */
  onKept(key: string, task: (value: string | null) => void): () => void;
}
