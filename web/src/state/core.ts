/** What every group of commands works with. */

import { Problem, wordsFor } from '../protocol/problem';
import type { Api, Environment } from '../transport';
import type { State } from './model';
import type { Store } from './store';

/** Waiting for less is not worth a word. */
const NOTICED_MS = 1_500;

export class Core {
  readonly store: Store;
  readonly api: Api;
  readonly env: Environment;
  /** Set by the session: ends it on this side. */
  onUnauthorized: () => void = () => {};
  /** Set by the session: what one may do may have changed. */
  onForbidden: () => void = () => {};

  constructor(store: Store, api: Api, env: Environment) {
    this.store = store;
    this.api = api;
    this.env = env;
  }

  get state(): State {
    return this.store.get();
  }

  /** The words for a failure; a session that ended is also ended here. */
  words(error: unknown): string {
    const signedIn = this.state.session === 'signed-in';
    if (signedIn && error instanceof Problem) {
      if (error.status === 401) this.onUnauthorized();
      if (error.code === 'forbidden' || error.code === 'admin_only') this.onForbidden();
    }
    return wordsFor(error);
  }

  /** Shows a failure for a while. */
  report(error: unknown): void {
    const text = this.words(error);
    if (this.state.session === 'signed-in') this.notify(text, 'error');
  }

  /** A call waits because the server asked for it. */
  slowed(ms: number): void {
    if (this.state.session !== 'signed-in' || ms < NOTICED_MS) return;
    const seconds = Math.ceil(ms / 1_000);
    this.notify(`A little too fast for the server. Going on in ${seconds} seconds.`, 'info');
  }

  notify(text: string, tone: 'error' | 'info'): void {
    if (this.state.notices.some((n) => n.text === text)) return;
    const id = this.env.uuid();
    this.store.dispatch({ type: 'notice/added', notice: { id, text, tone } });
    this.env.after(8_000, () => this.store.dispatch({ type: 'notice/dropped', id }));
  }

  sleep(ms: number): Promise<void> {
    return new Promise((done) => {
      this.env.after(ms, () => done());
    });
  }
}

const PASSING: ReadonlySet<string> = new Set([
  'busy',
  'internal',
  'offline',
  'outcome_unknown',
  'rate_limited',
  'read_model_behind',
  'timeout',
  'unavailable',
]);

/** Whether trying again later may help. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof Problem)) return false;
  return PASSING.has(error.code);
}
