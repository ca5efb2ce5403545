/** Keeps what is being written in this browser, so that it survives loading the page anew. */

import type { MessageId, RoomId, UserId } from '../protocol/types';
import type { Core } from './core';
import type { Draft, State } from './model';

const KEY = 'klatch.drafts';
const SAVE_DELAY_MS = 500;
/** The newest so many are kept, as long as they are short enough together, */
const ROOMS_MAX = 50;
const CHARS_MAX = 200_000;
/** and for so long. */
const AGE_MAX_MS = 30 * 86_400_000;

interface Saved {
  text: string;
  replyTo?: MessageId;
  /** When it was written last, in ms since the epoch. */
  at: number;
}

/** Of one person: whoever comes after them finds nothing. */
interface Book {
  userId: UserId;
  rooms: Readonly<Record<RoomId, Saved>>;
}

export class Drafts {
  readonly #core: Core;
  /** As they were when last looked at. */
  #seen: State['drafts'] = {};
  /** Written in since they were kept. Other tabs write in other rooms. */
  readonly #dirty = new Set<RoomId>();
  #cancel: (() => void) | null = null;

  constructor(core: Core) {
    this.#core = core;
    core.store.subscribe(() => this.#look());
    core.env.onLeave(() => this.#save());
  }

  /** What the person was writing; what anybody else left is forgotten. */
  of(userId: UserId): Readonly<Record<RoomId, Draft>> {
    const { env } = this.#core;
    const book = read(env.remember(KEY));
    if (book !== null && book.userId !== userId) env.forget(KEY);
    const rooms = book?.userId === userId ? bounded(book.rooms, env.now()) : {};
    const drafts = Object.entries(rooms).map(([roomId, saved]) => [roomId, draftOf(saved)]);
    this.#seen = Object.fromEntries(drafts) as Record<RoomId, Draft>;
    return this.#seen;
  }

  /** The person is gone. */
  forget(): void {
    this.#rest();
    this.#core.env.forget(KEY);
  }

  #look(): void {
    const { drafts, session } = this.#core.state;
    if (drafts === this.#seen) return;
    const before = this.#seen;
    this.#seen = drafts;
    if (session !== 'signed-in') return this.#rest();
    const changed = Object.keys(drafts).filter((roomId) => drafts[roomId] !== before[roomId]);
    for (const roomId of changed) this.#dirty.add(roomId);
    // What was sent must not come back, however soon the page goes.
    if (changed.some((roomId) => savedOf(drafts[roomId], 0) === null)) this.#save();
    else if (changed.length > 0) this.#cancel ??= this.#core.env.after(SAVE_DELAY_MS, this.#save);
  }

  readonly #save = (): void => {
    const { env, state } = this.#core;
    const { me, drafts } = state;
    if (me === null || this.#dirty.size === 0) return this.#rest();
    const book = read(env.remember(KEY));
    const rooms = { ...(book?.userId === me.userId ? book.rooms : {}) };
    for (const roomId of this.#dirty) {
      const saved = savedOf(drafts[roomId], env.now());
      if (saved === null) delete rooms[roomId];
      else rooms[roomId] = saved;
    }
    this.#rest();
    const next: Book = { userId: me.userId, rooms: bounded(rooms, env.now()) };
    if (Object.keys(next.rooms).length === 0) env.forget(KEY);
    else env.keep(KEY, JSON.stringify(next));
  };

  #rest(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#dirty.clear();
  }
}

/** What is worth keeping of a draft. Of an edit only what waits behind it is: the rest was said. */
function savedOf(draft: Draft | undefined, at: number): Saved | null {
  if (draft === undefined) return null;
  const { mode } = draft;
  const text = mode.kind === 'edit' ? (draft.aside ?? '') : draft.text;
  if (text.trim() === '') return null;
  return mode.kind === 'reply' ? { text, replyTo: mode.messageId, at } : { text, at };
}

function draftOf({ text, replyTo }: Saved): Draft {
  if (replyTo === undefined) return { text, mode: { kind: 'new' } };
  return { text, mode: { kind: 'reply', messageId: replyTo } };
}

/** The newest of them. */
function bounded(rooms: Readonly<Record<RoomId, Saved>>, now: number): Record<RoomId, Saved> {
  let left = CHARS_MAX;
  const kept = Object.entries(rooms)
    .filter(([, { at }]) => now - at < AGE_MAX_MS)
    .toSorted(([, a], [, b]) => b.at - a.at)
    .slice(0, ROOMS_MAX)
    .filter(([, { text }]) => {
      if (text.length > left) return false;
      left -= text.length;
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
    return { userId: book.userId, rooms: Object.fromEntries(rooms) as Book['rooms'] };
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
  return value.replyTo === undefined || typeof value.replyTo === 'string';
}
