/** One's own account: devices and passwords. */

import type { SessionInfo } from '../protocol/trust';
import type { Core } from './core';
import type { Session } from './session';

export class Account {
  readonly #core: Core;
  readonly #session: Session;

  constructor(core: Core, session: Session) {
    this.#core = core;
    this.#session = session;
  }

  /** Where one is signed in; this device first, then the one used last. */
  async sessions(): Promise<SessionInfo[]> {
    const { items } = await this.#core.api.sessions();
    const rank = (s: SessionInfo) => (s.current ? Number.POSITIVE_INFINITY : Date.parse(s.usedAt));
    return items.toSorted((a, b) => rank(b) - rank(a));
  }

  endSession(sessionId: string): Promise<void> {
    return this.#core.api.endSession(sessionId);
  }

  /** Ends all sessions, then this one on this side. */
  async signOutEverywhere(): Promise<void> {
    await this.#session.endBy(() => this.#core.api.endSessions());
  }

  /** All other devices are signed out by it. */
  changePassword(current: string, next: string): Promise<void> {
    return this.#core.api.changePassword(current, next);
  }

  requestReset(login: string): Promise<void> {
    return this.#core.api.requestReset(login.trim());
  }

  /** Sets the password by a link; all devices are signed out by it, this one too. */
  async resetPassword(token: string, next: string): Promise<void> {
    await this.#core.api.resetPassword(token, next);
    this.#session.end('Your new password is set. Please sign in with it.');
  }
}
