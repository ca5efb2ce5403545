/**
 * Keeps in this browser what was not sent yet, drafts, unfinished edits and messages on their way, so
 * that it survives loading the page anew.
 */

import type { MessageId, RoomId, UserId } from '../protocol/types';
import type { Core } from './core';
import type { Draft, Outgoing, State } from './model';

const KEY = 'klatch.unsent';
/** Who came into this browser last, in any tab; nothing after they went. */
export const PERSON_KEY = 'klatch.person';
const SAVE_DELAY_MS = 500;
/** The newest so many drafts are kept, as long as they are short enough together, */
const ROOMS_MAX = 50;
const CHARS_MAX = 200_000;
/** and for so long. */
const AGE_MAX_MS = 30 * 86_400_000;
/** So many messages that are on their way. */
const MESSAGES_MAX = 100;
/** Later than this nobody expects a message to go out by itself; and the server may know no more
 * that it came already. */
const BY_ITSELF_MS = 3_600_000;
const LATE = 'This was not sent before the page was closed.';

interface Saved {
  /** The draft; while a message is edited what waits behind it, which may be nothing. */
  text: string;
  replyTo?: MessageId;
  edit?: { messageId: MessageId; text: string };
  /** When it was written last, in ms since the epoch. */
  at: number;
}

/** Of one person: whoever comes after them finds nothing. */
interface Book {
  userId: UserId;
  rooms: Readonly<Record<RoomId, Saved>>;
  outbox: readonly Outgoing[];
}

type Kept = Pick<State, 'drafts' | 'outbox'>;

export class Unsent {
  readonly #core: Core;
  /** As they were when last looked at. */
  #seen: Kept = { drafts: {}, outbox: [] };
  /** Written in since they were kept. Other tabs write in other rooms, */
  readonly #dirty = new Set<RoomId>();
  /** and send other messages than these. */
  readonly #own = new Set<string>();
  /** Whose page this is, since they came. */
  #person: UserId | null = null;
  #moved = false;
  #cancel: (() => void) | null = null;

