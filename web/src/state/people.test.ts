import { beforeEach, describe, expect, it } from 'vitest';
import { Client } from './client';
import { typingText } from './selectors';
import {
  event,
  message,
  room,
  ScriptedClock,
  type ScriptedSocket,
  ScriptedTransport,
  settle,
} from './testing/scripted';

let clock: ScriptedClock;
let server: ScriptedTransport;
let client: Client;

const state = () => client.store.get();
const sent = (type: string, socket: ScriptedSocket = server.socket) =>
  socket.sent.filter((frame) => frame.type === type).map((frame) => frame.payload);

beforeEach(async () => {
  clock = new ScriptedClock();
  server = new ScriptedTransport();
  client = new Client(server, clock);
  server.rooms = [room('r', { headSeq: 1, lastOrdinal: 1 })];
  server.add('r', message('r', 1));
  await client.session.restore();
  server.socket.hello();
  await settle();
  await client.rooms.open('r');
  await settle();
});

/** Minutes in which the server answers every ping. */
async function pass(minutes: number): Promise<void> {
  for (let n = 0; n < minutes * 12; n += 1) {
    await clock.advance(5_000);
    server.socket.say('pong', {});
  }
}

async function reconnect(): Promise<void> {
  const before = server.sockets.length;
  server.socket.end(1006);
  while (server.sockets.length === before) await clock.advance(100);
}

describe('presence', () => {
  it('asks about the people on the screen, in one frame for all that came together', async () => {
    const before = sent('subscribe').length;
    const stopAnn = client.presence.watch(['ann']);
    client.presence.watch(['bo', 'ann']);
    await clock.advance(200);
    expect(sent('subscribe').slice(before)).toEqual([{ presence: ['ann', 'bo'], typing: true }]);
    stopAnn();
    await clock.advance(200);
    expect(sent('subscribe').at(-1)).toEqual({ presence: ['ann', 'bo'], typing: true });
  });

  it('shows the newest of those on the screen and forgets them with it', async () => {
    const stop = client.presence.watch(['ann']);
    await clock.advance(200);
    server.socket.say('presence', { userId: 'ann', status: 'online', text: 'hi' });
    server.socket.say('presence', { userId: 'ann', status: 'away' });
    server.socket.say('presence', { userId: 'stranger', status: 'online' });
    server.socket.say('presence', { userId: 'ann', status: 'on a boat' });
    expect(state().presence).toEqual({ ann: { userId: 'ann', status: 'away' } });
    stop();
    await clock.advance(200);
    expect(state().presence).toEqual({});
    expect(sent('subscribe').at(-1)).toEqual({ presence: [], typing: true });
  });

  it('asks again on a new connection', async () => {
    client.presence.watch(['ann']);
    await clock.advance(200);
    await reconnect();
    server.socket.hello();
    server.socket.say('resumed', { tier: 'replay', replayed: 0, positions: ['m0-a.100'] });
    await settle();
    expect(sent('subscribe')).toEqual([{ presence: ['ann'], typing: true }]);
    expect(server.socket.sent[0]?.type).toBe('resume');
  });

  it('tells that the person went and came back, and now and then that they are there', async () => {
    expect(sent('presence')).toEqual([]);
    clock.touch();
    expect(sent('presence')).toEqual([]);
    for (let minute = 0; minute < 9; minute += 1) {
      await pass(1);
      clock.touch();
    }
    expect(sent('presence')).toEqual([{ status: 'online' }, { status: 'online' }]);
    await pass(10);
    expect(sent('presence').at(-1)).toEqual({ status: 'away' });
    clock.touch();
    expect(sent('presence').at(-1)).toEqual({ status: 'online' });
  });
});

describe('typing', () => {
  const own = () => sent('typing').map(({ isTyping }) => isTyping);

  it('is told at most once in three seconds while the person goes on', async () => {
    for (let n = 1; n <= 40; n += 1) {
      client.composing.write('r', 'x'.repeat(n));
      await clock.advance(200);
    }
    expect(own()).toEqual([true, true, true]);
  });

  it('ends with a pause, an empty text or another room, and with a message by itself', async () => {
    client.composing.write('r', 'h');
    await clock.advance(5_000);
    expect(own()).toEqual([true, false]);
    client.composing.write('r', 'he');
    client.composing.write('r', '');
    expect(own()).toEqual([true, false, true, false]);
    client.composing.write('r', 'hello');
    client.composing.submit('r');
    await clock.advance(10_000);
    expect(own()).toEqual([true, false, true, false, true]);
    client.composing.write('r', 'a');
    client.composing.write('s', 'b');
    const rooms = sent('typing').slice(-3);
    expect(rooms).toEqual([
      { roomId: 'r', isTyping: true },
      { roomId: 'r', isTyping: false },
      { roomId: 's', isTyping: true },
    ]);
  });

  it('is not told of someone who mends an old message', async () => {
    server.socket.say('message', event(message('r', 2, { senderId: 'me' })));
    await settle();
    client.composing.editLast('r');
    client.composing.write('r', 'message 2, mended');
    expect(own()).toEqual([]);
  });

  it('of others is shown until they stop, send, or are silent for six seconds', async () => {
    const types = (userId: string, isTyping = true) =>
      server.socket.say('typing', { roomId: 'r', userId, isTyping });
    types('ann');
    await settle();
    expect(typingText(state(), 'r')).toBe('ann is typing…');
    types('bo');
    await settle();
    expect(typingText(state(), 'r')).toBe('ann and bo are typing…');
    types('cy');
    await settle();
    expect(typingText(state(), 'r')).toBe('Several people are typing…');
    types('bo', false);
    server.socket.say('message', event(message('r', 2, { senderId: 'cy' })));
    await settle();
    expect(typingText(state(), 'r')).toBe('ann is typing…');
    await clock.advance(4_000);
    types('ann');
    await clock.advance(5_900);
    expect(typingText(state(), 'r')).toBe('ann is typing…');
    await clock.advance(200);
    expect(typingText(state(), 'r')).toBe('');
    expect(typingText(state(), 'elsewhere')).toBe('');
  });

  it('of the person themselves and broken frames are not shown', async () => {
    server.socket.say('typing', { roomId: 'r', userId: 'me', isTyping: true });
    server.socket.say('typing', { roomId: 'r', userId: 'ann' });
    server.socket.say('typing', { userId: 'ann', isTyping: true });
    await settle();
    expect(state().typing).toEqual({});
  });

  it('is forgotten when signing out', async () => {
    server.socket.say('typing', { roomId: 'r', userId: 'ann', isTyping: true });
    server.socket.end(4020);
    await clock.advance(7_000);
    expect(state().typing).toEqual({});
  });
});
