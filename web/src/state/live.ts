/**
 * The live connection: connects, resumes, notices silence, and comes back. It knows frames and
 * positions, not rooms; what happens to them is told to its listener.
 */

import {
  type ClientFrame,
  type Hello,
  parseFrame,
  type Resumed,
  type ServerFrame,
} from '../protocol/frames';
import { advanceAll, type Positions } from '../protocol/position';
import { Problem } from '../protocol/problem';
import type { RoomId } from '../protocol/types';
import type { Environment, Socket, Transport } from '../transport';
import { afterClose, backoffMs } from './backoff';
import type { Link, LinkPhase } from './model';
import { Requests } from './requests';

export interface LiveListener {
  onLink(link: Link): void;
  /** Answers whether to go on with this connection. */
  onHello(hello: Hello): boolean;
  /** A timeline event or hint, as soon as it arrives. */
  onFrame(frame: ServerFrame): void;
  /**
   * The connection is live. `complete`: every event since the last one was told, but for rooms
   * that are `behind`.
   */
  onLive(complete: boolean, behind: readonly RoomId[]): void;
  onSignedOut(): void;
}

/** The stream that holds the rooms' timelines. */
const MESSAGES = 'm';
const HELLO_LIMIT_MS = 15_000;
const PONG_LIMIT_MS = 10_000;
const RESUME_LIMIT_MS = 20_000;
/** A connection that held this long starts the backoff anew. */
const STEADY_MS = 10_000;
/** The close code for those who ignore limits. */
const LIMITED = 4008;

export class Live {
  readonly #transport: Transport;
  readonly #env: Environment;
  readonly #listener: LiveListener;
  readonly #requests: Requests;
  #socket: Socket | null = null;
  #phase: LinkPhase = 'off';
  #attempt = 0;
  #positions: Positions = {};
  /** Newest positions heard while older events are still being replayed. */
  #heldPositions: Positions = {};
  /** Rooms of which a delta told only the newest events. */
  #behind: RoomId[] = [];
  #refusals = 0;
  /** Attempts in a row that were refused although the server answers calls. */
  #turnedAway = 0;
  #why: Link['why'];
  /** Counts what could still answer late, so that an old answer is not taken for a new one. */
  #generation = 0;
  #timers: Record<string, () => void> = {};
  #stopWake: () => void = () => {};

  constructor(transport: Transport, env: Environment, listener: LiveListener) {
    this.#transport = transport;
    this.#env = env;
    this.#listener = listener;
    this.#requests = new Requests(env);
  }

  start(): void {
    if (this.#phase !== 'off') return;
    this.#stopWake = this.#env.onWake(() => this.#wake());
    this.#open();
  }

  stop(): void {
    this.#stopWake();
    this.#set('off', null);
    this.#drop();
    this.#positions = {};
    this.#attempt = 0;
    this.#refusals = 0;
    this.#turnedAway = 0;
    this.#why = undefined;
  }

  get isLive(): boolean {
    return this.#phase === 'live';
  }

  /** The newest position of the messages' log if it has one partition: reads with it are not stale. */
  get position(): string | undefined {
    const all = Object.values(advanceAll(this.#positions, Object.values(this.#heldPositions)));
    const texts = all.filter((text) => text.startsWith(MESSAGES));
    return texts.length === 1 ? texts[0] : undefined;
  }

  /** Sends a frame and waits for its `ack`; rejects with a `Problem` (`disconnected` if it closed). */
  request(frame: ClientFrame): Promise<Record<string, unknown>> {
    if (!this.isLive) return Promise.reject(new Problem({ code: 'disconnected' }));
    return this.#send(frame);
  }

  /** Sends a frame that nobody has to answer, if the connection is live. */
  tell(frame: ClientFrame): void {
    if (this.isLive) this.#socket?.send(JSON.stringify(frame));
  }

  #send(frame: ClientFrame): Promise<Record<string, unknown>> {
    return this.#requests.start((requestId) => {
      return this.#socket?.send(JSON.stringify({ ...frame, requestId })) ?? false;
    });
  }

  /** Tries at once instead of waiting; if connected, checks that the connection is alive. */
  #wake(): void {
    if (this.#phase === 'waiting') this.#open();
    else if (this.#phase === 'live') this.#ping();
  }

  #open(): void {
    this.#generation += 1;
    this.#drop();
    this.#set('connecting', null);
    const mine: { socket: Socket | null } = { socket: null };
    mine.socket = this.#transport.connect({
      onText: (text) => {
        if (mine.socket !== null && mine.socket === this.#socket) this.#onText(text);
      },
      onClose: (code, reason) => {
        if (mine.socket !== null && mine.socket === this.#socket) this.#onClose(code, reason);
      },
    });
    this.#socket = mine.socket;
    this.#timer('hello', HELLO_LIMIT_MS, () => this.#socket?.close());
  }

