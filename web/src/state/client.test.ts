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
const seqs = (roomId: string) => state().timelines[roomId]?.items.map((m) => m.seq);
const texts = (roomId: string) => state().timelines[roomId]?.items.map((m) => m.content);

beforeEach(() => {
  clock = new ScriptedClock();
  server = new ScriptedTransport();
  client = new Client(server, clock);
  server.rooms = [room('r', { headSeq: 3, lastOrdinal: 3 })];
  server.add('r', message('r', 1), message('r', 2), message('r', 3));
});

const open = () => openRoom(client, server);

/** The connection breaks and the next attempt is made. */
async function reconnect(): Promise<void> {
  const before = server.sockets.length;
  server.socket.end(1006);
  while (server.sockets.length === before) await clock.advance(100);
}

describe('session', () => {
  it('without a session cookie it is signed out without asking the server', async () => {
    server.signedIn = false;
    await client.session.restore();
    expect(state().session).toBe('signed-out');
    expect(server.calls).toEqual([]);
  });

  it('restore while the server is away goes on once it answers', async () => {
    server.failures.set('me', new Problem({ code: 'offline' }));
    const restored = client.session.restore();
    await clock.advance(3_000);
    expect(state().session).toBe('unknown');
    server.failures.clear();
    await clock.advance(60_000);
    await restored;
    expect(state().session).toBe('signed-in');
  });

  it('a call refused with 401 ends the session on this side', async () => {
    await open();
    server.failures.set('history', new Problem({ code: 'unauthorized', status: 401 }));
    server.rooms.push(room('s'));
    await client.rooms.open('s');
    expect(state().session).toBe('signed-out');
    expect(server.socket.closed).toBe(true);
  });

  it('close code 4020 signs out', async () => {
    await open();
    server.socket.end(4020);
    await settle();
    expect(state().session).toBe('signed-out');
  });

  it('close code 4001 renews the session and reconnects at once', async () => {
    await open();
    server.socket.end(4001);
    await settle();
    expect(server.count('renew')).toBe(1);
    expect(server.sockets).toHaveLength(2);
  });

  it('another person in the same page starts from a fresh page', async () => {
    await open();
    await client.session.logout();
    server.me = { ...ME, userId: 'someone else' };
    await client.session.login({ login: 'x', password: 'y' });
    expect(clock.restarts).toBe(1);
    expect(state().session).toBe('signed-out');
    server.me = ME;
    await new Client(server, clock).session.login({ login: 'x', password: 'y' });
    expect(clock.restarts).toBe(1);
  });

  it('read pointers are kept for the next visit', async () => {
    await open();
    server.socket.say('message', event(message('r', 4)));
    client.rooms.markRead('r');
    await clock.advance(2_000);
    const next = new Client(server, clock);
    await next.session.restore();
    expect(next.store.get().read).toEqual({ r: 4 });
  });
});

