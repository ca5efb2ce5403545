/**
 * Stands in for the browser in unit tests: a clock that moves when told, sockets that say what
 * the test says, and REST answers taken from a small room store written by the test.
 */

import { Problem } from '../../protocol/problem';
import type { Account, ApiToken } from '../../protocol/trust';
import type { Member, Message, Room, Self } from '../../protocol/types';
import type { Api, Environment, Socket, SocketEvents, Transport, TrustApi } from '../../transport';

export class ScriptedClock implements Environment {
  time = Date.parse('2026-03-01T10:00:00Z');
  readonly kept = new Map<string, string>();
  #timers: { at: number; task: () => void; id: number }[] = [];
  #ids = 0;
  #wakers = new Set<() => void>();

  #touched = new Set<() => void>();
  #leavers = new Set<() => void>();
  #listeners = new Set<{ key: string; task: (value: string | null) => void }>();

  restarts = 0;

  now = () => this.time;
  restart = () => {
    this.restarts += 1;
  };
  random = () => 0.5;
  uuid = () => {
    this.#ids += 1;
    return `uuid-${this.#ids}`;
  };
  after = (ms: number, task: () => void) => {
    this.#ids += 1;
    const id = this.#ids;
    this.#timers.push({ at: this.time + ms, task, id });
    return () => {
      this.#timers = this.#timers.filter((t) => t.id !== id);
    };
  };
  onWake = (task: () => void) => {
    this.#wakers.add(task);
    return () => this.#wakers.delete(task);
  };
  onTouch = (task: () => void) => {
    this.#touched.add(task);
    return () => this.#touched.delete(task);
  };
  onLeave = (task: () => void) => {
    this.#leavers.add(task);
    return () => this.#leavers.delete(task);
  };
  remember = (key: string) => this.kept.get(key) ?? null;
  keep = (key: string, value: string) => void this.kept.set(key, value);
  forget = (key: string) => void this.kept.delete(key);