  #onText(text: string): void {
    const frame = parseFrame(text);
    this.#cancel('pong');
    if (!frame) return;
    switch (frame.type) {
      case 'hello':
        return this.#onHello(frame);
      case 'pong':
        // Everything up to these came before: a place to resume from, however quiet the rooms are.
        for (const position of frame.positions) this.#hear(position);
        return;
      case 'ack':
        return this.#requests.resolve(frame.requestId, frame.payload);
      case 'error':
        if (frame.requestId !== undefined) this.#requests.reject(frame.requestId, frame);
        return;
      case 'resumed':
        return this.#onResumed(frame);
      case 'invalid':
        this.#positions = {};
        return this.#becomeLive(false);
      default:
        this.#listener.onFrame(frame);
        if ('position' in frame) this.#hear(frame.position);
    }
  }

  #hear(position: string): void {
    if (this.#phase === 'catching-up') this.#hold([position]);
    else this.#positions = advanceAll(this.#positions, [position]);
  }

  #hold(positions: readonly string[]): void {
    this.#heldPositions = advanceAll(this.#heldPositions, positions);
  }

  #onHello(hello: Hello): void {
    if (!this.#listener.onHello(hello)) return;
    this.#cancel('hello');
    this.#refusals = 0;
    this.#turnedAway = 0;
    this.#why = undefined;
    this.#heartbeat(hello.heartbeatMs);
    const known = Object.values(this.#positions);
    this.#heldPositions = advanceAll({}, hello.positions);
    if (known.length === 0) return this.#becomeLive(false);
    this.#set('catching-up', null);
    this.#timer('resume', RESUME_LIMIT_MS, () => this.#socket?.close());
    // Answered by `resumed` or `invalid`; an error means the server cannot, so read everything.
    this.#send({ type: 'resume', payload: { positions: known } }).catch((error: unknown) => {
      const closed = error instanceof Problem && error.code === 'disconnected';
      const open = this.#phase === 'catching-up';
      if (open && !closed) this.#becomeLive(false);
    });
  }

  #onResumed(resumed: Resumed): void {
    for (const { roomId, events, truncated, left } of resumed.rooms) {
      // Their positions count when the whole answer is there: rooms are not in log order.
      for (const event of events) this.#listener.onFrame(event);
      if (truncated || (left && events.length === 0)) this.#behind.push(roomId);
    }
    if (resumed.more) {
      this.#cancel('resume');
      return this.#timer('resume', RESUME_LIMIT_MS, () => this.#socket?.close());
    }
    this.#hold(resumed.positions);
    this.#becomeLive(resumed.tier !== 'snapshot');
  }

  #becomeLive(complete: boolean): void {
    this.#cancel('resume');
    const behind = this.#behind;
    this.#behind = [];
    this.#positions = advanceAll(this.#positions, Object.values(this.#heldPositions));
    this.#heldPositions = {};
    this.#timer('steady', STEADY_MS, () => {
      this.#attempt = 0;
    });
    this.#set('live', null);
    this.#listener.onLive(complete, behind);
  }

  #heartbeat(everyMs: number): void {
    this.#timer('heartbeat', everyMs, () => {
      this.#ping();
      this.#heartbeat(everyMs);
    });
  }

  #ping(): void {
    const sent = this.#socket?.send(JSON.stringify({ type: 'ping', payload: {} })) ?? false;
    if (sent) this.#timer('pong', PONG_LIMIT_MS, () => this.#socket?.close());
  }

  #onClose(code: number, reason: string): void {
    const sawHello = this.#phase === 'live' || this.#phase === 'catching-up';
    this.#drop();
    const next = afterClose(code, reason, this.#env.random());
    if (next.kind === 'sign-out') return this.#listener.onSignedOut();
    if (next.kind === 'renew' || next.kind === 'verify') {
      return this.#renewThenOpen(next.kind === 'verify');
    }
    if (code === LIMITED) this.#why = 'limited';
    if (sawHello || next.delayMs !== null) this.#retry(next.delayMs);
    else this.#lookThenRetry();
  }

  /** The server refused the cookie: make sure of the session, then connect at once. */
  #renewThenOpen(verify: boolean): void {
    this.#refusals += 1;
    const again = this.#refusals > 1;
    if (verify && again) return this.#listener.onSignedOut();
    const { api } = this.#transport;
    const since = this.#env.now() - 5_000;
    this.#check(verify ? api.renewSince(since) : api.renew(), () => {
      if (again) this.#retry(null);
      else this.#open();
    });
  }

  /** A refused upgrade tells the page no reason; it may be the session, or no network. */
  #lookThenRetry(): void {
    this.#check(this.#transport.api.me(), () => {
      this.#turnedAway += 1;
      // Once may be a server that is just coming back.
      if (this.#turnedAway > 1) this.#why = 'refused';
      this.#retry(null);
    });
  }

  #check(question: Promise<unknown>, then: () => void): void {
    this.#generation += 1;
    const generation = this.#generation;
    this.#set('connecting', null);
    const current = () => generation === this.#generation && this.#phase === 'connecting';
    question.then(
      () => {
        if (current()) then();
      },
      (error: unknown) => {
        if (!current()) return;
        const refused = error instanceof Problem && error.status === 401;
        if (refused) this.#listener.onSignedOut();
        else this.#retry(null);
      },
    );
  }

  #retry(delayMs: number | null): void {
    const wait = delayMs ?? backoffMs(this.#attempt, this.#env.random());
    this.#attempt += 1;
    this.#set('waiting', this.#env.now() + wait);
    this.#timer('retry', wait, () => this.#open());
  }

  /** Leaves the socket, without asking what comes next. */
  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    for (const cancel of Object.values(this.#timers)) cancel();
    this.#timers = {};
    this.#heldPositions = {};
    this.#behind = [];
    this.#requests.rejectAll('disconnected');
    socket?.close();
  }

  #set(phase: LinkPhase, nextAt: number | null): void {
    this.#phase = phase;
    const why = this.#why === undefined ? {} : { why: this.#why };
    this.#listener.onLink({ phase, attempt: this.#attempt, nextAt, ...why });
  }

  #timer(name: string, ms: number, task: () => void): void {
    this.#cancel(name);
    this.#timers[name] = this.#env.after(ms, task);
  }

  #cancel(name: string): void {
    this.#timers[name]?.();
    delete this.#timers[name];
  }
}