describe('live events', () => {
  it('an event is applied, and the same event again changes nothing', async () => {
    await open();
    server.socket.say('message', event(message('r', 4)));
    server.socket.say('message', event(message('r', 4)));
    expect(seqs('r')).toEqual([1, 2, 3, 4]);
    expect(state().rooms.r?.lastOrdinal).toBe(4);
  });

  it('many events at once are told to the views once', async () => {
    await open();
    let told = 0;
    client.store.subscribe(() => {
      told += 1;
    });
    for (let seq = 4; seq <= 300; seq += 1) server.socket.say('message', event(message('r', seq)));
    expect(seqs('r')).toHaveLength(300);
    expect(told).toBe(0);
    await clock.advance(20);
    expect(told).toBe(1);
  });

  it('a reply in a thread alone takes its seq and is not shown', async () => {
    await open();
    const reply = { ordinal: null, threadId: idOf(2) };
    server.socket.say('message', event(message('r', 4, reply)));
    server.socket.say('message', event(message('r', 5)));
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 5]);
    expect(state().timelines.r?.headSeen).toBe(5);
  });

  it('an unread message in another room is counted once', async () => {
    server.rooms.push(room('s', { headSeq: 1, lastOrdinal: 1 }));
    await open();
    server.socket.say('message', event(message('s', 2)));
    const { rooms, read } = state();
    expect((rooms.s?.lastOrdinal ?? 0) - (read.s ?? 0)).toBe(1);
  });

  it('a jump in seq fetches what is missing', async () => {
    await open();
    server.add('r', message('r', 4), message('r', 5), message('r', 6));
    server.socket.say('message', event(message('r', 6)));
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(state().timelines.r?.ahead).toEqual([]);
    expect(server.calls).toContain('history r - 3');
  });

  it('a hint fetches what it tells of, not older than it, and events go on after it', async () => {
    await open();
    server.add('r', message('r', 4), message('r', 5));
    server.rooms = [room('r', { headSeq: 5, lastOrdinal: 5 })];
    server.socket.say('room', { roomId: 'r', headSeq: 5, headPosition: 'm0-a.105' });
    await clock.advance(1_000);
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(state().roomPositions.r).toBe('m0-a.105');
    server.socket.say('message', event(message('r', 6)));
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(state().timelines.r?.ahead).toEqual([]);
  });

  it('a room hinted at while another is open is completed when it is opened', async () => {
    await open();
    await client.rooms.open('s');
    server.add('r', message('r', 4));
    server.socket.say('room', { roomId: 'r', headSeq: 4, headPosition: 'm0-a.104' });
    await settle();
    await client.rooms.open('r');
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4]);
  });

  it('a hole made by an edit shows the edit', async () => {
    await open();
    const edited = message('r', 2, { content: 'mended', editedAt: '2026-03-01T10:00:00Z' });
    server.messages.set('r', [message('r', 1), edited, message('r', 3), message('r', 5)]);
    server.socket.say('message', event(message('r', 5)));
    await settle();
    expect(texts('r')).toEqual(['message 1', 'mended', 'message 3', 'message 5']);
    expect(state().timelines.r?.headSeen).toBe(5);
  });

  it('a hole is tried again when the first reading fails', async () => {
    await open();
    server.add('r', message('r', 4), message('r', 5));
    server.failures.set('history', new Problem({ code: 'offline' }));
    server.socket.say('message', event(message('r', 5)));
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 5]);
    server.failures.clear();
    await clock.advance(2_000);
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5]);
  });

  it('a member event is no hole, and an unknown event still counts', async () => {
    await open();
    const before = server.count('history');
    const place = { roomId: 'r', position: 'm0-a.104' };
    server.socket.say('member', { ...place, seq: 4, userId: 'bo', change: 'joined' });
    server.socket.say('reaction', { ...place, seq: 5 });
    server.socket.say('message', event(message('r', 6)));
    await settle();
    expect(state().timelines.r?.headSeen).toBe(6);
    expect(server.count('history')).toBe(before);
    expect(state().rooms.r?.memberCount).toBe(3);
  });

  it('being added to a room makes it appear, unread', async () => {
    await open();
    server.rooms.push(room('d', { type: 'direct', headSeq: 2, lastOrdinal: 1 }));
    const place = { roomId: 'd', seq: 1, position: 'm0-a.130' };
    server.socket.say('member', { ...place, userId: 'me', change: 'joined' });
    await settle();
    expect(state().rooms.d?.joined).toBe(true);
    expect(state().read.d).toBe(0);
  });

  it('an edit older than the one shown is ignored; a delete is final', async () => {
    await open();
    const target = { roomId: 'r', messageId: idOf(2), targetSeq: 2 };
    const say = (type: string, seq: number, over: object) =>
      server.socket.say(type, { ...target, seq, position: `m0-a.${100 + seq}`, ...over });
    say('edit', 5, { content: 'second', editedAt: '2026-03-01T10:00:02Z' });
    say('edit', 4, { content: 'first', editedAt: '2026-03-01T10:00:01Z' });
    expect(texts('r')?.[1]).toBe('second');
    say('delete', 6, { deletedAt: '2026-03-01T10:00:03Z' });
    say('edit', 7, { content: 'ghost', editedAt: '2026-03-01T10:00:04Z' });
    expect(state().timelines.r?.items[1]).toMatchObject({
      content: '',
      deletedAt: '2026-03-01T10:00:03Z',
    });
  });
});

