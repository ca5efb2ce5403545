/** Signing in and out, and keeping the session fresh. */

import { Problem } from '../protocol/problem';
import type { RoomId, Self, UserId } from '../protocol/types';
import type { Credentials, Registration } from '../transport';
import { isUnauthorized } from '../transport/session';
import { backoffMs } from './backoff';
import { type Core, isPassing } from './core';
import { PERSON_KEY, type Unsent } from './unsent';

export interface SessionListener {
  onSignedIn(): void;
  onSignedOut(): void;
}

/** When the life of the access cookie is not known, look again after this time. */
const LOOK_AGAIN_MS = 300_000;
const ENTERING_LOOKS = 4;
/** Who one is does not change often. */
const LOOK_PAUSE_MS = 5_000;
/** It may have been this person on another device, an administrator, or time. */
export const ENDED =
  'You were signed out: this session has ended, perhaps from another device. Please sign in again.';

export class Session {
  readonly #core: Core;
  readonly #unsent: Unsent;
  readonly #listener: SessionListener;
  #cancelRenewal: () => void = () => {};
  /** Who was signed in last since the page was loaded. */
  #last: UserId | null = null;
  #lookedAt = 0;
  /** Who is here is ending the session, and waits for the answer. */
  #ending = false;
  /** What was told of its end meanwhile. */
  #told: string | null = null;
  /** Ends the waiting of a look that came too soon after another. */
  #cancelLook: (() => void) | null = null;

  constructor(core: Core, unsent: Unsent, listener: SessionListener) {
    this.#core = core;
    this.#unsent = unsent;
    this.#listener = listener;
    core.onUnauthorized = () => this.end(ENDED);
    core.onForbidden = () => void this.lookAgain();
    core.env.onWake(() => void this.lookAgain());
    core.env.onKept(PERSON_KEY, (userId) => {
      if (userId !== null) this.yieldTo(userId);
    });
  }

