import { beforeEach, describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import { Client } from './client';
import {
  event,
  idOf,
  ME,
  message,
  openRoom,
  room,
  ScriptedClock,
  ScriptedTransport,
  settle,
} from './testing/scripted';

let clock: ScriptedClock;
let server: ScriptedTransport;
let client: Client;

const state = () => client.store.get();
const open = () => openRoom(client, server);
const sent = () => server.socket.sent.filter((f) => f.type === 'message');
const words = () => sent().map((f) => f.payload.content);

beforeEach(() => {
  clock = new ScriptedClock();
  server = new ScriptedTransport();
  client = new Client(server, clock);
  server.rooms = [room('r', { headSeq: 3, lastOrdinal: 3 })];
  server.add('r', message('r', 1), message('r', 2), message('r', 3, { senderId: ME.userId }));
});

/** The server answers the newest request: too fast. */
function refuse(retryAfterMs: number, type = 'message'): void {
  const { requestId } = server.socket.last(type);
  server.socket.say('error', { code: 'rate_limited', retryAfterMs }, requestId);
}

function confirm(seq: number): void {
  const { requestId, payload } = server.socket.last('message');
  const receipt = { messageId: idOf(seq), roomId: 'r', seq, ordinal: seq, position: `m0-a.${seq}` };
  const createdAt = '2026-03-01T10:00:00Z';
  const { clientMessageId } = payload;
  server.socket.say('ack', { ...receipt, createdAt, clientMessageId }, requestId);
}

describe('a session that is ended elsewhere', () => {
  it('says so at the form and keeps what was written for the same person', async () => {
    await open();
    client.composing.write('r', 'half a sen');
    client.sending.send('r', 'on its way', null);
    await settle();
    const { clientMessageId } = sent()[0]?.payload ?? {};
    server.socket.end(4020);
    await settle();
    expect(state()).toMatchObject({ session: 'signed-out', drafts: {}, outbox: [], rooms: {} });
    expect(state().ended).toMatch(/signed out/);
    await client.session.login({ login: 'me', password: 'x' });
    expect(state().drafts.r?.text).toBe('half a sen');
    server.socket.hello();
    await settle();
    expect(sent().map((f) => f.payload.clientMessageId)).toEqual([clientMessageId]);
    expect(state().ended).toBeNull();
  });

  it('keeps nothing when it was ended here', async () => {
    await open();
    client.composing.write('r', 'half a sen');
    await client.account.signOutEverywhere();
    expect(server.count('endSessions')).toBe(1);
    expect(state()).toMatchObject({ session: 'signed-out', ended: null, kept: null });
    expect(server.socket.closed).toBe(true);
  });

  it('keeps nothing for anyone else', async () => {
    await open();
    client.composing.write('r', 'half a sen');
    server.socket.end(4020);
    await settle();
    server.me = { ...ME, userId: 'someone else' };
    await client.session.login({ login: 'x', password: 'y' });
    expect(clock.restarts).toBe(1);
    expect(state().drafts).toEqual({});
  });

  it('found at the next visit says so, too', async () => {
    server.failures.set('me', new Problem({ code: 'session_revoked', status: 401 }));
    await client.session.restore();
    expect(state().ended).toMatch(/signed out/);
  });
});

describe('a server that asks to go slower', () => {
  it('gets the message again under the same id when it said, without a click', async () => {
    await open();
    client.sending.send('r', 'one', null);
    await settle();
    refuse(5_000);
    await settle();
    expect(state().outbox).toMatchObject([{ content: 'one', status: 'sending' }]);
    expect(state().pacedUntil).toBeGreaterThanOrEqual(clock.time + 5_000);
    expect(state().notices[0]?.text).toMatch(/too fast/);
    await clock.advance(4_900);
    expect(words()).toEqual(['one']);
    await clock.advance(400);
    expect(words()).toEqual(['one', 'one']);
    expect(sent()[0]?.payload.clientMessageId).toBe(sent()[1]?.payload.clientMessageId);
    confirm(4);
    await settle();
    expect(state()).toMatchObject({ outbox: [], pacedUntil: null });
  });

  it('gets what was written meanwhile one by one and in order', async () => {
    await open();
    client.sending.send('r', 'one', null);
    await settle();
    refuse(1_000);
    await settle();
    client.sending.send('r', 'two', null);
    client.sending.send('r', 'three', null);
    await settle();
    expect(words()).toEqual(['one']);
    await clock.advance(1_300);
    expect(words()).toEqual(['one', 'one']);
    confirm(4);
    await settle();
    expect(words().slice(2)).toEqual(['two']);
    refuse(1_000);
    await settle();
    expect(words()).toHaveLength(3);
    await clock.advance(1_300);
    confirm(5);
    await settle();
    confirm(6);
    await settle();
    expect(words()).toEqual(['one', 'one', 'two', 'two', 'three']);
    expect(state().outbox).toEqual([]);
  });

  it('is not met with a long queue at once after a break', async () => {
    await open();
    server.socket.end(1006);
    for (let i = 0; i < 20; i += 1) client.sending.send('r', `line ${i}`, null);
    await clock.advance(1_000);
    server.socket.hello();
    server.socket.say('resumed', { tier: 'replay', positions: [] });
    await settle();
    expect(words()).toEqual(['line 0']);
    confirm(4);
    await settle();
    expect(words()).toEqual(['line 0', 'line 1']);
  });

  it('gets an edit again', async () => {
    await open();
    void client.sending.edit('r', idOf(3), 'better');
    await settle();
    refuse(2_000, 'edit');
    await clock.advance(2_100);
    expect(server.socket.sent.filter((f) => f.type === 'edit')).toHaveLength(2);
    expect(state().changes[idOf(3)]).toMatchObject({ content: 'better' });
  });

  it('is named while a call waits for it', async () => {
    await open();
    server.slowed(4_000);
    expect(state().notices[0]?.text).toMatch(/4 seconds/);
  });
});

describe('a server that lets no connection in', () => {
  it('is told apart from one that cannot be reached, at the second refusal', async () => {
    await open();
    server.socket.end(1006);
    await clock.advance(1_000);
    server.socket.end(1006);
    await settle();
    expect(state().link).toMatchObject({ phase: 'waiting' });
    expect(state().link.why).toBeUndefined();
    await clock.advance(1_000);
    server.socket.end(1006);
    await settle();
    expect(state().link).toMatchObject({ phase: 'waiting', why: 'refused' });
    await clock.advance(5_000);
    server.socket.hello();
    expect(state().link.why).toBeUndefined();
  });

  it('because of a limit says so', async () => {
    await open();
    server.socket.end(4008);
    expect(state().link).toMatchObject({ phase: 'waiting', why: 'limited' });
  });
});

describe('invitations', () => {
  it('an account made by one is where it leads to before anything is shown', async () => {
    server.entered = { roomId: 'r' };
    const seen: string[] = [];
    const input = { username: 'me', email: 'm@example.org', password: 'x', invitation: 't' };
    await client.session.register(input, (roomId) => seen.push(`${roomId} ${state().session}`));
    expect(seen).toEqual(['r unknown']);
    expect(state().session).toBe('signed-in');
    expect(server.count('room r')).toBe(1);
  });

  it('someone who is signed in comes into the room', async () => {
    server.rooms = [room('r', { joined: true })];
    await client.session.restore();
    expect(await client.invitations.accept('t')).toBe('r');
    expect(server.count('accept')).toBe(1);
    expect(state().rooms.r?.joined).toBe(true);
  });

  it('one who is there already just goes there', async () => {
    await open();
    expect(await client.invitations.accept('t')).toBe('r');
    expect(server.count('accept')).toBe(0);
    const other = new Client(server, clock);
    await other.session.restore();
    server.failures.set('accept', new Problem({ code: 'already_member', status: 409 }));
    expect(await other.invitations.accept('t')).toBe('r');
  });

  it('one that has ended is refused with its reason', async () => {
    await client.session.restore();
    server.failures.set('look', new Problem({ code: 'invitation_expired', status: 410 }));
    await expect(client.invitations.accept('t')).rejects.toMatchObject({
      code: 'invitation_expired',
    });
    expect(server.count('accept')).toBe(0);
  });
});

describe('a role on the server', () => {
  const role = () => state().me?.role;

  beforeEach(async () => {
    server.me = { ...ME, role: 'member' };
    await open();
    server.me = { ...ME, role: 'guest' };
    clock.time += 10_000;
  });

  it('that was taken away is learnt from the first refusal', async () => {
    server.failures.set('createRoom', new Problem({ code: 'forbidden', status: 403 }));
    const refused = await client.rooms.create({ type: 'group' }).catch((error) => error);
    expect(role()).toBe('member');
    client.core.words(refused);
    await settle();
    expect(role()).toBe('guest');
  });

  it('is asked for again on coming back to the page, though not at every glance', async () => {
    clock.wake();
    await settle();
    expect(role()).toBe('guest');
    const asked = server.count('me');
    clock.wake();
    await settle();
    expect(server.count('me')).toBe(asked);
  });

  it('stays as it was when nobody answers', async () => {
    server.failures.set('me', new Problem({ code: 'offline' }));
    clock.wake();
    await settle();
    expect(state()).toMatchObject({ session: 'signed-in', me: { role: 'member' } });
  });
});

describe('roles in a room', () => {
  it('a changed role is shown as soon as it is told', async () => {
    await open();
    await client.rooms.changeRole('r', 'ann', 'admin');
    expect(server.calls).toContain('changeRole r ann admin');
    const at = '2026-03-01T10:00:00Z';
    const joined = { roomId: 'r', userId: ME.userId, change: 'role', role: 'admin', at };
    server.socket.say('member', { ...joined, seq: 4, position: 'm0-a.104' });
    expect(state().rooms.r?.role).toBe('admin');
    server.socket.say('message', event(message('r', 5)));
    expect(state().timelines.r?.headSeen).toBe(5);
  });
});
