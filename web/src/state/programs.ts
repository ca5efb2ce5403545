/** Tokens by which programs act, one's own and those of bots, and the bots themselves. */

import type { Account, ApiToken, NewBot, NewToken } from '../protocol/trust';
import type { Page, RoomId, UserId } from '../protocol/types';
import type { Core } from './core';
import type { People } from './people';
import type { Rooms } from './rooms';

/** A page of bots may be empty with more after it: one wish reads so many at most. */
const PAGES_READ_MAX = 10;

export class Programs {
  readonly #core: Core;
  readonly #people: People;
  readonly #rooms: Rooms;

  constructor(core: Core, people: People, rooms: Rooms) {
    this.#core = core;
    this.#people = people;
    this.#rooms = rooms;
  }

  /** Newest first; of a bot, or one's own. */
  async tokens(bot?: UserId): Promise<Page<ApiToken>> {
    const page = await this.#core.api.tokens(bot);
    this.#people.need(page.items.flatMap(({ madeBy }) => (madeBy === undefined ? [] : [madeBy])));
    return page;
  }

  /** The answer is the only one that has the token itself; it is kept nowhere. */
  makeToken(wish: NewToken, bot?: UserId): Promise<ApiToken> {
    return this.#core.api.makeToken({ ...wish, name: wish.name.trim() }, bot);
  }

  /** The token works no more, and its connections close. */
  endToken(tokenId: string, bot?: UserId): Promise<void> {
    return this.#core.api.endToken(tokenId, bot);
  }

  /** Bots by age, oldest first. */
  async bots(cursor?: string): Promise<Page<Account>> {
    let page = await this.#core.api.accounts({ q: '', cursor, bot: true });
    for (let read = 1; page.items.length === 0 && read < PAGES_READ_MAX; read += 1) {
      const next = page.nextCursor ?? undefined;
      if (next === undefined) break;
      page = await this.#core.api.accounts({ q: '', cursor: next, bot: true });
    }
    this.#learn(page.items);
    return page;
  }

  async bot(userId: UserId): Promise<Account> {
    const account = await this.#core.api.account(userId);
    this.#learn([account]);
    return account;
  }

  async makeBot(wish: NewBot): Promise<Account> {
    const bot = await this.#core.api.makeBot(wish);
    this.#learn([bot]);
    return bot;
  }

  /** Brings a bot into a room that one is in. */
  addToRoom(roomId: RoomId, bot: UserId): Promise<void> {
    return this.#rooms.invite(roomId, bot);
  }

  #learn(users: readonly Account[]): void {
    this.#core.store.dispatch({ type: 'users/learned', users });
  }
}

/** Whether a token has come to its end by itself. */
export function hasEnded(token: ApiToken, now: number): boolean {
  return token.expiresAt !== undefined && Date.parse(token.expiresAt) <= now;
}
