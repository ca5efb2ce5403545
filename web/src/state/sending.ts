/** Sends, edits and deletes; shows each at once and puts it right when the server has spoken. */

import type { ClientFrame } from '../protocol/frames';
import { Problem } from '../protocol/problem';
import type { CommandReceipt, MessageId, NewMessage, RoomId, SendReceipt } from '../protocol/types';
import { backoffMs } from './backoff';
import { type Core, isPassing } from './core';
import type { Live } from './live';
import type { Outgoing } from './model';

/** Troubles of the server, not of the message. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'busy',
  'offline',
  'outcome_unknown',
  'still_running',
  'timeout',
  'unavailable',
]);
const REPEATS = 4;
/** More than so many are not sent at once: that would only run into a limit. */
const AT_ONCE = 8;
const CHANGE_REPEATS = 3;
const SLOWER =
  'That was a little too fast for the server. What you wrote goes out by itself in a moment.';

/** What became of a change; `later`: trying again may help. */
export type Outcome = 'done' | 'refused' | 'later';

export class Sending {
  readonly #core: Core;
  readonly #live: Live;
  readonly #inFlight = new Set<string>();
  /** Ends the pause that the server asked for. */
  #cancelPause: (() => void) | null = null;
  #draining = false;

  constructor(core: Core, live: Live) {
    this.#core = core;
    this.#live = live;
  }

  /** Shows the message and sends it; while there is no connection it waits for one. */
  send(roomId: RoomId, content: string, replyTo: MessageId | null): void {
    const { env, store } = this.#core;
    const clientMessageId = env.uuid();
    const createdAt = new Date(env.now()).toISOString();
    const base = { clientMessageId, roomId, content, replyTo, createdAt };
    store.dispatch({ type: 'outbox/queued', outgoing: { ...base, status: 'sending' } });
    void this.#deliver(clientMessageId);
  }

  /** Tries a failed message again, under the same id: if it did arrive, it is not there twice. */
  retry(clientMessageId: string): void {
    this.#core.store.dispatch({ type: 'outbox/retried', clientMessageId });
    void this.#deliver(clientMessageId);
  }

  discard(clientMessageId: string): void {
    this.#core.store.dispatch({ type: 'outbox/discarded', clientMessageId });
  }

