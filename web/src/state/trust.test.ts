import { beforeEach, describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import { event, idOf, ME, message, room, settle } from './testing/scripted';
import { stage } from './testing/stage';

const on = stage((set) => set.furnish(3, true));
const sent = () => on.server.socket.sent.filter((f) => f.type === 'message');
const words = () => sent().map((f) => f.payload.content);

/** The server answers the newest request: too fast. */
function refuse(retryAfterMs: number, type = 'message'): void {
  const { requestId } = on.server.socket.last(type);
  on.server.socket.say('error', { code: 'rate_limited', retryAfterMs }, requestId);
}

function confirm(seq: number): void {
  const { requestId, payload } = on.server.socket.last('message');
  const receipt = { messageId: idOf(seq), roomId: 'r', seq, ordinal: seq, position: `m0-a.${seq}` };
  const createdAt = '2026-03-01T10:00:00Z';
  const { clientMessageId } = payload;
  on.server.socket.say('ack', { ...receipt, createdAt, clientMessageId }, requestId);
}

describe('a session that is ended elsewhere', () => {
  it('says so at the form and keeps what was written for the same person', async () => {
    await on.open();
    on.client.composing.write('r', 'half a sen');
    on.client.sending.send('r', 'on its way', null);
    await settle();
    const { clientMessageId } = sent()[0]?.payload ?? {};
    on.server.socket.end(4020);
    await settle();
    expect(on.state).toMatchObject({ session: 'signed-out', drafts: {}, outbox: [], rooms: {} });
    expect(on.state.ended).toMatch(/signed out/);
    await on.client.session.login({ login: 'me', password: 'x' });
    expect(on.state.drafts.r?.text).toBe('half a sen');
    on.server.socket.hello();
    await settle();
    expect(sent().map((f) => f.payload.clientMessageId)).toEqual([clientMessageId]);
    expect(on.state.ended).toBeNull();
  });

  it('keeps nothing when it was ended here', async () => {
    await on.open();
    on.client.composing.write('r', 'half a sen');
    await on.client.account.signOutEverywhere();
    expect(on.server.count('endSessions')).toBe(1);
    expect(on.state).toMatchObject({ session: 'signed-out', ended: null, kept: null });
    expect(on.server.socket.closed).toBe(true);
  });

  it.each(['everywhere', 'here'])('is not told to whoever ended it: %s', async (where) => {
    await on.open();
    on.client.composing.write('r', 'half a sen');
    const { account, session } = on.client;
    const ended = where === 'here' ? session.logout() : account.signOutEverywhere();
    // The connection hears of it before the answer is here.
    on.server.socket.end(4020);
    expect(on.state.session).toBe('signed-in');
    await ended;
    expect(on.state).toMatchObject({ session: 'signed-out', ended: null, kept: null });
  });

  it('is told when the one who ends it gets no answer', async () => {
    await on.open();
    on.server.failures.set('endSessions', new Problem({ code: 'internal', status: 500 }));
    const ended = on.client.account.signOutEverywhere();
    on.server.socket.end(4020);
    await expect(ended).rejects.toThrow();
    expect(on.state.session).toBe('signed-out');
    expect(on.state.ended).toMatch(/signed out/);
  });

  it('goes on when the server could not end it', async () => {
    await on.open();
    on.server.failures.set('logout', new Problem({ code: 'internal', status: 500 }));
    await on.client.session.logout();
    expect(on.state.session).toBe('signed-in');
    expect(on.state.notices).toHaveLength(1);
    on.server.socket.end(4020);
    await settle();
    expect(on.state.session).toBe('signed-out');
  });

  it('keeps nothing for anyone else', async () => {
    await on.open();
    on.client.composing.write('r', 'half a sen');
    on.server.socket.end(4020);
    await settle();
    on.server.me = { ...ME, userId: 'someone else' };
    await on.client.session.login({ login: 'x', password: 'y' });
    expect(on.clock.restarts).toBe(1);
    expect(on.state.drafts).toEqual({});
  });

  it('found at the next visit says so, too', async () => {
    on.server.failures.set('me', new Problem({ code: 'session_revoked', status: 401 }));
    await on.client.session.restore();
    expect(on.state.ended).toMatch(/signed out/);
  });
});

describe('a server that asks to go slower', () => {
  it('gets the message again under the same id when it said, without a click', async () => {
    await on.open();
    on.client.sending.send('r', 'one', null);
    await settle();
    refuse(5_000);
    await settle();
    expect(on.state.outbox).toMatchObject([{ content: 'one', status: 'sending' }]);
    expect(on.state.pacedUntil).toBeGreaterThanOrEqual(on.clock.time + 5_000);
    expect(on.state.notices[0]?.text).toMatch(/too fast/);
    await on.clock.advance(4_900);
    expect(words()).toEqual(['one']);
    await on.clock.advance(400);
    expect(words()).toEqual(['one', 'one']);
    expect(sent()[0]?.payload.clientMessageId).toBe(sent()[1]?.payload.clientMessageId);
    confirm(4);
    await settle();
    expect(on.state).toMatchObject({ outbox: [], pacedUntil: null });
  });

  it('gets what was written meanwhile one by one and in order', async () => {
    await on.open();
    on.client.sending.send('r', 'one', null);
    await settle();
    refuse(1_000);
    await settle();
    on.client.sending.send('r', 'two', null);
    on.client.sending.send('r', 'three', null);
    await settle();
    expect(words()).toEqual(['one']);
    await on.clock.advance(1_300);
    expect(words()).toEqual(['one', 'one']);
    confirm(4);
    await settle();
    expect(words().slice(2)).toEqual(['two']);
    refuse(1_000);
    await settle();
    expect(words()).toHaveLength(3);
    await on.clock.advance(1_300);
    confirm(5);
    await settle();
    confirm(6);
    await settle();
    expect(words()).toEqual(['one', 'one', 'two', 'two', 'three']);
    expect(on.state.outbox).toEqual([]);
  });

  it('is not met with a long queue at once after a break', async () => {
    await on.open();
    on.server.socket.end(1006);
    for (let i = 0; i < 20; i += 1) on.client.sending.send('r', `line ${i}`, null);
    await on.clock.advance(1_000);
    on.server.socket.hello();
    on.server.socket.say('resumed', { tier: 'replay', positions: [] });
    await settle();
    expect(words()).toEqual(['line 0']);
    confirm(4);
    await settle();
    expect(words()).toEqual(['line 0', 'line 1']);
  });

  it('gets an edit again', async () => {
    await on.open();
    void on.client.sending.edit('r', idOf(3), 'better');
    await settle();
    refuse(2_000, 'edit');
    await on.clock.advance(2_100);
    expect(on.server.socket.sent.filter((f) => f.type === 'edit')).toHaveLength(2);
    expect(on.state.changes[idOf(3)]).toMatchObject({ content: 'better' });
  });

  it('is named while a call waits for it', async () => {
    await on.open();
    on.server.slowed(4_000);
    expect(on.state.notices[0]?.text).toMatch(/4 seconds/);
  });
});

describe('a server that lets no connection in', () => {
  it('is told apart from one that cannot be reached, at the second refusal', async () => {
    await on.open();
    on.server.socket.end(1006);
    await on.clock.advance(1_000);
    on.server.socket.end(1006);
    await settle();
    expect(on.state.link).toMatchObject({ phase: 'waiting' });
    expect(on.state.link.why).toBeUndefined();
    await on.clock.advance(1_000);
    on.server.socket.end(1006);
    await settle();
    expect(on.state.link).toMatchObject({ phase: 'waiting', why: 'refused' });
    await on.clock.advance(5_000);
    on.server.socket.hello();
    expect(on.state.link.why).toBeUndefined();
  });

  it('because of a limit says so', async () => {
    await on.open();
    on.server.socket.end(4008);
    expect(on.state.link).toMatchObject({ phase: 'waiting', why: 'limited' });
  });
});

describe('invitations', () => {
  it('an account made by one is where it leads to before anything is shown', async () => {
    on.server.entered = { roomId: 'r' };
    const seen: string[] = [];
    const input = { username: 'me', email: 'm@example.org', password: 'x', invitation: 't' };
    await on.client.session.register(input, (roomId) => seen.push(`${roomId} ${on.state.session}`));
    expect(seen).toEqual(['r unknown']);
    expect(on.state.session).toBe('signed-in');
    expect(on.server.count('room r')).toBe(1);
  });

  it('someone who is signed in comes into the room', async () => {
    on.server.rooms = [room('r', { joined: true })];
    await on.client.session.restore();
    expect(await on.client.invitations.accept('t')).toBe('r');
    expect(on.server.count('accept')).toBe(1);
    expect(on.state.rooms.r?.joined).toBe(true);
  });

  it('one who is there already just goes there', async () => {
    await on.open();
    expect(await on.client.invitations.accept('t')).toBe('r');
    expect(on.server.count('accept')).toBe(0);
    const other = await on.tab();
    on.server.failures.set('accept', new Problem({ code: 'already_member', status: 409 }));
    expect(await other.invitations.accept('t')).toBe('r');
  });

  it('one that has ended is refused with its reason', async () => {
    await on.client.session.restore();
    on.server.failures.set('look', new Problem({ code: 'invitation_expired', status: 410 }));
    await expect(on.client.invitations.accept('t')).rejects.toMatchObject({
      code: 'invitation_expired',
    });
    expect(on.server.count('accept')).toBe(0);
  });
});

describe('a role on the server', () => {
  const role = () => on.state.me?.role;

  beforeEach(async () => {
    on.server.me = { ...ME, role: 'member' };
    await on.open();
    on.server.me = { ...ME, role: 'guest' };
    on.clock.time += 10_000;
  });

  it('that was taken away is learnt from the first refusal', async () => {
    on.server.failures.set('createRoom', new Problem({ code: 'forbidden', status: 403 }));
    const refused = await on.client.rooms.create({ type: 'group' }).catch((error) => error);
    expect(role()).toBe('member');
    on.client.core.words(refused);
    await settle();
    expect(role()).toBe('guest');
  });

  it('is asked for again on coming back to the page, though not at every glance', async () => {
    on.clock.wake();
    await settle();
    expect(role()).toBe('guest');
    const asked = on.server.count('me');
    on.clock.wake();
    await settle();
    expect(on.server.count('me')).toBe(asked);
  });

  it('stays as it was when nobody answers', async () => {
    on.server.failures.set('me', new Problem({ code: 'offline' }));
    on.clock.wake();
    await settle();
    expect(on.state).toMatchObject({ session: 'signed-in', me: { role: 'member' } });
  });
});

describe('roles in a room', () => {
  it('a changed role is shown as soon as it is told', async () => {
    await on.open();
    await on.client.rooms.changeRole('r', 'ann', 'admin');
    expect(on.server.calls).toContain('changeRole r ann admin');
    const at = '2026-03-01T10:00:00Z';
    const joined = { roomId: 'r', userId: ME.userId, change: 'role', role: 'admin', at };
    on.server.socket.say('member', { ...joined, seq: 4, position: 'm0-a.104' });
    expect(on.state.rooms.r?.role).toBe('admin');
    on.server.socket.say('message', event(message('r', 5)));
    expect(on.state.timelines.r?.headSeen).toBe(5);
  });
});