  constructor(core: Core) {
    this.#core = core;
    core.store.subscribe(() => this.#look());
    core.env.onLeave(() => this.#save());
  }

  /** What the person had not sent yet; what anybody else left is forgotten. */
  of(userId: UserId): Kept {
    const { env } = this.#core;
    this.#person = userId;
    env.keep(PERSON_KEY, userId);
    const book = read(env.remember(KEY));
    if (book !== null && book.userId !== userId) env.forget(KEY);
    const own = book?.userId === userId ? book : { rooms: {}, outbox: [] };
    const rooms = Object.entries(bounded(own.rooms, env.now()));
    const drafts = Object.fromEntries(rooms.map(([roomId, saved]) => [roomId, draftOf(saved)]));
    const outbox = own.outbox.map((outgoing) => timely(outgoing, env.now()));
    for (const { clientMessageId } of outbox) this.#own.add(clientMessageId);
    this.#seen = { drafts, outbox };
    return this.#seen;
  }

  /** The person is gone. What somebody keeps here who came after them stays. */
  forget(): void {
    const mine = this.#person === null || this.#isHere();
    this.#rest();
    this.#own.clear();
    this.#person = null;
    if (!mine) return;
    this.#core.env.forget(PERSON_KEY);
    this.#core.env.forget(KEY);
  }

  /** Whether this browser is still this page's person's: another tab may have seen them go. */
  #isHere(): boolean {
    return this.#person !== null && this.#core.env.remember(PERSON_KEY) === this.#person;
  }

  #look(): void {
    const { drafts, outbox, session } = this.#core.state;
    const before = this.#seen;
    if (drafts === before.drafts && outbox === before.outbox) return;
    this.#seen = { drafts, outbox };
    if (session !== 'signed-in') return this.#rest();
    const worth = (draft: Draft | undefined) => savedOf(draft, 0) !== null;
    const changed = Object.keys(drafts)
      .filter((room) => drafts[room] !== before.drafts[room])
      .filter((room) => worth(before.drafts[room]) || worth(drafts[room]));
    for (const roomId of changed) this.#dirty.add(roomId);
    for (const { clientMessageId } of outbox) this.#own.add(clientMessageId);
    this.#moved ||= outbox !== before.outbox;
    if (this.#dirty.size === 0 && !this.#moved) return;
    // What was sent must not come back as a draft, however soon the page goes.
    const over = (room: RoomId) =>
      !worth(drafts[room]) || editOver(before.drafts[room], drafts[room]);
    if (changed.some(over)) this.#save();
    else this.#cancel ??= this.#core.env.after(SAVE_DELAY_MS, this.#save);
  }

  readonly #save = (): void => {
    const { env, state } = this.#core;
    const { me, drafts, outbox } = state;
    if (me === null || !this.#isHere()) return this.#rest();
    if (this.#dirty.size === 0 && !this.#moved) return this.#rest();
    const book = read(env.remember(KEY));
    const known = book?.userId === me.userId ? book : { rooms: {}, outbox: [] };
    const rooms: Record<RoomId, Saved> = { ...known.rooms };
    for (const roomId of this.#dirty) {
      const saved = savedOf(drafts[roomId], env.now());
      if (saved === null) delete rooms[roomId];
      else rooms[roomId] = saved;
    }
    const others = known.outbox.filter((o) => !this.#own.has(o.clientMessageId));
    this.#rest();
    const next: Book = {
      userId: me.userId,
      rooms: bounded(rooms, env.now()),
      outbox: [...others, ...outbox].slice(-MESSAGES_MAX),
    };
    const empty = Object.keys(next.rooms).length === 0 && next.outbox.length === 0;
    if (empty) env.forget(KEY);
    else env.keep(KEY, JSON.stringify(next));
  };

  #rest(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#dirty.clear();
    this.#moved = false;
  }
}

/** A message that waited too long goes out only if the person says so. */
function timely(outgoing: Outgoing, now: number): Outgoing {
  const late = now - Date.parse(outgoing.createdAt) > BY_ITSELF_MS;
  return late && outgoing.status === 'sending'
    ? { ...outgoing, status: 'failed', error: LATE }
    : outgoing;
}

function editOver(before: Draft | undefined, now: Draft | undefined): boolean {
  return before?.mode.kind === 'edit' && now?.mode.kind !== 'edit';
}

/** What is worth keeping of a draft; an edit that was emptied leaves what waits behind it. */
function savedOf(draft: Draft | undefined, at: number): Saved | null {
  if (draft === undefined) return null;
  const { mode } = draft;
  const text = mode.kind === 'edit' ? (draft.aside ?? '') : draft.text;
  if (mode.kind === 'edit' && !isBlank(draft.text)) {
    return { text, edit: { messageId: mode.messageId, text: draft.text }, at };
  }
  if (isBlank(text)) return null;
  return mode.kind === 'reply' ? { text, replyTo: mode.messageId, at } : { text, at };
}

function draftOf({ text, replyTo, edit }: Saved): Draft {
  if (edit !== undefined) {
    const { messageId } = edit;
    return { text: edit.text, mode: { kind: 'edit', messageId }, aside: text };
  }
  if (replyTo === undefined) return { text, mode: { kind: 'new' } };
  return { text, mode: { kind: 'reply', messageId: replyTo } };
}

function isBlank(text: string): boolean {
  return text.trim() === '';
}

function charsOf({ text, edit }: Saved): number {
  return text.length + (edit?.text.length ?? 0);
}

/** The newest of them. */
function bounded(rooms: Readonly<Record<RoomId, Saved>>, now: number): Record<RoomId, Saved> {
  let left = CHARS_MAX;
  const kept = Object.entries(rooms)
    .filter(([, { at }]) => now - at < AGE_MAX_MS)
    .toSorted(([, a], [, b]) => b.at - a.at)
    .slice(0, ROOMS_MAX)
    .filter(([, saved]) => {
      const chars = charsOf(saved);
      if (chars > left) return false;
      left -= chars;
      return true;
    });
  return Object.fromEntries(kept);
}

/** Nothing of what does not look as it was written: another version, or another hand. */
function read(text: string | null): Book | null {
  try {
    const book: unknown = JSON.parse(text ?? 'null');
    if (!isObject(book) || typeof book.userId !== 'string' || !isObject(book.rooms)) return null;
    const rooms = Object.entries(book.rooms).filter(([, saved]) => isSaved(saved));
    const outbox = Array.isArray(book.outbox) ? book.outbox.filter(isOutgoing) : [];
    const { userId } = book;
    return { userId, rooms: Object.fromEntries(rooms) as Book['rooms'], outbox };
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isSaved(value: unknown): value is Saved {
  if (!isObject(value) || typeof value.text !== 'string' || typeof value.at !== 'number') {
    return false;
  }
  if (value.edit !== undefined && !isEdit(value.edit)) return false;
  return value.replyTo === undefined || typeof value.replyTo === 'string';
}

function isEdit(value: unknown): boolean {
  return isObject(value) && typeof value.messageId === 'string' && typeof value.text === 'string';
}

function isOutgoing(value: unknown): value is Outgoing {
  if (!isObject(value)) return false;
  const texts = [value.clientMessageId, value.roomId, value.content, value.createdAt];
  const answers = value.replyTo === null || typeof value.replyTo === 'string';
  const status = value.status === 'sending' || value.status === 'failed';
  const words = value.error === undefined || typeof value.error === 'string';
  return texts.every((text) => typeof text === 'string') && answers && status && words;
}
