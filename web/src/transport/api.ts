/** The REST interface over fetch. */

import { Problem } from '../protocol/problem';
import type {
  CommandReceipt,
  Member,
  Message,
  NewMessage,
  Page,
  Room,
  RoomId,
  Self,
  SendReceipt,
  User,
} from '../protocol/types';
import { type Call, type Caller, type HttpParts, perform, seg } from './http';
import type { Api } from './index';
import { isUnauthorized, SessionKeeper, type SessionParts } from './session';
import { trustCalls } from './trust';

export interface ApiParts extends HttpParts, Omit<SessionParts, 'refresh'> {
  csrf: () => string | null;
}

interface SignIn {
  user: Self;
  expiresIn: number;
  roomId?: RoomId;
}

const FALLBACK_LIFETIME_S = 900;

export function createApi(parts: ApiParts): Api {
  const keeper = new SessionKeeper({ ...parts, refresh: () => refresh(parts) });
  const call = async <T>(asked: Call): Promise<T> => {
    // However long it waits, it stays theirs.
    const request = { ...asked, person: parts.owner.person };
    const startedAt = parts.now();
    try {
      return await perform<T>(parts, request);
    } catch (error) {
      if (!isUnauthorized(error) || parts.csrf() === null) throw error;
      await keeper.renewSince(startedAt);
      return perform<T>(parts, request);
    }
  };
  return {
    hasSession: () => parts.csrf() !== null,
    actFor: (userId) => {
      parts.owner.person = userId;
    },
    expiresAt: () => keeper.expiresAt(),
    renew: () => keeper.renew(),
    renewSince: (since) => keeper.renewSince(since),
    ...accountCalls(parts, call, keeper),
    ...roomCalls(call),
    ...messageCalls(call),
    ...trustCalls(call),
  };
}

async function refresh(parts: HttpParts): Promise<number> {
  const body = { cookie: true };
  const answer = await perform<SignIn>(parts, { method: 'POST', path: 'auth/refresh', body });
  return answer?.expiresIn ?? FALLBACK_LIFETIME_S;
}

function accountCalls(parts: ApiParts, call: Caller, keeper: SessionKeeper) {
  // Signing in must not be repeated after a refresh: a 401 here means a wrong password.
  const signIn = async (path: string, input: object): Promise<SignIn> => {
    const body = { ...input, cookie: true };
    const answer = await perform<SignIn>(parts, { method: 'POST', path, body });
    if (!answer?.user) throw new Problem({ code: 'unreadable' });
    keeper.note(answer.expiresIn ?? FALLBACK_LIFETIME_S);
    return answer;
  };
  return {
    register: (input) => signIn('auth/register', input),
    login: async (input) => (await signIn('auth/login', input)).user,
    logout: () => call<void>({ method: 'POST', path: 'auth/logout', body: { cookie: true } }),
    me: () => call<Self>({ method: 'GET', path: 'users/me' }),
    user: (id) => call<User>({ method: 'GET', path: `users/${seg(id)}` }),
    searchUsers: (q) => call<Page<User>>({ method: 'GET', path: 'users', query: { q, limit: 20 } }),
  } satisfies Partial<Api>;
}

function roomCalls(call: Caller) {
  return {
    rooms: ({ position, ...query }) =>
      call<Page<Room>>({ method: 'GET', path: 'rooms', query: { ...query }, position }),
    room: (id, position) => call<Room>({ method: 'GET', path: `rooms/${seg(id)}`, position }),
    createRoom: (body) => call<Room & CommandReceipt>({ method: 'POST', path: 'rooms', body }),
    join: (id) => call<CommandReceipt>({ method: 'POST', path: `rooms/${seg(id)}/join`, body: {} }),
    leave: (id) =>
      call<CommandReceipt>({ method: 'POST', path: `rooms/${seg(id)}/leave`, body: {} }),
    members: (id, cursor, position) => {
      const path = `rooms/${seg(id)}/members`;
      return call<Page<Member>>({ method: 'GET', path, query: { limit: 200, cursor }, position });
    },
    addMember: (id, userId) => {
      const path = `rooms/${seg(id)}/members`;
      return call<CommandReceipt>({ method: 'POST', path, body: { userId } });
    },
    changeRole: (id, userId, role) => {
      const path = `rooms/${seg(id)}/members/${seg(userId)}`;
      return call<CommandReceipt>({ method: 'PATCH', path, body: { role } });
    },
    removeMember: (id, userId) => {
      const path = `rooms/${seg(id)}/members/${seg(userId)}`;
      return call<CommandReceipt>({ method: 'DELETE', path });
    },
  } satisfies Partial<Api>;
}

function messageCalls(call: Caller) {
  return {
    history: (id, { position, ...query }) => {
      const path = `rooms/${seg(id)}/messages`;
      return call<Page<Message>>({ method: 'GET', path, query: { ...query }, position });
    },
    message: (id, messageId) =>
      call<Message>({ method: 'GET', path: `rooms/${seg(id)}/messages/${seg(messageId)}` }),
    send: ({ roomId, ...body }: NewMessage) =>
      call<SendReceipt>({ method: 'POST', path: `rooms/${seg(roomId)}/messages`, body }),
    edit: (id, messageId, content) => {
      const path = `rooms/${seg(id)}/messages/${seg(messageId)}`;
      return call<CommandReceipt>({ method: 'PATCH', path, body: { content } });
    },
    remove: (id, messageId) => {
      const path = `rooms/${seg(id)}/messages/${seg(messageId)}`;
      return call<CommandReceipt>({ method: 'DELETE', path });
    },
  } satisfies Partial<Api>;
}