  /** Takes up the session of an earlier visit, if there is one; keeps trying while offline. */
  async restore(): Promise<void> {
    if (!this.#core.api.hasSession()) return this.end();
    for (let attempt = 0; this.#core.state.session === 'unknown'; attempt += 1) {
      try {
        return this.#begin(await this.#core.api.me());
      } catch (error) {
        if (isOver(error)) return this.end(ENDED);
        this.#core.store.dispatch({
          type: 'link/changed',
          link: { phase: 'waiting', attempt, nextAt: null },
        });
        await this.#core.sleep(backoffMs(attempt, this.#core.env.random()));
      }
    }
  }

  async login(input: Credentials): Promise<void> {
    this.#begin(await this.#core.api.login(input));
  }

  /** Tells `entered` of the room that an invitation led to, before anything of it is shown. */
  async register(input: Registration, entered?: (roomId: RoomId) => void): Promise<void> {
    const { user, roomId } = await this.#core.api.register(input);
    if (roomId !== undefined) {
      await this.#waitFor(roomId);
      entered?.(roomId);
    }
    this.#begin(user);
  }

  /** Reads may be behind for a moment; what cannot be read is told when the room is opened. */
  async #waitFor(roomId: RoomId): Promise<void> {
    for (let attempt = 0; attempt < ENTERING_LOOKS; attempt += 1) {
      try {
        await this.#core.api.room(roomId);
        return;
      } catch {
        await this.#core.sleep(backoffMs(attempt, this.#core.env.random()));
      }
    }
  }

  /** Ends the session on the server, and then on this side. */
  async logout(): Promise<void> {
    const over = (error: unknown) => {
      if (!(error instanceof Problem && error.status === 401)) throw error;
    };
    try {
      await this.endBy(() => this.#core.api.logout().catch(over));
    } catch (error) {
      this.#core.report(error);
    }
  }

  /**
   * Ends all of the session by asking the server for it. The connection may be told before the
   * answer is here: who wanted the end need not hear that it came.
   */
  async endBy(ask: () => Promise<void>): Promise<void> {
    this.#ending = true;
    try {
      await ask();
      this.#told = null;
    } finally {
      this.#ending = false;
      const told = this.#told;
      this.#told = null;
      // Without an answer it may have been someone else.
      if (told !== null) this.end(told);
    }
    this.end();
  }

  /** Ends the session on this side. With `ended`, words for the form, it was not wanted here. */
  end(ended: string | null = null): void {
    if (this.#ending) {
      this.#told = ended;
      return;
    }
    const over = this.#core.state.session === 'signed-out';
    if (over && ended === null) return;
    // This page still knows it for the same person; this browser does not.
    if (!over) this.#unsent.forget();
    this.#leave(ended);
  }

  /**
   * In this browser someone else may have signed in since, in another tab: then this page, with all
   * it knows of the one before, makes way for a fresh one. Answers whether it did.
   */
  yieldTo(userId: UserId): boolean {
    const { me } = this.#core.state;
    if (me === null || me.userId === userId) return false;
    this.#leave(null);
    this.#core.env.restart();
    return true;
  }

  /** From here on nothing is done in this person's name. */
  #leave(ended: string | null): void {
    this.#cancelRenewal();
    this.#cancelLook?.();
    this.#cancelLook = null;
    this.#core.api.actFor(null);
    if (this.#core.state.session !== 'signed-out') this.#listener.onSignedOut();
    this.#core.store.dispatch({ type: 'session/signed-out', ended });
  }

  /** Whether another look would have to wait. */
  get lookedJustNow(): boolean {
    return this.#core.env.now() - this.#lookedAt < LOOK_PAUSE_MS;
  }

  /**
   * Asks who one is again: a role may have changed. Soon after another look it waits its turn, one
   * for all who ask. Without an answer all stays as it was.
   */
  async lookAgain(): Promise<void> {
    const { api, env, state } = this.#core;
    if (state.session !== 'signed-in') return;
    const before = this.#lookedAt;
    const now = env.now();
    if (this.lookedJustNow) {
      this.#cancelLook ??= env.after(before + LOOK_PAUSE_MS - now, () => {
        this.#cancelLook = null;
        void this.lookAgain();
      });
      return;
    }
    this.#lookedAt = now;
    try {
      this.#learnSelf(await api.me());
    } catch (error) {
      // Who got no answer has not looked.
      if (isPassing(error) && this.#lookedAt === now) this.#lookedAt = before;
      // A refusal of this very question is no reason to ask it again.
      if (isUnauthorized(error)) this.#core.words(error);
    }
  }

  #learnSelf(me: Self): void {
    const { state, store } = this.#core;
    if (state.session !== 'signed-in' || this.yieldTo(me.userId)) return;
    // Views that ask the server by what one may do ask anew only if that changed.
    if (JSON.stringify(me) !== JSON.stringify(state.me))
      store.dispatch({ type: 'session/self', me });
  }

  /** Keeps what was read, for the next visit of this person in this browser. */
  saveRead(): void {
    const { me, read } = this.#core.state;
    if (me) this.#core.env.keep(readKey(me), JSON.stringify(read));
  }

  #begin(me: Self): void {
    // Answers that are still on their way belong to who was here before.
    const another = this.#last !== null && this.#last !== me.userId;
    this.#last = me.userId;
    this.#lookedAt = this.#core.env.now();
    if (another) return this.#core.env.restart();
    this.#core.api.actFor(me.userId);
    const read = this.#savedRead(me);
    const unsent = this.#unsent.of(me.userId);
    this.#core.store.dispatch({ type: 'session/signed-in', me, read, unsent });
    this.#core.store.dispatch({ type: 'users/learned', users: [me] });
    this.#scheduleRenewal();
    this.#listener.onSignedIn();
  }

  #scheduleRenewal(): void {
    const { api, env } = this.#core;
    const end = api.expiresAt();
    const left = end === null ? LOOK_AGAIN_MS : end - env.now();
    // Two thirds through its life, a little spread, so that tabs do not all come at once.
    const wait = Math.max(5_000, left * 0.72 + env.random() * 0.05 * Math.max(0, left));
    this.#cancelRenewal();
    this.#cancelRenewal = env.after(wait, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    const { api } = this.#core;
    try {
      if (api.expiresAt() !== null) await api.renew();
    } catch (error) {
      this.#core.words(error);
    }
    if (this.#core.state.session === 'signed-in') this.#scheduleRenewal();
  }

  #savedRead(me: Self): Record<RoomId, number> {
    try {
      const saved: unknown = JSON.parse(this.#core.env.remember(readKey(me)) ?? '{}');
      if (typeof saved !== 'object' || saved === null) return {};
      const pairs = Object.entries(saved).filter(([, value]) => typeof value === 'number');
      return Object.fromEntries(pairs) as Record<RoomId, number>;
    } catch {
      return {};
    }
  }
}

/** Whether an answer says that this session is no more; anything between here and there says 403. */
function isOver(error: unknown): boolean {
  return isUnauthorized(error) || (error instanceof Problem && error.code === 'account_locked');
}

function readKey(me: Self): string {
  return `klatch.read.${me.userId}`;
}
