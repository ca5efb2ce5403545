/** Who is there: asks about the people on the screen, and tells about the one before it. */

import type { Presence as PersonPresence, UserId } from '../protocol/types';
import type { Core } from './core';
import type { Live } from './live';

/** What came onto the screen, or left it, is told in one frame. */
const GATHER_MS = 150;
/** The server takes so many people a connection. */
const PEOPLE_MAX = 1_000;
/** Without a touch for so long the person is away. */
const AWAY_MS = 10 * 60_000;
/** Somebody who only reads is told to be there this often, or the server takes them for away. */
const REMIND_MS = 4 * 60_000;

export class Presence {
  readonly #core: Core;
  readonly #live: Live;
  /** How many views show each person. */
  readonly #shown = new Map<UserId, number>();
  #cancelGather: (() => void) | null = null;
  #cancelAway: (() => void) | null = null;
  /** What the server was told last on this connection, and when. */
  #told: { status: 'online' | 'away'; at: number } | null = null;

  constructor(core: Core, live: Live) {
    this.#core = core;
    this.#live = live;
  }

  /** People are on the screen from now on, until the answer is called. */
  watch(users: readonly UserId[]): () => void {
    for (const user of users) this.#shown.set(user, (this.#shown.get(user) ?? 0) + 1);
    if (users.length > 0) this.#askSoon();
    return () => {
      for (const user of users) {
        const left = (this.#shown.get(user) ?? 1) - 1;
        if (left > 0) this.#shown.set(user, left);
        else this.#shown.delete(user);
      }
      if (users.length > 0) this.#askSoon();
    };
  }

  /** A new connection knows nothing of what an earlier one asked. */
  onLive(): void {
    this.#told = { status: 'online', at: this.#core.env.now() };
    this.#ask();
    this.touch();
  }

  /** Nobody tells who is there: then it is not known any more. */
  lost(): void {
    const users = Object.keys(this.#core.state.presence);
    if (users.length > 0) this.#core.store.dispatch({ type: 'presence/forgotten', users });
  }

  hear(presence: PersonPresence): void {
    if (this.#shown.has(presence.userId)) {
      this.#core.store.dispatchSoon({ type: 'presence/told', presence });
    }
  }

  /** The person did something: moved, typed, looked at the page. */
  touch(): void {
    const { env } = this.#core;
    this.#cancelAway?.();
    this.#cancelAway = env.after(AWAY_MS, () => this.#tell('away'));
    const told = this.#told;
    if (told === null) return;
    if (told.status === 'away' || env.now() - told.at >= REMIND_MS) this.#tell('online');
  }

  forget(): void {
    this.#cancelGather?.();
    this.#cancelAway?.();
    this.#cancelGather = null;
    this.#cancelAway = null;
    this.#told = null;
  }

  #tell(status: 'online' | 'away'): void {
    if (this.#told === null) return;
    this.#told = { status, at: this.#core.env.now() };
    this.#live.tell({ type: 'presence', payload: { status } });
  }

  #askSoon(): void {
    this.#cancelGather ??= this.#core.env.after(GATHER_MS, () => {
      this.#cancelGather = null;
      this.#ask();
    });
  }

  #ask(): void {
    const { store } = this.#core;
    const gone = Object.keys(store.get().presence).filter((user) => !this.#shown.has(user));
    if (gone.length > 0) store.dispatch({ type: 'presence/forgotten', users: gone });
    const presence = [...this.#shown.keys()].slice(0, PEOPLE_MAX);
    // A refusal changes nothing: people are shown without a mark then.
    this.#live.request({ type: 'subscribe', payload: { presence, typing: true } }).catch(() => {});
  }
}