describe('reconnecting', () => {
  it('resumes from the newest position and takes the replay without repetition', async () => {
    await open();
    server.socket.say('message', event(message('r', 4)));
    await reconnect();
    server.socket.hello(['m0-a.106']);
    expect(server.socket.last('resume').payload).toEqual({ positions: ['m0-a.104'] });
    server.socket.say('message', event(message('r', 4)));
    server.socket.say('message', event(message('r', 5)));
    server.socket.say('message', event(message('r', 6)));
    const before = server.count('history');
    server.socket.say('resumed', { tier: 'replay', replayed: 2, positions: ['m0-a.106'] });
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5, 6]);
    expect(server.count('history')).toBe(before);
    expect(state().link.phase).toBe('live');
  });

  it('a room whose last word was a hint is read again, whatever the answer to resume', async () => {
    await open();
    server.add('r', message('r', 4));
    server.socket.say('room', { roomId: 'r', headSeq: 4, headPosition: 'm0-a.104' });
    await clock.advance(1_000);
    await settle();
    await reconnect();
    server.add('r', message('r', 5));
    server.socket.hello(['m0-a.109']);
    server.socket.say('resumed', { tier: 'replay', replayed: 0, positions: ['m0-a.109'] });
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(state().roomPositions.r).toBe('m0-a.109');
  });

  it('a pong moves the place to resume from, a hint does not', async () => {
    await open();
    server.socket.say('pong', { positions: ['m0-a.150'] });
    server.socket.say('room', { roomId: 'r', headSeq: 9, headPosition: 'm0-a.180' });
    await reconnect();
    server.socket.hello(['m0-a.200']);
    expect(server.socket.last('resume').payload).toEqual({ positions: ['m0-a.150'] });
  });

  it('a break during the replay resumes from before it', async () => {
    await open();
    server.socket.say('message', event(message('r', 4)));
    await reconnect();
    server.socket.hello(['m0-a.109']);
    server.socket.say('message', event(message('r', 9)));
    await reconnect();
    server.socket.hello(['m0-a.109']);
    expect(server.socket.last('resume').payload).toEqual({ positions: ['m0-a.104'] });
  });

  it('a snapshot reads rooms again and completes the open one', async () => {
    await open();
    await reconnect();
    server.add('r', message('r', 4), message('r', 5));
    server.rooms = [room('r', { headSeq: 5, lastOrdinal: 5 }), room('new')];
    server.socket.hello(['m0-a.900']);
    server.socket.say('resumed', { tier: 'snapshot', positions: ['m0-a.900'] });
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(Object.keys(state().rooms)).toEqual(['r', 'new']);
  });

  /** A frame as a delta holds it. */
  const told = (payload: object) => ({ type: 'message', payload });

  it('a delta completes rooms without reading them, in several parts', async () => {
    await open();
    await reconnect();
    server.socket.hello(['m0-a.106']);
    const before = server.count('history');
    const rooms = [
      { roomId: 'r', events: [4, 5].map((n) => told(event(message('r', n)))), truncated: false },
    ];
    server.socket.say('resumed', { tier: 'delta', more: true, rooms });
    expect(state().link.phase).toBe('catching-up');
    server.socket.say('resumed', { tier: 'delta', rooms: [], positions: ['m0-a.106'] });
    await settle();
    expect(seqs('r')).toEqual([1, 2, 3, 4, 5]);
    expect(server.count('history')).toBe(before);
    expect(state().link.phase).toBe('live');
    await reconnect();
    server.socket.hello(['m0-a.107']);
    expect(server.socket.last('resume').payload).toEqual({ positions: ['m0-a.106'] });
  });

  it('a room of which a delta told only the end is read again', async () => {
    await open();
    await reconnect();
    for (let seq = 4; seq <= 90; seq += 1) server.add('r', message('r', seq));
    server.rooms = [room('r', { headSeq: 90, lastOrdinal: 90 })];
    server.socket.hello(['m0-a.900']);
    const events = [89, 90].map((n) => told(event(message('r', n))));
    const rooms = [{ roomId: 'r', events, truncated: true }];
    server.socket.say('resumed', { tier: 'delta', rooms, positions: ['m0-a.900'] });
    await settle();
    expect(seqs('r')?.at(-1)).toBe(90);
    const held = seqs('r') ?? [];
    expect(held).toEqual(held.map((_, n) => (held[0] ?? 0) + n));
    expect(state().rooms.r?.headSeq).toBe(90);
  });

  it('a break between the parts of a delta resumes from before them', async () => {
    await open();
    await reconnect();
    server.socket.hello(['m0-a.900']);
    const known = server.socket.last('resume').payload;
    const rooms = [{ roomId: 'r', events: [told(event(message('r', 4)))], truncated: false }];
    server.socket.say('resumed', { tier: 'delta', more: true, rooms });
    await reconnect();
    server.socket.hello(['m0-a.900']);
    expect(server.socket.last('resume').payload).toEqual(known);
  });

  it('an invalid position is a snapshot, and the next resume names the new log', async () => {
    await open();
    await reconnect();
    server.socket.hello(['m0-b.7']);
    server.socket.say('invalid', { reason: 'epoch' });
    await settle();
    expect(state().link.phase).toBe('live');
    await reconnect();
    server.socket.hello(['m0-b.9']);
    expect(server.socket.last('resume').payload).toEqual({ positions: ['m0-b.7'] });
  });

  it('very much missed history is replaced by its newest page', async () => {
    await open();
    await reconnect();
    for (let seq = 4; seq <= 2_000; seq += 1) server.add('r', message('r', seq));
    server.socket.hello(['m0-a.9000']);
    server.socket.say('resumed', { tier: 'snapshot', positions: ['m0-a.9000'] });
    await settle();
    expect(seqs('r')?.[0]).toBe(1_951);
    expect(seqs('r')?.at(-1)).toBe(2_000);
    expect(state().timelines.r?.atStart).toBe(false);
  });

  it('attempts are spread out ever more, and the network coming back ends the waiting', async () => {
    await open();
    server.socket.end(1006);
    expect(state().link).toMatchObject({ phase: 'waiting', attempt: 1 });
    await clock.advance(400);
    expect(server.sockets).toHaveLength(2);
    server.socket.end(1006);
    await settle();
    expect(state().link).toMatchObject({ phase: 'waiting', attempt: 2 });
    expect((state().link.nextAt ?? 0) - clock.now()).toBe(750);
    clock.wake();
    expect(server.sockets).toHaveLength(3);
  });

  it('close code 4012 waits for as long as the server says', async () => {
    await open();
    server.socket.end(4012, '2500');
    expect((state().link.nextAt ?? 0) - clock.now()).toBe(2_500);
  });

  it('a refused connection asks for the session and signs out when it is over', async () => {
    await open();
    server.socket.end(1006);
    await clock.advance(1_000);
    server.failures.set('me', new Problem({ code: 'unauthorized', status: 401 }));
    server.socket.end(1006);
    await settle();
    expect(state().session).toBe('signed-out');
  });

  it('silence after a ping ends the connection', async () => {
    await open();
    await clock.advance(30_000);
    expect(server.socket.last('ping').type).toBe('ping');
    server.socket.say('pong', {});
    await clock.advance(11_000);
    expect(server.sockets).toHaveLength(1);
    await clock.advance(19_000 + 10_000 + 1_000);
    expect(server.sockets[0]?.closed).toBe(true);
    expect(server.sockets).toHaveLength(2);
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
    await open();
    client.sending.send('r', 'hi', null);
    expect(state().outbox).toMatchObject([{ content: 'hi', status: 'sending' }]);
    const sent = server.socket.last('message');
    const key = sent.payload.clientMessageId;
    server.socket.say('ack', ack(4), sent.requestId);
    await settle();
    expect(state().outbox).toEqual([]);
    expect(state().timelines.r?.items.at(-1)).toMatchObject({ seq: 4, content: 'hi', key });
    const own = message('r', 4, { senderId: ME.userId, content: 'hi' });
    server.socket.say('message', event(own, { clientMessageId: key }));
    expect(texts('r')?.filter((t) => t === 'hi')).toHaveLength(1);
  });

  it('the event before its ack is shown once, under the same key', async () => {
    await open();
    client.sending.send('r', 'hi', null);
    const sent = server.socket.last('message');
    const key = sent.payload.clientMessageId;
    const own = message('r', 4, { senderId: ME.userId, content: 'hi' });
    server.socket.say('message', event(own, { clientMessageId: key }));
    expect(state().outbox).toEqual([]);
    server.socket.say('ack', ack(4), sent.requestId);
    await settle();
    expect(state().timelines.r?.items.filter((m) => m.seq === 4)).toMatchObject([{ key }]);
  });

  it('a refused message fails with words and is retried under the same id', async () => {
    await open();
    client.sending.send('r', 'hi', null);
    const first = server.socket.last('message');
    server.socket.say('error', { code: 'room_archived' }, first.requestId);
    await settle();
    expect(state().outbox).toMatchObject([
      { status: 'failed', error: 'This room is archived: it can be read, not written.' },
    ]);
    const id = state().outbox[0]?.clientMessageId ?? '';
    client.sending.retry(id);
    const second = server.socket.last('message');
    expect(second.requestId).not.toBe(first.requestId);
    expect(second.payload.clientMessageId).toBe(first.payload.clientMessageId);
  });

  it('a server in trouble is asked again under the same id before the message fails', async () => {
    await open();
    client.sending.send('r', 'hi', null);
    const first = server.socket.last('message');
    server.socket.say('error', { code: 'outcome_unknown', retryAfterMs: 1_000 }, first.requestId);
    await settle();
    expect(state().outbox).toMatchObject([{ status: 'sending' }]);
    await clock.advance(1_100);
    const second = server.socket.last('message');
    expect(second.requestId).not.toBe(first.requestId);
    expect(second.payload.clientMessageId).toBe(first.payload.clientMessageId);
    for (let i = 0; i < 4; i += 1) {
      server.socket.say('error', { code: 'busy' }, server.socket.last('message').requestId);
      await clock.advance(8_000);
    }
    expect(state().outbox).toMatchObject([{ status: 'failed' }]);
  });

  it('what a broken connection left open is sent again, under the same id', async () => {
    await open();
    client.sending.send('r', 'one', null);
    const id = server.socket.last('message').payload.clientMessageId;
    server.socket.end(1006);
    client.sending.send('r', 'two', null);
    expect(state().outbox.map((o) => o.status)).toEqual(['sending', 'sending']);
    await clock.advance(1_000);
    server.socket.hello(['m0-a.104']);
    const own = message('r', 4, { senderId: ME.userId, content: 'one' });
    server.socket.say('message', event(own, { clientMessageId: id }));
    server.socket.say('resumed', { tier: 'replay', positions: ['m0-a.104'] });
    await settle();
    const sent = server.socket.sent.filter((f) => f.type === 'message');
    expect(sent.map((f) => f.payload.content)).toEqual(['two']);
    expect(texts('r')?.at(-1)).toBe('one');
  });

  it('a message too large for a frame goes by REST', async () => {
    await open();
    client.sending.send('r', '漢'.repeat(30_000), null);
    await settle();
    expect(server.count('send')).toBe(1);
    expect(server.socket.sent.filter((f) => f.type === 'message')).toEqual([]);
    expect(state().outbox).toEqual([]);
  });

  it('an edit is shown at once and taken back when it is refused', async () => {
    await open();
    void client.sending.edit('r', idOf(3), 'better');
    expect(state().changes[idOf(3)]).toMatchObject({ kind: 'edit', content: 'better' });
    const sent = server.socket.last('edit');
    server.socket.say('error', { code: 'forbidden' }, sent.requestId);
    await settle();
    expect(state().changes).toEqual({});
    expect(state().notices).toMatchObject([{ text: 'You may not do this here.' }]);
  });

  it('an acknowledged delete stays shown until its event', async () => {
    await open();
    void client.sending.remove('r', idOf(3));
    const sent = server.socket.last('delete');
    server.socket.say('ack', { roomId: 'r', seq: 4, position: 'm0-a.104' }, sent.requestId);
    await settle();
    expect(state().changes[idOf(3)]).toMatchObject({ kind: 'delete', seq: 4 });
    const target = { roomId: 'r', messageId: idOf(3), targetSeq: 3, position: 'm0-a.104' };
    server.socket.say('delete', { ...target, seq: 4, deletedAt: '2026-03-01T10:00:00Z' });
    expect(state().changes).toEqual({});
    expect(state().timelines.r?.items.at(-1)?.deletedAt).not.toBeNull();
  });
});
