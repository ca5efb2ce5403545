/** Who types: tells of the person here, and lets what others told run out. */

import type { Typing as TypingFrame } from '../protocol/frames';
import type { RoomId } from '../protocol/types';
import type { Core } from './core';
import type { Live } from './live';

/** Others are told this often while someone goes on. */
const AGAIN_MS = 3_000;
/** Without a key for so long they have stopped. */
const PAUSE_MS = 5_000;
/** What was told counts for so long. */
const SHOWN_MS = 6_000;

export class Typing {
  readonly #core: Core;
  readonly #live: Live;
  /** Where the person here types, when that was told, and what notices that they stop. */
  #mine: { roomId: RoomId; toldAt: number; cancel: () => void } | null = null;
  readonly #others = new Map<string, () => void>();

  constructor(core: Core, live: Live) {
    this.#core = core;
    this.#live = live;
  }

  /** The person wrote in a room; an empty text means that they gave it up. */
  write(roomId: RoomId, text: string): void {
    if (text.trim() === '') return this.stop();
    const { env } = this.#core;
    if (this.#mine?.roomId !== roomId) this.stop();
    const mine = this.#mine;
    mine?.cancel();
    const due = mine === null || env.now() - mine.toldAt >= AGAIN_MS;
    if (due) this.#live.tell({ type: 'typing', payload: { roomId, isTyping: true } });
    const toldAt = due ? env.now() : mine.toldAt;
    this.#mine = { roomId, toldAt, cancel: env.after(PAUSE_MS, () => this.stop()) };
  }

  /** They stopped without sending. */
  stop(): void {
    const roomId = this.sent();
    if (roomId !== undefined) {
      this.#live.tell({ type: 'typing', payload: { roomId, isTyping: false } });
    }
  }

  /** They sent it: the message says so itself. */
  sent(): RoomId | undefined {
    const mine = this.#mine;
    mine?.cancel();
    this.#mine = null;
    return mine?.roomId;
  }

  hear({ roomId, userId, isTyping }: TypingFrame): void {
    const { env, store } = this.#core;
    const key = `${roomId} ${userId}`;
    this.#others.get(key)?.();
    this.#others.delete(key);
    store.dispatchSoon({ type: 'typing/told', roomId, userId, isTyping });
    if (!isTyping) return;
    const cancel = env.after(SHOWN_MS, () => {
      this.#others.delete(key);
      store.dispatch({ type: 'typing/told', roomId, userId, isTyping: false });
    });
    this.#others.set(key, cancel);
  }

  forget(): void {
    this.sent();
    for (const cancel of this.#others.values()) cancel();
    this.#others.clear();
  }
}
