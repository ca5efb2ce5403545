/** Holds the state, runs the reducer, tells listeners. */

import type { Action } from './actions';
import { INITIAL, type State } from './model';
import { reduce } from './reducer';

export class Store {
  #state: State = INITIAL;
  readonly #listeners = new Set<() => void>();

  readonly get = (): State => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  dispatch(action: Action): void {
    const next = reduce(this.#state, action);
    if (next === this.#state) return;
    this.#state = next;
    for (const listener of [...this.#listeners]) listener();
  }
}
