/** Reads history: the newest page, older pages, and what is missing in between. */

import { seqOfMessageId } from '../protocol/message-id';
import { Problem } from '../protocol/problem';
import type { Message, MessageId, Page, RoomId } from '../protocol/types';
import { backoffMs } from './backoff';
import { type Core, isPassing } from './core';
import type { Timeline } from './model';
import type { People } from './people';

const PAGE = 50;
const BIG_PAGE = 200;
/** More missing pages than this: start afresh from the newest. */
const CATCH_UP_PAGES = 5;
/** Most pages read to reach an old message. */
const SEEK_PAGES = 20;
const ATTEMPTS = 6;

export class History {
  readonly #core: Core;
  readonly #people: People;
  readonly #position: () => string | undefined;
  readonly #busy = new Map<string, Promise<void>>();

  constructor(core: Core, people: People, position: () => string | undefined) {
    this.#core = core;
    this.#people = people;
    this.#position = position;
  }

  #timeline(roomId: RoomId): Timeline | undefined {
    return this.#core.state.timelines[roomId];
  }

  /** Loads the newest page of a room. */
  load(roomId: RoomId): Promise<void> {
    return this.#once(`load ${roomId}`, async () => {
      this.#core.store.dispatch({ type: 'history/loading', roomId, older: false });
      try {
        await this.#loadNewest(roomId);
      } catch (error) {
        const words = this.#core.words(error);
        this.#failed(roomId, false, words);
      }
    });
  }

  /** Loads the page before the oldest loaded message. */
  loadOlder(roomId: RoomId, limit = PAGE): Promise<void> {
    const timeline = this.#timeline(roomId);
    if (timeline?.status !== 'ready' || timeline.atStart) return Promise.resolve();
    return this.#once(`older ${roomId}`, async () => {
      this.#core.store.dispatch({ type: 'history/loading', roomId, older: true });
      try {
        const before = this.#timeline(roomId)?.from ?? 1;
        const page = await this.#read(roomId, { before, limit });
        this.#merge(roomId, page, 'older');
      } catch (error) {
        this.#failed(roomId, true, this.#core.words(error));
      }
    });
  }

  /**
   * Makes the room's loaded history whole again after a hole or a break: what is newer, and
   * the edits and deletes of what was loaded. Tries again for a while.
   */
  reconcile(roomId: RoomId): Promise<void> {
    return this.#once(`reconcile ${roomId}`, async () => {
      for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
        const timeline = this.#timeline(roomId);
        if (!timeline) return;
        try {
          if (timeline.status === 'ready') await this.#catchUp(roomId, timeline);
          else await this.#loadNewest(roomId);
          return;
        } catch (error) {
          const words = this.#core.words(error);
          if (!isPassing(error)) return this.#failed(roomId, false, words);
          await this.#core.sleep(backoffMs(attempt, this.#core.env.random()));
        }
      }
    });
  }

  /** Loads backwards until the message is there; false if it is too far away or gone. */
  async seek(roomId: RoomId, messageId: MessageId): Promise<boolean> {
    const seq = seqOfMessageId(messageId);
    if (seq === null) return false;
    for (let pages = 0; pages < SEEK_PAGES; pages += 1) {
      const timeline = this.#timeline(roomId);
      if (!timeline) return false;
      if (timeline.items.some((m) => m.messageId === messageId)) return true;
      if (timeline.from <= seq || timeline.atStart) return false;
      await this.loadOlder(roomId, BIG_PAGE);
      if (this.#timeline(roomId)?.older === 'failed') return false;
    }
    return false;
  }

  /** Fetches the parent of a reply that is outside the loaded history. */
  needQuote(roomId: RoomId, messageId: MessageId): void {
    if (this.#core.state.quotes[messageId] !== undefined) return;
    void this.#once(`quote ${messageId}`, async () => {
      try {
        const message = await this.#core.api.message(roomId, messageId);
        this.#people.need([message.senderId]);
        this.#core.store.dispatch({ type: 'quote/loaded', messageId, message });
      } catch (error) {
        this.#core.words(error);
        const gone = error instanceof Problem && error.status === 404;
        if (gone) this.#core.store.dispatch({ type: 'quote/loaded', messageId, message: null });
      }
    });
  }

  async #loadNewest(roomId: RoomId): Promise<void> {
    const head = this.#core.state.rooms[roomId]?.headSeq;
    const position = this.#positionOf(roomId);
    const page = await this.#read(roomId, { limit: PAGE });
    this.#merge(roomId, page, 'replace');
    this.#cover(roomId, head, position);
  }

  async #catchUp(roomId: RoomId, timeline: Timeline): Promise<void> {
    const head = this.#core.state.rooms[roomId]?.headSeq;
    const position = this.#positionOf(roomId);
    const furthest = timeline.ahead.at(-1) ?? 0;
    let after = timeline.headSeen;
    for (let pages = 0; ; pages += 1) {
      if (pages === CATCH_UP_PAGES) return this.#loadNewest(roomId);
      const page = await this.#read(roomId, { after, limit: BIG_PAGE });
      this.#merge(roomId, page, 'newer');
      const newest = page.items[0]?.seq;
      if (!page.nextCursor || newest === undefined) break;
      after = newest;
    }
    await this.#refreshWindow(roomId, timeline);
    // What was heard before the reading began is part of what was read.
    this.#core.store.dispatch({ type: 'history/covered', roomId, seq: furthest });
    this.#cover(roomId, head, position);
  }

  /** Reads again what was loaded before, for edits and deletes that were missed. */
  async #refreshWindow(roomId: RoomId, timeline: Timeline): Promise<void> {
    const oldest = timeline.from;
    let before = timeline.headSeen + 1;
    while (before > oldest) {
      const page = await this.#read(roomId, { before, limit: BIG_PAGE });
      const wanted = page.items.filter((m) => m.seq >= oldest);
      this.#merge(roomId, { items: wanted }, 'newer');
      const last = page.items.at(-1)?.seq;
      if (last === undefined || !page.nextCursor) return;
      before = last;
    }
  }

  /**
   * With a position from the live connection, the page holds everything up to that position, and
   * what is later comes live: the room's head as known before the reading is then covered.
   */
  #cover(roomId: RoomId, head: number | undefined, position: string | undefined): void {
    if (head === undefined || position === undefined) return;
    this.#core.store.dispatch({ type: 'history/covered', roomId, seq: head });
  }

  #positionOf(roomId: RoomId): string | undefined {
    return this.#core.state.roomPositions[roomId] ?? this.#position();
  }

  async #read(
    roomId: RoomId,
    query: { before?: number; after?: number; limit: number },
  ): Promise<Page<Message>> {
    const position = this.#positionOf(roomId);
    const page = await this.#core.api.history(roomId, { ...query, position });
    this.#people.need(page.items.map((m) => m.senderId));
    return page;
  }

  #merge(roomId: RoomId, page: Page<Message>, place: 'replace' | 'older' | 'newer'): void {
    // Left or forgotten meanwhile.
    if (!this.#timeline(roomId)) return;
    const atStart = !page.nextCursor;
    const messages = page.items;
    this.#core.store.dispatch({ type: 'history/loaded', roomId, messages, place, atStart });
  }

  #failed(roomId: RoomId, older: boolean, error: string): void {
    this.#core.store.dispatch({ type: 'history/failed', roomId, older, error });
  }

  #once(key: string, task: () => Promise<void>): Promise<void> {
    const running = this.#busy.get(key);
    if (running) return running;
    const next = task().finally(() => this.#busy.delete(key));
    this.#busy.set(key, next);
    return next;
  }
}