  /** Sends again, in order, what a broken connection left without an answer. */
  async flush(): Promise<void> {
    const waiting = this.#core.state.outbox.filter((o) => o.status === 'sending');
    if (waiting.length > AT_ONCE) return this.#drain();
    await Promise.all(waiting.map((o) => this.#deliver(o.clientMessageId)));
  }

  /** Another person, or the same one anew: no old pause holds them up. */
  forget(): void {
    this.#cancelPause?.();
    this.#cancelPause = null;
  }

  edit(roomId: RoomId, messageId: MessageId, content: string): Promise<Outcome> {
    const frame: ClientFrame = { type: 'edit', payload: { roomId, messageId, content } };
    const rest = () => this.#core.api.edit(roomId, messageId, content);
    return this.#change({ kind: 'edit', roomId, content }, messageId, frame, rest);
  }

  remove(roomId: RoomId, messageId: MessageId): Promise<Outcome> {
    const frame: ClientFrame = { type: 'delete', payload: { roomId, messageId } };
    const rest = () => this.#core.api.remove(roomId, messageId);
    return this.#change({ kind: 'delete', roomId, content: '' }, messageId, frame, rest);
  }

  async #deliver(clientMessageId: string, attempt = 0): Promise<void> {
    // It takes its turn.
    if (this.#cancelPause !== null || (this.#draining && attempt === 0)) return;
    await this.#attempt(clientMessageId, attempt);
  }

  async #attempt(clientMessageId: string, attempt: number): Promise<void> {
    const outgoing = this.#core.state.outbox.find((o) => o.clientMessageId === clientMessageId);
    if (!outgoing || this.#inFlight.has(clientMessageId) || !this.#live.isLive) return;
    this.#inFlight.add(clientMessageId);
    try {
      const receipt = await this.#post(newMessage(outgoing));
      this.#core.store.dispatch({ type: 'outbox/confirmed', clientMessageId, receipt });
    } catch (error) {
      // It stays on its way; `flush` goes on with it when the connection is back.
      if (isDisconnect(error)) return;
      if (isTooFast(error)) return this.#pause(error.retryAfterMs ?? 1_000);
      if (mayRepeat(error) && attempt < REPEATS)
        return this.#repeat(clientMessageId, attempt, error);
      const words = this.#core.words(error);
      this.#core.store.dispatch({ type: 'outbox/failed', clientMessageId, error: words });
    } finally {
      this.#inFlight.delete(clientMessageId);
    }
  }

  /** Nothing is sent for a while, then one after the other. */
  #pause(ms: number): void {
    const { env, store } = this.#core;
    if (store.get().pacedUntil === null) this.#core.notify(SLOWER, 'info');
    const now = env.now();
    const until = Math.max(store.get().pacedUntil ?? 0, now + ms + Math.round(env.random() * 250));
    store.dispatch({ type: 'outbox/paced', until });
    this.#cancelPause?.();
    this.#cancelPause = env.after(until - now, () => {
      this.#cancelPause = null;
      void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    if (this.#draining) return;
    this.#draining = true;
    const tried = new Set<string>();
    const next = () =>
      this.#core.state.outbox.find(
        ({ clientMessageId: id, status }) =>
          status === 'sending' && !tried.has(id) && !this.#inFlight.has(id),
      );
    for (let o = next(); o && this.#cancelPause === null && this.#live.isLive; o = next()) {
      tried.add(o.clientMessageId);
      await this.#attempt(o.clientMessageId, 0);
    }
    this.#draining = false;
    const over = this.#cancelPause === null && this.#core.state.pacedUntil !== null;
    if (over) this.#core.store.dispatch({ type: 'outbox/paced', until: null });
  }

  /** Under the same id a message may be sent again whatever became of the first attempt. */
  #repeat(clientMessageId: string, attempt: number, error: unknown): void {
    const told = error instanceof Problem ? error.retryAfterMs : undefined;
    const { env } = this.#core;
    const wait = Math.max(told ?? 0, backoffMs(attempt, env.random()));
    env.after(wait, () => void this.#deliver(clientMessageId, attempt + 1));
  }

  async #post(message: NewMessage): Promise<SendReceipt> {
    const frame: ClientFrame = { type: 'message', payload: message };
    // Forty thousand characters can be more bytes than a frame may have; REST takes them.
    const bytes = new TextEncoder().encode(JSON.stringify(frame)).length + 64;
    if (bytes > this.#core.state.limits.maxFrameBytes) return this.#core.api.send(message);
    return receiptOf(await this.#live.request(frame));
  }

  /** A change that was too fast is made again when the server says. */
  async #patiently<T>(make: () => Promise<T>): Promise<T> {
    for (let repeats = 0; ; repeats += 1) {
      try {
        return await make();
      } catch (error) {
        if (!isTooFast(error) || repeats >= CHANGE_REPEATS) throw error;
        const wait = error.retryAfterMs ?? 1_000;
        this.#core.slowed(wait);
        await this.#core.sleep(wait);
      }
    }
  }

  async #change(
    change: { kind: 'edit' | 'delete'; roomId: RoomId; content: string },
    messageId: MessageId,
    frame: ClientFrame,
    rest: () => Promise<CommandReceipt>,
  ): Promise<Outcome> {
    const { store } = this.#core;
    store.dispatch({ type: 'change/begun', messageId, change });
    try {
      const answer = await this.#patiently(() => {
        const bytes = new TextEncoder().encode(JSON.stringify(frame)).length + 64;
        const byFrame = this.#live.isLive && bytes <= this.#core.state.limits.maxFrameBytes;
        return byFrame ? this.#live.request(frame) : rest();
      });
      const seq = typeof answer?.seq === 'number' ? answer.seq : undefined;
      store.dispatch({ type: 'change/acknowledged', messageId, seq });
      return 'done';
    } catch (error) {
      store.dispatch({ type: 'change/dropped', messageId });
      const told = isDisconnect(error) ? new Problem({ code: 'offline' }) : error;
      this.#core.report(told);
      return isPassing(told) ? 'later' : 'refused';
    }
  }
}

function isTooFast(error: unknown): error is Problem {
  return error instanceof Problem && error.code === 'rate_limited';
}

function newMessage(outgoing: Outgoing): NewMessage {
  const { roomId, content, clientMessageId, replyTo } = outgoing;
  const message: NewMessage = { roomId, content, clientMessageId };
  return replyTo === null ? message : { ...message, replyTo };
}

function mayRepeat(error: unknown): boolean {
  return error instanceof Problem && REPEATABLE.has(error.code);
}

function isDisconnect(error: unknown): boolean {
  return error instanceof Problem && error.code === 'disconnected';
}

function receiptOf(payload: Record<string, unknown>): SendReceipt {
  const { messageId, roomId, seq, createdAt, ordinal, position } = payload;
  const complete =
    typeof messageId === 'string' &&
    typeof roomId === 'string' &&
    typeof seq === 'number' &&
    typeof createdAt === 'string';
  if (!complete) throw new Problem({ code: 'unreadable' });
  return {
    messageId,
    roomId,
    seq,
    createdAt,
    ordinal: typeof ordinal === 'number' ? ordinal : null,
    position: typeof position === 'string' ? position : '',
  };
}
