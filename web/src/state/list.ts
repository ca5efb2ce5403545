/** A list that is read page by page, outside of what is known for all views. */

import type { Page } from '../protocol/types';

export interface ListState<T> {
  readonly items: readonly T[];
  /** Where the next page begins; null while none is known of. */
  readonly cursor: string | null;
  readonly status: 'loading' | 'ready' | 'failed';
}

export type Read<T> = (cursor?: string) => Promise<Page<T>>;

/** Of several readings only the one begun last is taken, whatever became of the page meanwhile. */
export class PagedList<T> {
  readonly #onError: (error: unknown) => void;
  readonly #listeners = new Set<() => void>();
  #state: ListState<T> = { items: [], cursor: null, status: 'loading' };
  #read: Read<T> | null = null;
  /** Where the newest reading began. */
  #from: string | undefined;
  /** Counts readings. */
  #newest = 0;

  /** `onError` is told of every failure, of older readings too. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  readonly get = (): ListState<T> => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Reads the first page, from now on by `read`. What was there stays until the answer. */
  readBy(read: Read<T>): void {
    this.#read = read;
    this.#set({ cursor: null });
    void this.#load(undefined);
  }

  /** Reads the page after the last one. */
  readonly more = (): void => {
    const { cursor, status } = this.#state;
    if (cursor !== null && status === 'ready') void this.#load(cursor);
  };

  /** Reads once more what failed: the pages before it stay. */
  readonly again = (): void => {
    if (this.#state.status === 'failed') void this.#load(this.#from);
  };

  /** Changes what was read, as something done to it changed it on the server. */
  readonly change = (next: (items: readonly T[]) => readonly T[]): void =>
    this.#set({ items: next(this.#state.items) });

  async #load(from: string | undefined): Promise<void> {
    const read = this.#read;
    if (read === null) return;
    this.#newest += 1;
    const mine = this.#newest;
    this.#from = from;
    this.#set({ status: 'loading' });
    try {
      const page = await read(from);
      if (mine !== this.#newest) return;
      const items = from === undefined ? page.items : [...this.#state.items, ...page.items];
      this.#set({ items, cursor: page.nextCursor ?? null, status: 'ready' });
    } catch (error) {
      this.#onError(error);
      if (mine === this.#newest) this.#set({ status: 'failed' });
    }
  }

  #set(over: Partial<ListState<T>>): void {
    this.#state = { ...this.#state, ...over };
    for (const listener of [...this.#listeners]) listener();
  }
}