  onKept = (key: string, task: (value: string | null) => void) => {
    const listener = { key, task };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Another tab keeps something; it is there for this one before it hears of it. */
  keepElsewhere(key: string, value: string | null): void {
    if (value === null) this.forget(key);
    else this.keep(key, value);
    for (const listener of [...this.#listeners]) if (listener.key === key) listener.task(value);
  }

  wake(): void {
    for (const task of [...this.#wakers]) task();
  }

  /** The person does something. */
  touch(): void {
    for (const task of [...this.#touched]) task();
  }

  /** The page is loaded anew or closed. */
  leave(): void {
    for (const task of [...this.#leavers]) task();
  }

  /** Moves time on and runs what becomes due, in order. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    await settle();
    for (;;) {
      const due = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.time = Math.max(this.time, due.at);
      due.task();
      await settle();
    }
    this.time = end;
  }
}

/** Lets everything that waits for promises run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 30; i += 1) await Promise.resolve();
}

interface Frame {
  type: string;
  requestId?: string;
  payload: Record<string, unknown>;
}

export class ScriptedSocket implements Socket {
  readonly sent: Frame[] = [];
  closed = false;
  readonly #events: SocketEvents;

  constructor(events: SocketEvents) {
    this.#events = events;
  }

  send(text: string): boolean {
    if (this.closed) return false;
    this.sent.push(JSON.parse(text) as Frame);
    return true;
  }

  close(): void {
    this.end(1006);
  }

  /** The server closes, or the network breaks. */
  end(code: number, reason = ''): void {
    if (this.closed) return;
    this.closed = true;
    this.#events.onClose(code, reason);
  }

  say(type: string, payload: object, requestId?: string): void {
    this.#events.onText(JSON.stringify({ type, payload, ...(requestId ? { requestId } : {}) }));
  }

  hello(positions: string[] = ['m0-a.100'], userId = ME.userId): void {
    const user = { userId };
    this.say('hello', { connectionId: 'c', user, heartbeatMs: 30_000, positions, limits: {} });
  }

  /** The newest sent frame of a type. */
  last(type: string): Frame {
    const frame = this.sent.filter((f) => f.type === type).at(-1);
    if (!frame) throw new Error(`no ${type} was sent`);
    return frame;
  }
}

export const ME: Self = { userId: 'me', username: 'me', displayName: 'Me' };

export function room(roomId: string, over: Partial<Room> = {}): Room {
  return {
    roomId,
    type: 'channel',
    name: roomId,
    visibility: 'public',
    createdAt: '2026-03-01T09:00:00Z',
    archived: false,
    memberCount: 2,
    headSeq: 0,
    lastOrdinal: 0,
    lastActivityAt: '2026-03-01T09:00:00Z',
    joined: true,
    ...over,
  };
}

/** A message id that carries its seq, as the server makes them. */
export function idOf(seq: number): string {
  return `01890000-0000-7000-8000-00${seq.toString(16).padStart(10, '0')}`;
}

export function message(roomId: string, seq: number, over: Partial<Message> = {}): Message {
  return {
    messageId: idOf(seq),
    roomId,
    seq,
    ordinal: seq,
    senderId: 'ann',
    content: `message ${seq}`,
    contentType: 'text',
    replyTo: null,
    createdAt: '2026-03-01T09:30:00Z',
    editedAt: null,
    deletedAt: null,
    ...over,
  };
}

/** The event of a message, as it comes live. */
export function event(m: Message, extra: object = {}): object {
  return { ...m, position: `m0-a.${100 + m.seq}`, ...extra };
}

/** A transport whose server is the test. */
export class ScriptedTransport implements Transport {
  readonly sockets: ScriptedSocket[] = [];
  readonly calls: string[] = [];
  rooms: Room[] = [];
  messages = new Map<string, Message[]>();
  /** Page by page. */
  accounts: Account[][] = [];
  /** Who is in a room, as each of the next readings will answer when it is done. */
  memberPages: Promise<Member[]>[] = [];
  /** From where the readings of members were asked to be, in order. */
  readonly memberPositions: (string | undefined)[] = [];
  /** The tokens that are there. */
  tokens: ApiToken[] = [];
  signedIn = true;
  me = ME;
  /** The room that registering leads into. */
  entered: { roomId?: string } = {};
  slowed: (ms: number) => void = () => {};
  another: (userId: string) => void = () => {};
  /** For whom calls are made. */
  actsFor: string | null = null;
  /** Thrown by the next calls whose name begins so. */
  readonly failures = new Map<string, Problem>();
  readonly api: Api;

  constructor() {
    this.api = scriptedApi(this);
  }

  onAnother(listener: (userId: string) => void): void {
    this.another = listener;
  }

  onSlowed(listener: (ms: number) => void): void {
    this.slowed = listener;
  }

  connect(events: SocketEvents): Socket {
    const socket = new ScriptedSocket(events);
    this.sockets.push(socket);
    return socket;
  }

  get socket(): ScriptedSocket {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error('nothing connected');
    return socket;
  }

  add(roomId: string, ...messages: Message[]): void {
    this.messages.set(roomId, [...(this.messages.get(roomId) ?? []), ...messages]);
  }

  count(prefix: string): number {
    return this.calls.filter((c) => c.startsWith(prefix)).length;
  }
}

function scriptedApi(script: ScriptedTransport): Api {
  const answer = <T>(name: string, make: () => T): Promise<T> => {
    script.calls.push(name);
    for (const [prefix, problem] of script.failures) {
      if (name.startsWith(prefix)) return Promise.reject(problem);
    }
    return Promise.resolve().then(make);
  };
  const find = (roomId: string): Room => {
    const found = script.rooms.find((r) => r.roomId === roomId);
    if (!found) throw new Problem({ code: 'room_not_found', status: 404 });
    return found;
  };
  return {
    hasSession: () => script.signedIn,
    actFor: (userId) => {
      script.actsFor = userId;
    },
    expiresAt: () => null,
    register: () => answer('register', () => ({ user: script.me, ...script.entered })),
    login: () => answer('login', () => script.me),
    logout: () => answer('logout', () => undefined),
    me: () => answer('me', () => script.me),
    renew: () => answer('renew', () => undefined),
    renewSince: () => answer('renewSince', () => undefined),
    rooms: () => answer('rooms', () => ({ items: [...script.rooms], nextCursor: null })),
    room: (id) => answer(`room ${id}`, () => find(id)),
    createRoom: () => answer('createRoom', () => ({ ...room('made'), position: 'm0-a.101' })),
    join: (id) => answer(`join ${id}`, () => ({ position: 'm0-a.101' })),
    leave: (id) => answer(`leave ${id}`, () => ({})),
    members: async (id, _cursor, position) => {
      script.memberPositions.push(position);
      const items = await answer(`members ${id}`, () => undefined).then(
        () => script.memberPages.shift() ?? [],
      );
      return { items, nextCursor: null };
    },
    addMember: (id, user) => answer(`addMember ${id} ${user}`, () => ({})),
    changeRole: (id, user, role) => answer(`changeRole ${id} ${user} ${role}`, () => ({})),
    removeMember: (id, user) => answer(`removeMember ${id} ${user}`, () => ({})),
    ...trust(answer, script),
    history: (id, q) =>
      answer(`history ${id} ${q.before ?? '-'} ${q.after ?? '-'}`, () => {
        const all = [...(script.messages.get(id) ?? [])].sort((a, b) => a.seq - b.seq);
        const limit = q.limit ?? 50;
        const after = q.after;
        const fit =
          after !== undefined
            ? all.filter((m) => m.seq > after)
            : all.filter((m) => m.seq < (q.before ?? Number.POSITIVE_INFINITY));
        const items = after !== undefined ? fit.slice(0, limit) : fit.slice(-limit);
        const nextCursor = fit.length > limit ? 'more' : null;
        return { items: items.reverse(), nextCursor };
      }),
    message: (id, messageId) =>
      answer(`message ${messageId}`, () => {
        const hit = script.messages.get(id)?.find((m) => m.messageId === messageId);
        if (!hit) throw new Problem({ code: 'message_not_found', status: 404 });
        return hit;
      }),
    send: (m) =>
      answer('send', () => ({
        messageId: idOf(9),
        roomId: m.roomId,
        seq: 9,
        ordinal: 9,
        createdAt: '2026-03-01T10:00:00Z',
        position: 'm0-a.109',
      })),
    edit: () => answer('edit', () => ({ seq: 10 })),
    remove: () => answer('remove', () => ({ seq: 10 })),
    user: (userId) =>
      answer(`user ${userId}`, () => ({ userId, username: userId, displayName: userId })),
    searchUsers: () => answer('searchUsers', () => ({ items: [], nextCursor: null })),
  };
}

type Answer = <T>(name: string, make: () => T) => Promise<T>;

function trust(answer: Answer, script: ScriptedTransport): TrustApi {
  const at = '2026-03-01T10:00:00Z';
  const none = () => ({ items: [], nextCursor: null });
  const account = { username: 'x', displayName: 'X', bot: false, hasPassword: true, createdAt: at };
  const plain = { role: 'member' as const, banned: false };
  return {
    sessions: () => answer('sessions', none),
    endSession: (id) => answer(`endSession ${id}`, () => undefined),
    endSessions: () => answer('endSessions', () => undefined),
    changePassword: () => answer('changePassword', () => undefined),
    requestReset: (login) => answer(`requestReset ${login}`, () => undefined),
    resetPassword: () => answer('resetPassword', () => undefined),
    invitations: () => answer('invitations', none),
    invite: () =>
      answer('invite', () => ({
        invitationId: 'i',
        role: 'member' as const,
        maxUses: 1,
        uses: 0,
        expiresAt: at,
        revoked: false,
        createdBy: ME.userId,
        createdAt: at,
        token: 't',
      })),
    revokeInvitation: (id) => answer(`revokeInvitation ${id}`, () => undefined),
    lookAtInvitation: () =>
      answer('look', () => ({ roomId: 'r', role: 'member' as const, expiresAt: at })),
    acceptInvitation: () => answer('accept', () => ({ roomId: 'r', position: 'm0-a.120' })),
    tokens: (bot) =>
      answer(`tokens ${bot ?? 'own'}`, () => ({ items: script.tokens, nextCursor: null })),
    makeToken: (wish, bot) =>
      answer(`makeToken ${bot ?? 'own'}`, () => {
        const userId = bot ?? ME.userId;
        return { ...wish, tokenId: 'k', userId, createdAt: at, token: 'kla_secret' };
      }),
    endToken: (id, bot) => answer(`endToken ${bot ?? 'own'} ${id}`, () => undefined),
    accounts: ({ bot, cursor }) =>
      answer(`accounts bot=${bot} ${cursor ?? '-'}`, () => {
        const page = Number(cursor ?? 0);
        const nextCursor = page + 1 < script.accounts.length ? String(page + 1) : null;
        return { items: script.accounts[page] ?? [], nextCursor };
      }),
    account: (userId) => answer(`account ${userId}`, () => ({ ...account, ...plain, userId })),
    makeBot: (bot) =>
      answer('makeBot', () => ({ ...account, ...plain, ...bot, userId: 'bot', bot: true })),
    changeAccount: (userId, patch) =>
      answer('changeAccount', () => ({
        ...account,
        userId,
        role: patch.role ?? ('member' as const),
        banned: patch.banned ?? false,
      })),
    resetLink: () => answer('resetLink', () => ({ token: 't' })),
    audit: () => answer('audit', none),
  };
}
