import { describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import type { Member } from '../protocol/types';
import { Client } from './client';
import { event, idOf, ME, message, room, settle } from './testing/scripted';
import { stage } from './testing/stage';

const on = stage((set) => set.furnish(3));
const texts = (roomId: string) => on.state.timelines[roomId]?.items.map((m) => m.content);

describe('session', () => {
  it('without a session cookie it is signed out without asking the server', async () => {
    on.server.signedIn = false;
    await on.client.session.restore();
    expect(on.state.session).toBe('signed-out');
    expect(on.server.calls).toEqual([]);
  });

  it('restore while the server is away goes on once it answers', async () => {
    on.server.failures.set('me', new Problem({ code: 'offline' }));
    const restored = on.client.session.restore();
    await on.clock.advance(3_000);
    expect(on.state.session).toBe('unknown');
    on.server.failures.clear();
    await on.clock.advance(60_000);
    await restored;
    expect(on.state.session).toBe('signed-in');
  });

  it('a call refused with 401 ends the session on this side', async () => {
    await on.open();
    on.server.failures.set('history', new Problem({ code: 'unauthorized', status: 401 }));
    on.server.rooms.push(room('s'));
    await on.client.rooms.open('s');
    expect(on.state.session).toBe('signed-out');
    expect(on.server.socket.closed).toBe(true);
  });

  it('close code 4020 signs out', async () => {
    await on.open();
    on.server.socket.end(4020);
    await settle();
    expect(on.state.session).toBe('signed-out');
  });

  it('close code 4001 renews the session and reconnects at once', async () => {
    await on.open();
    on.server.socket.end(4001);
    await settle();
    expect(on.server.count('renew')).toBe(1);
    expect(on.server.sockets).toHaveLength(2);
  });

  it('another person in the same page starts from a fresh page', async () => {
    await on.open();
    await on.client.session.logout();
    on.server.me = { ...ME, userId: 'someone else' };
    await on.client.session.login({ login: 'x', password: 'y' });
    expect(on.clock.restarts).toBe(1);
    expect(on.state.session).toBe('signed-out');
    on.server.me = ME;
    await new Client(on.server, on.clock).session.login({ login: 'x', password: 'y' });
    expect(on.clock.restarts).toBe(1);
  });

  it('read pointers are kept for the next visit', async () => {
    await on.open();
    on.server.socket.say('message', event(message('r', 4)));
    on.client.rooms.markRead('r');
    await on.clock.advance(2_000);
    const next = new Client(on.server, on.clock);
    await next.session.restore();
    expect(next.store.get().read).toEqual({ r: 4 });
  });
});

describe('live events', () => {
  it('an event is applied, and the same event again changes nothing', async () => {
    await on.open();
    on.server.socket.say('message', event(message('r', 4)));
    on.server.socket.say('message', event(message('r', 4)));
    expect(on.seqs('r')).toEqual([1, 2, 3, 4]);
    expect(on.state.rooms.r?.lastOrdinal).toBe(4);
  });

  it('many events at once are told to the views once', async () => {
    await on.open();
    let told = 0;
    on.client.store.subscribe(() => {
      told += 1;
    });
    for (let seq = 4; seq <= 300; seq += 1)
      on.server.socket.say('message', event(message('r', seq)));
    expect(on.seqs('r')).toHaveLength(300);
    expect(told).toBe(0);
    await on.clock.advance(20);
    expect(told).toBe(1);
  });

  it('a reply in a thread alone takes its seq and is not shown', async () => {
    await on.open();
    const reply = { ordinal: null, threadId: idOf(2) };
    on.server.socket.say('message', event(message('r', 4, reply)));
    on.server.socket.say('message', event(message('r', 5)));
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 5]);
    expect(on.state.timelines.r?.headSeen).toBe(5);
  });

  it('an unread message in another room is counted once', async () => {
    on.server.rooms.push(room('s', { headSeq: 1, lastOrdinal: 1 }));
    await on.open();
    on.server.socket.say('message', event(message('s', 2)));
    const { rooms, read } = on.state;
    expect((rooms.s?.lastOrdinal ?? 0) - (read.s ?? 0)).toBe(1);
  });

  it('a jump in seq fetches what is missing', async () => {
    await on.open();
    on.server.add('r', message('r', 4), message('r', 5), message('r', 6));
    on.server.socket.say('message', event(message('r', 6)));
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(on.state.timelines.r?.ahead).toEqual([]);
    expect(on.server.calls).toContain('history r - 3');
  });

  it('a hint fetches what it tells of, not older than it, and events go on after it', async () => {
    await on.open();
    on.server.add('r', message('r', 4), message('r', 5));
    on.server.rooms = [room('r', { headSeq: 5, lastOrdinal: 5 })];
    on.server.socket.say('room', { roomId: 'r', headSeq: 5, headPosition: 'm0-a.105' });
    await on.clock.advance(1_000);
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(on.state.roomPositions.r).toBe('m0-a.105');
    on.server.socket.say('message', event(message('r', 6)));
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(on.state.timelines.r?.ahead).toEqual([]);
  });

  it('a room hinted at while another is open is completed when it is opened', async () => {
    await on.open();
    await on.client.rooms.open('s');
    on.server.add('r', message('r', 4));
    on.server.socket.say('room', { roomId: 'r', headSeq: 4, headPosition: 'm0-a.104' });
    await settle();
    await on.client.rooms.open('r');
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4]);
  });

  it('a hole made by an edit shows the edit', async () => {
    await on.open();
    const edited = message('r', 2, { content: 'mended', editedAt: '2026-03-01T10:00:00Z' });
    on.server.messages.set('r', [message('r', 1), edited, message('r', 3), message('r', 5)]);
    on.server.socket.say('message', event(message('r', 5)));
    await settle();
    expect(texts('r')).toEqual(['message 1', 'mended', 'message 3', 'message 5']);
    expect(on.state.timelines.r?.headSeen).toBe(5);
  });

  it('a hole is tried again when the first reading fails', async () => {
    await on.open();
    on.server.add('r', message('r', 4), message('r', 5));
    on.server.failures.set('history', new Problem({ code: 'offline' }));
    on.server.socket.say('message', event(message('r', 5)));
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 5]);
    on.server.failures.clear();
    await on.clock.advance(2_000);
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5]);
  });

  it('a list of members that was read while someone came is read again', async () => {
    const here = (userId: string): Member => {
      const named = { userId, username: userId, displayName: userId };
      return { ...named, role: 'member', joinedAt: '2026-03-01T10:00:00Z' };
    };
    const now = Promise.resolve([here('me'), here('cy'), here('bo')]);
    let arrive: (members: Member[]) => void = () => {};
    const slow = new Promise<Member[]>((resolve) => {
      arrive = resolve;
    });
    await on.open();
    on.server.memberPages = [slow, now, now];
    const loading = on.client.rooms.loadMembers('r');
    const place = { roomId: 'r', occurredAt: 'now', position: 'm0-a.104' };
    on.server.socket.say('member', { ...place, seq: 4, userId: 'bo', change: 'joined' });
    await settle();
    arrive([here('me'), here('cy')]);
    await loading;
    await settle();
    expect(on.state.members.r?.items.map((m) => m.userId)).toContain('bo');
  });

  it('members read because of an event are not older than it', async () => {
    await on.open();
    on.server.memberPositions.length = 0;
    on.client.store.dispatch({
      type: 'members/loaded',
      roomId: 'r',
      members: [],
      nextCursor: null,
      append: false,
    });
    const place = { roomId: 'r', occurredAt: 'now', position: 'm0-a.104' };
    on.server.socket.say('member', { ...place, seq: 4, userId: 'bo', change: 'joined' });
    await settle();
    expect(on.server.memberPositions).toEqual(['m0-a.104']);
  });

  it('a member event is no hole, and an unknown event still counts', async () => {
    await on.open();
    const before = on.server.count('history');
    const place = { roomId: 'r', position: 'm0-a.104' };
    on.server.socket.say('member', { ...place, seq: 4, userId: 'bo', change: 'joined' });
    on.server.socket.say('reaction', { ...place, seq: 5 });
    on.server.socket.say('message', event(message('r', 6)));
    await settle();
    expect(on.state.timelines.r?.headSeen).toBe(6);
    expect(on.server.count('history')).toBe(before);
    expect(on.state.rooms.r?.memberCount).toBe(3);
  });

  it('being added to a room makes it appear, unread', async () => {
    await on.open();
    on.server.rooms.push(room('d', { type: 'direct', headSeq: 2, lastOrdinal: 1 }));
    const place = { roomId: 'd', seq: 1, position: 'm0-a.130' };
    on.server.socket.say('member', { ...place, userId: 'me', change: 'joined' });
    await settle();
    expect(on.state.rooms.d?.joined).toBe(true);
    expect(on.state.read.d).toBe(0);
  });

  it('an edit older than the one shown is ignored; a delete is final', async () => {
    await on.open();
    const target = { roomId: 'r', messageId: idOf(2), targetSeq: 2 };
    const say = (type: string, seq: number, over: object) =>
      on.server.socket.say(type, { ...target, seq, position: `m0-a.${100 + seq}`, ...over });
    say('edit', 5, { content: 'second', editedAt: '2026-03-01T10:00:02Z' });
    say('edit', 4, { content: 'first', editedAt: '2026-03-01T10:00:01Z' });
    expect(texts('r')?.[1]).toBe('second');
    say('delete', 6, { deletedAt: '2026-03-01T10:00:03Z' });
    say('edit', 7, { content: 'ghost', editedAt: '2026-03-01T10:00:04Z' });
    expect(on.state.timelines.r?.items[1]).toMatchObject({
      content: '',
      deletedAt: '2026-03-01T10:00:03Z',
    });
  });
});

