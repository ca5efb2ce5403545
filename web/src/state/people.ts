/** Learns who the user ids in messages are, each once. */

import type { User, UserId } from '../protocol/types';
import { isUnauthorized } from '../transport/session';
import type { Core } from './core';

const AT_ONCE = 4;

export class People {
  readonly #core: Core;
  readonly #asked = new Set<UserId>();
  readonly #queue: UserId[] = [];
  #running = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Fetches those of `ids` that are not known yet. */
  need(ids: Iterable<UserId>): void {
    for (const id of ids) {
      if (this.#asked.has(id) || this.#core.state.users[id]) continue;
      this.#asked.add(id);
      this.#queue.push(id);
    }
    this.#pump();
  }

  async search(query: string): Promise<User[]> {
    const page = await this.#core.api.searchUsers(query);
    this.#core.store.dispatch({ type: 'users/learned', users: page.items });
    return page.items;
  }

  forget(): void {
    this.#asked.clear();
    this.#queue.length = 0;
  }

  #pump(): void {
    while (this.#running < AT_ONCE) {
      const id = this.#queue.shift();
      if (id === undefined) return;
      this.#running += 1;
      void this.#fetch(id).finally(() => {
        this.#running -= 1;
        this.#pump();
      });
    }
  }

  async #fetch(id: UserId): Promise<void> {
    try {
      const user = await this.#core.api.user(id);
      this.#core.store.dispatch({ type: 'users/learned', users: [user] });
    } catch (error) {
      // Asked again when the id is next seen.
      this.#asked.delete(id);
      if (isUnauthorized(error)) this.#core.words(error);
    }
  }
}
