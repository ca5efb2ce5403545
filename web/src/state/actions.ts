/** Everything that can happen to the state. */

import type { RoomHint, RoomTimelineEvent } from '../protocol/frames';
import type {
  Limits,
  Member,
  Message,
  MessageId,
  Presence,
  Room,
  RoomId,
  Self,
  SendReceipt,
  User,
  UserId,
} from '../protocol/types';
import type { Change, Draft, Link, Notice, Outgoing, State } from './model';

export type Action =
  | {
      type: 'session/signed-in';
      me: Self;
      read: Readonly<Record<RoomId, number>>;
      /** What this person had not sent yet in this browser. */
      unsent: Pick<State, 'drafts' | 'outbox'>;
    }
  | { type: 'session/self'; me: Self }
  /** With `ended`, not by the person's own wish: what they had written is kept. */
  | { type: 'session/signed-out'; ended: string | null }
  | { type: 'link/changed'; link: Link }
  | { type: 'link/hello'; limits: Limits }
  | { type: 'event'; event: RoomTimelineEvent }
  | { type: 'hint'; hint: RoomHint }
  | { type: 'rooms/loading' }
  | { type: 'rooms/failed' }
  | {
      type: 'rooms/loaded';
      rooms: readonly Room[];
      nextCursor: string | null;
      /** The first page of a fresh list: joined rooms that are not in it may be gone. */
      replace: boolean;
      /** Whether this browser knew the person's rooms before: what is new to it is unread. */
      remembered: boolean;
    }
  | { type: 'room/known'; room: Room; position?: string | undefined; fresh?: boolean }
  | { type: 'room/opened'; roomId: RoomId | null }
  | { type: 'room/read'; roomId: RoomId; ordinal: number }
  | { type: 'members/loading'; roomId: RoomId }
  | { type: 'members/failed'; roomId: RoomId }
  | {
      type: 'members/loaded';
      roomId: RoomId;
      members: readonly Member[];
      nextCursor: string | null;
      append: boolean;
    }
  | { type: 'users/learned'; users: readonly User[] }
  | { type: 'history/loading'; roomId: RoomId; older: boolean }
  | { type: 'history/failed'; roomId: RoomId; older: boolean; error: string }
  | {
      type: 'history/loaded';
      roomId: RoomId;
      messages: readonly Message[];
      /** `replace`: the newest page, instead of all; `older`: before; `newer`: after or within. */
      place: 'replace' | 'older' | 'newer';
      atStart: boolean;
    }
  | { type: 'history/covered'; roomId: RoomId; seq: number }
  | { type: 'history/forgotten'; except: RoomId | null }
  | { type: 'history/dropped'; roomIds: readonly RoomId[] }
  | { type: 'quote/loaded'; messageId: MessageId; message: Message | null }
  | { type: 'outbox/queued'; outgoing: Outgoing }
  | { type: 'outbox/retried'; clientMessageId: string }
  | { type: 'outbox/failed'; clientMessageId: string; error: string }
  | { type: 'outbox/discarded'; clientMessageId: string }
  | { type: 'outbox/confirmed'; clientMessageId: string; receipt: SendReceipt }
  | { type: 'outbox/paced'; until: number | null }
  | { type: 'change/begun'; messageId: MessageId; change: Change }
  | { type: 'change/acknowledged'; messageId: MessageId; seq: number | undefined }
  | { type: 'change/dropped'; messageId: MessageId }
  | { type: 'draft/changed'; roomId: RoomId; draft: Draft }
  | { type: 'presence/told'; presence: Presence }
  | { type: 'presence/forgotten'; users: readonly UserId[] }
  | { type: 'typing/told'; roomId: RoomId; userId: UserId; isTyping: boolean }
  | { type: 'notice/added'; notice: Notice }
  | { type: 'notice/dropped'; id: string };

export type OfType<T extends Action['type']> = Extract<Action, { type: T }>;
