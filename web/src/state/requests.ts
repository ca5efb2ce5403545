/** Frames that wait for their `ack`. */

import type { ErrorFrame } from '../protocol/frames';
import { Problem } from '../protocol/problem';
import type { Environment } from '../transport';

const ANSWER_LIMIT_MS = 20_000;

interface Waiting {
  resolve(payload: Record<string, unknown>): void;
  reject(problem: Problem): void;
  cancel(): void;
}

export class Requests {
  readonly #env: Environment;
  readonly #waiting = new Map<string, Waiting>();
  #last = 0;

  constructor(env: Environment) {
    this.#env = env;
  }

  /** Gives a new request id to `send`; false from it means that nothing was sent. */
  start(send: (requestId: string) => boolean): Promise<Record<string, unknown>> {
    this.#last += 1;
    const id = String(this.#last);
    return new Promise((resolve, reject) => {
      const cancel = this.#env.after(ANSWER_LIMIT_MS, () => this.#end(id, 'timeout'));
      this.#waiting.set(id, { resolve, reject, cancel });
      if (!send(id)) this.#end(id, 'disconnected');
    });
  }

  resolve(id: string, payload: Record<string, unknown>): void {
    this.#take(id)?.resolve(payload);
  }

  reject(id: string, { retryAfterMs, ...body }: ErrorFrame): void {
    this.#take(id)?.reject(new Problem(body, retryAfterMs));
  }

  rejectAll(code: string): void {
    for (const id of [...this.#waiting.keys()]) this.#end(id, code);
  }

  #end(id: string, code: string): void {
    this.#take(id)?.reject(new Problem({ code }));
  }

  #take(id: string): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.cancel();
    return waiting;
  }
}
