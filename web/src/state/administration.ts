/** Running the server: accounts and what was done to it. */

import type { Account, AccountPatch, AuditEntry } from '../protocol/trust';
import type { Page, UserId } from '../protocol/types';
import type { Core } from './core';
import type { People } from './people';

export class Administration {
  readonly #core: Core;
  readonly #people: People;

  constructor(core: Core, people: People) {
    this.#core = core;
    this.#people = people;
  }

  /** All accounts, or those whose name begins with `query`. */
  async accounts(query: string, cursor?: string): Promise<Page<Account>> {
    const page = await this.#core.api.accounts({ q: query, cursor });
    this.#core.store.dispatch({ type: 'users/learned', users: page.items });
    return page;
  }

  change(userId: UserId, patch: AccountPatch): Promise<Account> {
    return this.#core.api.changeAccount(userId, patch);
  }

  /** A token for `/#/reset/…`; an earlier one works no more. */
  async resetToken(userId: UserId): Promise<string> {
    return (await this.#core.api.resetLink(userId)).token;
  }

  async audit(cursor?: string): Promise<Page<AuditEntry>> {
    const page = await this.#core.api.audit(cursor);
    const ids = page.items.flatMap((entry) => [entry.by, entry.userId]);
    this.#people.need(ids.filter((id) => id !== undefined));
    return page;
  }
}