describe('reconnecting', () => {
  it('resumes from the newest position and takes the replay without repetition', async () => {
    await on.open();
    on.server.socket.say('message', event(message('r', 4)));
    await on.reconnect();
    on.server.socket.hello(['m0-a.106']);
    expect(on.server.socket.last('resume').payload).toEqual({ positions: ['m0-a.104'] });
    on.server.socket.say('message', event(message('r', 4)));
    on.server.socket.say('message', event(message('r', 5)));
    on.server.socket.say('message', event(message('r', 6)));
    const before = on.server.count('history');
    on.server.socket.say('resumed', { tier: 'replay', replayed: 2, positions: ['m0-a.106'] });
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(on.server.count('history')).toBe(before);
    expect(on.state.link.phase).toBe('live');
  });

  it('a room whose last word was a hint is read again, whatever the answer to resume', async () => {
    await on.open();
    on.server.add('r', message('r', 4));
    on.server.socket.say('room', { roomId: 'r', headSeq: 4, headPosition: 'm0-a.104' });
    await on.clock.advance(1_000);
    await settle();
    await on.reconnect();
    on.server.add('r', message('r', 5));
    on.server.socket.hello(['m0-a.109']);
    on.server.socket.say('resumed', { tier: 'replay', replayed: 0, positions: ['m0-a.109'] });
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(on.state.roomPositions.r).toBe('m0-a.109');
  });

  it('a pong moves the place to resume from, a hint does not', async () => {
    await on.open();
    on.server.socket.say('pong', { positions: ['m0-a.150'] });
    on.server.socket.say('room', { roomId: 'r', headSeq: 9, headPosition: 'm0-a.180' });
    await on.reconnect();
    on.server.socket.hello(['m0-a.200']);
    expect(on.server.socket.last('resume').payload).toEqual({ positions: ['m0-a.150'] });
  });

  it('a break during the replay resumes from before it', async () => {
    await on.open();
    on.server.socket.say('message', event(message('r', 4)));
    await on.reconnect();
    on.server.socket.hello(['m0-a.109']);
    on.server.socket.say('message', event(message('r', 9)));
    await on.reconnect();
    on.server.socket.hello(['m0-a.109']);
    expect(on.server.socket.last('resume').payload).toEqual({ positions: ['m0-a.104'] });
  });

  it('a snapshot reads rooms again and completes the open one', async () => {
    await on.open();
    await on.reconnect();
    on.server.add('r', message('r', 4), message('r', 5));
    on.server.rooms = [room('r', { headSeq: 5, lastOrdinal: 5 }), room('new')];
    on.server.socket.hello(['m0-a.900']);
    on.server.socket.say('resumed', { tier: 'snapshot', positions: ['m0-a.900'] });
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(Object.keys(on.state.rooms)).toEqual(['r', 'new']);
  });

  /** A frame as a delta holds it. */
  const told = (payload: object) => ({ type: 'message', payload });

  it('a delta completes rooms without reading them, in several parts', async () => {
    await on.open();
    await on.reconnect();
    on.server.socket.hello(['m0-a.106']);
    const before = on.server.count('history');
    const rooms = [
      { roomId: 'r', events: [4, 5].map((n) => told(event(message('r', n)))), truncated: false },
    ];
    on.server.socket.say('resumed', { tier: 'delta', more: true, rooms });
    expect(on.state.link.phase).toBe('catching-up');
    on.server.socket.say('resumed', { tier: 'delta', rooms: [], positions: ['m0-a.106'] });
    await settle();
    expect(on.seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(on.server.count('history')).toBe(before);
    expect(on.state.link.phase).toBe('live');
    await on.reconnect();
    on.server.socket.hello(['m0-a.107']);
    expect(on.server.socket.last('resume').payload).toEqual({ positions: ['m0-a.106'] });
  });

  it('a room of which a delta told only the end is read again', async () => {
    await on.open();
    await on.reconnect();
    for (let seq = 4; seq <= 90; seq += 1) on.server.add('r', message('r', seq));
    on.server.rooms = [room('r', { headSeq: 90, lastOrdinal: 90 })];
    on.server.socket.hello(['m0-a.900']);
    const events = [89, 90].map((n) => told(event(message('r', n))));
    const rooms = [{ roomId: 'r', events, truncated: true }];
    on.server.socket.say('resumed', { tier: 'delta', rooms, positions: ['m0-a.900'] });
    await settle();
    expect(on.seqs('r')?.at(-1)).toBe(90);
    const held = on.seqs('r') ?? [];
    expect(held).toEqual(held.map((_, n) => (held[0] ?? 0) + n));
    expect(on.state.rooms.r?.headSeq).toBe(90);
  });

  it('a break between the parts of a delta resumes from before them', async () => {
    await on.open();
    await on.reconnect();
    on.server.socket.hello(['m0-a.900']);
    const known = on.server.socket.last('resume').payload;
    const rooms = [{ roomId: 'r', events: [told(event(message('r', 4)))], truncated: false }];
    on.server.socket.say('resumed', { tier: 'delta', more: true, rooms });
    await on.reconnect();
    on.server.socket.hello(['m0-a.900']);
    expect(on.server.socket.last('resume').payload).toEqual(known);
  });

  it('an invalid position is a snapshot, and the next resume names the new log', async () => {
    await on.open();
    await on.reconnect();
    on.server.socket.hello(['m0-b.7']);
    on.server.socket.say('invalid', { reason: 'epoch' });
    await settle();
    expect(on.state.link.phase).toBe('live');
    await on.reconnect();
    on.server.socket.hello(['m0-b.9']);
    expect(on.server.socket.last('resume').payload).toEqual({ positions: ['m0-b.7'] });
  });

  it('very much missed history is replaced by its newest page', async () => {
    await on.open();
    await on.reconnect();
    for (let seq = 4; seq <= 2_000; seq += 1) on.server.add('r', message('r', seq));
    on.server.socket.hello(['m0-a.9000']);
    on.server.socket.say('resumed', { tier: 'snapshot', positions: ['m0-a.9000'] });
    await settle();
    expect(on.seqs('r')?.[0]).toBe(1_951);
    expect(on.seqs('r')?.at(-1)).toBe(2_000);
    expect(on.state.timelines.r?.atStart).toBe(false);
  });

  it('attempts are spread out ever more, and the network coming back ends the waiting', async () => {
    await on.open();
    on.server.socket.end(1006);
    expect(on.state.link).toMatchObject({ phase: 'waiting', attempt: 1 });
    await on.clock.advance(400);
    expect(on.server.sockets).toHaveLength(2);
    on.server.socket.end(1006);
    await settle();
    expect(on.state.link).toMatchObject({ phase: 'waiting', attempt: 2 });
    expect((on.state.link.nextAt ?? 0) - on.clock.now()).toBe(750);
    on.clock.wake();
    expect(on.server.sockets).toHaveLength(3);
  });

  it('close code 4012 waits for as long as the server says', async () => {
    await on.open();
    on.server.socket.end(4012, '2500');
    expect((on.state.link.nextAt ?? 0) - on.clock.now()).toBe(2_500);
  });

  it('a refused connection asks for the session and signs out when it is over', async () => {
    await on.open();
    on.server.socket.end(1006);
    await on.clock.advance(1_000);
    on.server.failures.set('me', new Problem({ code: 'unauthorized', status: 401 }));
    on.server.socket.end(1006);
    await settle();
    expect(on.state.session).toBe('signed-out');
  });

  it('silence after a ping ends the connection', async () => {
    await on.open();
    await on.clock.advance(30_000);
    expect(on.server.socket.last('ping').type).toBe('ping');
    on.server.socket.say('pong', {});
    await on.clock.advance(11_000);
    expect(on.server.sockets).toHaveLength(1);
    await on.clock.advance(19_000 + 10_000 + 1_000);
    expect(on.server.sockets[0]?.closed).toBe(true);
    expect(on.server.sockets).toHaveLength(2);
  });
});

describe('sending', () => {
  const ack = (seq: number) => ({
    messageId: idOf(seq),
    roomId: 'r',
    seq,
    ordinal: seq,
    createdAt: '2026-03-01T10:00:00Z',
    position: `m0-a.${100 + seq}`,
  });

  it('shows the message at once and puts the stored one in its place', async () => {
    await on.open();
    on.client.sending.send('r', 'hi', null);
    expect(on.state.outbox).toMatchObject([{ content: 'hi', status: 'sending' }]);
    const sent = on.server.socket.last('message');
    const key = sent.payload.clientMessageId;
    on.server.socket.say('ack', ack(4), sent.requestId);
    await settle();
    expect(on.state.outbox).toEqual([]);
    expect(on.state.timelines.r?.items.at(-1)).toMatchObject({ seq: 4, content: 'hi', key });
    const own = message('r', 4, { senderId: ME.userId, content: 'hi' });
    on.server.socket.say('message', event(own, { clientMessageId: key }));
    expect(texts('r')?.filter((t) => t === 'hi')).toHaveLength(1);
  });

  it('the event before its ack is shown once, under the same key', async () => {
    await on.open();
    on.client.sending.send('r', 'hi', null);
    const sent = on.server.socket.last('message');
    const key = sent.payload.clientMessageId;
    const own = message('r', 4, { senderId: ME.userId, content: 'hi' });
    on.server.socket.say('message', event(own, { clientMessageId: key }));
    expect(on.state.outbox).toEqual([]);
    on.server.socket.say('ack', ack(4), sent.requestId);
    await settle();
    expect(on.state.timelines.r?.items.filter((m) => m.seq === 4)).toMatchObject([{ key }]);
  });

  it('a refused message fails with words and is retried under the same id', async () => {
    await on.open();
    on.client.sending.send('r', 'hi', null);
    const first = on.server.socket.last('message');
    on.server.socket.say('error', { code: 'room_archived' }, first.requestId);
    await settle();
    expect(on.state.outbox).toMatchObject([
      { status: 'failed', error: 'This room is archived: it can be read, not written.' },
    ]);
    const id = on.state.outbox[0]?.clientMessageId ?? '';
    on.client.sending.retry(id);
    const second = on.server.socket.last('message');
    expect(second.requestId).not.toBe(first.requestId);
    expect(second.payload.clientMessageId).toBe(first.payload.clientMessageId);
  });

  it('a server in trouble is asked again under the same id before the message fails', async () => {
    await on.open();
    on.client.sending.send('r', 'hi', null);
    const first = on.server.socket.last('message');
    on.server.socket.say(
      'error',
      { code: 'outcome_unknown', retryAfterMs: 1_000 },
      first.requestId,
    );
    await settle();
    expect(on.state.outbox).toMatchObject([{ status: 'sending' }]);
    await on.clock.advance(1_100);
    const second = on.server.socket.last('message');
    expect(second.requestId).not.toBe(first.requestId);
    expect(second.payload.clientMessageId).toBe(first.payload.clientMessageId);
    for (let i = 0; i < 4; i += 1) {
      on.server.socket.say('error', { code: 'busy' }, on.server.socket.last('message').requestId);
      await on.clock.advance(8_000);
    }
    expect(on.state.outbox).toMatchObject([{ status: 'failed' }]);
  });

  it('what a broken connection left open is sent again, under the same id', async () => {
    await on.open();
    on.client.sending.send('r', 'one', null);
    const id = on.server.socket.last('message').payload.clientMessageId;
    on.server.socket.end(1006);
    on.client.sending.send('r', 'two', null);
    expect(on.state.outbox.map((o) => o.status)).toEqual(['sending', 'sending']);
    await on.clock.advance(1_000);
    on.server.socket.hello(['m0-a.104']);
    const own = message('r', 4, { senderId: ME.userId, content: 'one' });
    on.server.socket.say('message', event(own, { clientMessageId: id }));
    on.server.socket.say('resumed', { tier: 'replay', positions: ['m0-a.104'] });
    await settle();
    const sent = on.server.socket.sent.filter((f) => f.type === 'message');
    expect(sent.map((f) => f.payload.content)).toEqual(['two']);
    expect(texts('r')?.at(-1)).toBe('one');
  });

  it('a message too large for a frame goes by REST', async () => {
    await on.open();
    on.client.sending.send('r', '漢'.repeat(30_000), null);
    await settle();
    expect(on.server.count('send')).toBe(1);
    expect(on.server.socket.sent.filter((f) => f.type === 'message')).toEqual([]);
    expect(on.state.outbox).toEqual([]);
  });

  it('an edit is shown at once and taken back when it is refused', async () => {
    await on.open();
    void on.client.sending.edit('r', idOf(3), 'better');
    expect(on.state.changes[idOf(3)]).toMatchObject({ kind: 'edit', content: 'better' });
    const sent = on.server.socket.last('edit');
    on.server.socket.say('error', { code: 'forbidden' }, sent.requestId);
    await settle();
    expect(on.state.changes).toEqual({});
    expect(on.state.notices).toMatchObject([{ text: 'You may not do this here.' }]);
  });

  it('an acknowledged delete stays shown until its event', async () => {
    await on.open();
    void on.client.sending.remove('r', idOf(3));
    const sent = on.server.socket.last('delete');
    on.server.socket.say('ack', { roomId: 'r', seq: 4, position: 'm0-a.104' }, sent.requestId);
    await settle();
    expect(on.state.changes[idOf(3)]).toMatchObject({ kind: 'delete', seq: 4 });
    const target = { roomId: 'r', messageId: idOf(3), targetSeq: 3, position: 'm0-a.104' };
    on.server.socket.say('delete', { ...target, seq: 4, deletedAt: '2026-03-01T10:00:00Z' });
    expect(on.state.changes).toEqual({});
    expect(on.state.timelines.r?.items.at(-1)?.deletedAt).not.toBeNull();
  });
});
