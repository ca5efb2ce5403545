/** Holds the state, runs the reducer, tells listeners. */

import type { Action } from './actions';
import { INITIAL, type State } from './model';
import { reduce } from './reducer';

/** About one picture on a screen: what arrives within it is drawn once. */
const PICTURE_MS = 16;

export class Store {
  #state: State = INITIAL;
  readonly #listeners = new Set<() => void>();
  readonly #after: (ms: number, task: () => void) => () => void;
  #cancel: (() => void) | null = null;

  constructor(after: (ms: number, task: () => void) => () => void) {
    this.#after = after;
  }

  readonly get = (): State => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Changes the state and tells everyone before it returns, as an input field needs it. */
  dispatch(action: Action): void {
    if (this.#reduce(action)) this.#tell();
  }

  /** Changes the state at once and tells of it soon: a thousand replayed events are few drawings. */
  dispatchSoon(action: Action): void {
    if (!this.#reduce(action)) return;
    this.#cancel ??= this.#after(PICTURE_MS, () => this.#tell());
  }

  #reduce(action: Action): boolean {
    const next = reduce(this.#state, action);
    if (next === this.#state) return false;
    this.#state = next;
    return true;
  }

  #tell(): void {
    this.#cancel?.();
    this.#cancel = null;
    for (const listener of [...this.#listeners]) listener();
  }
}
