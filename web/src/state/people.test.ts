import { describe, expect, it } from 'vitest';
import { typingText } from './selectors';
import { event, message, type ScriptedSocket, settle } from './testing/scripted';
import { stage } from './testing/stage';

const on = stage((set) => {
  set.furnish(1);
  return set.open();
});
const sent = (type: string, socket: ScriptedSocket = on.server.socket) =>
  socket.sent.filter((frame) => frame.type === type).map((frame) => frame.payload);

/** Minutes in which the server answers every ping. */
async function pass(minutes: number): Promise<void> {
  for (let n = 0; n < minutes * 12; n += 1) {
    await on.clock.advance(5_000);
    on.server.socket.say('pong', {});
  }
}

describe('presence', () => {
  it('asks about the people on the screen, in one frame for all that came together', async () => {
    const before = sent('subscribe').length;
    const stopAnn = on.client.presence.watch(['ann']);
    on.client.presence.watch(['bo', 'ann']);
    await on.clock.advance(200);
    expect(sent('subscribe').slice(before)).toEqual([{ presence: ['ann', 'bo'], typing: true }]);
    stopAnn();
    await on.clock.advance(200);
    expect(sent('subscribe').at(-1)).toEqual({ presence: ['ann', 'bo'], typing: true });
  });

  it('shows the newest of those on the screen and forgets them with it', async () => {
    const stop = on.client.presence.watch(['ann']);
    await on.clock.advance(200);
    on.server.socket.say('presence', { userId: 'ann', status: 'online', text: 'hi' });
    on.server.socket.say('presence', { userId: 'ann', status: 'away' });
    on.server.socket.say('presence', { userId: 'stranger', status: 'online' });
    on.server.socket.say('presence', { userId: 'ann', status: 'on a boat' });
    expect(on.state.presence).toEqual({ ann: { userId: 'ann', status: 'away' } });
    stop();
    await on.clock.advance(200);
    expect(on.state.presence).toEqual({});
    expect(sent('subscribe').at(-1)).toEqual({ presence: [], typing: true });
  });

  it('asks again on a new connection', async () => {
    on.client.presence.watch(['ann']);
    await on.clock.advance(200);
    await on.reconnect();
    on.server.socket.hello();
    on.server.socket.say('resumed', { tier: 'replay', replayed: 0, positions: ['m0-a.100'] });
    await settle();
    expect(sent('subscribe')).toEqual([{ presence: ['ann'], typing: true }]);
    expect(on.server.socket.sent[0]?.type).toBe('resume');
  });

  it('is not known while the server cannot be reached, except for a moment', async () => {
    on.client.presence.watch(['ann']);
    await on.clock.advance(200);
    on.server.socket.say('presence', { userId: 'ann', status: 'online' });
    await on.clock.advance(200);
    await on.reconnect();
    expect(Object.keys(on.state.presence)).toEqual(['ann']);
    await on.reconnect();
    expect(on.state.presence).toEqual({});
  });

  it('tells that the person went and came back, and now and then that they are there', async () => {
    expect(sent('presence')).toEqual([]);
    on.clock.touch();
    expect(sent('presence')).toEqual([]);
    for (let minute = 0; minute < 9; minute += 1) {
      await pass(1);
      on.clock.touch();
    }
    expect(sent('presence')).toEqual([{ status: 'online' }, { status: 'online' }]);
    await pass(10);
    expect(sent('presence').at(-1)).toEqual({ status: 'away' });
    on.clock.touch();
    expect(sent('presence').at(-1)).toEqual({ status: 'online' });
  });
});

describe('typing', () => {
  const own = () => sent('typing').map(({ isTyping }) => isTyping);

  it('is told at most once in three seconds while the person goes on', async () => {
    for (let n = 1; n <= 40; n += 1) {
      on.client.composing.write('r', 'x'.repeat(n));
      await on.clock.advance(200);
    }
    expect(own()).toEqual([true, true, true]);
  });

  it('ends with a pause, an empty text or another room, and with a message by itself', async () => {
    on.client.composing.write('r', 'h');
    await on.clock.advance(5_000);
    expect(own()).toEqual([true, false]);
    on.client.composing.write('r', 'he');
    on.client.composing.write('r', '');
    expect(own()).toEqual([true, false, true, false]);
    on.client.composing.write('r', 'hello');
    on.client.composing.submit('r');
    await on.clock.advance(10_000);
    expect(own()).toEqual([true, false, true, false, true]);
    on.client.composing.write('r', 'a');
    on.client.composing.write('s', 'b');
    const rooms = sent('typing').slice(-3);
    expect(rooms).toEqual([
      { roomId: 'r', isTyping: true },
      { roomId: 'r', isTyping: false },
      { roomId: 's', isTyping: true },
    ]);
  });

  it('is not told of someone who mends an old message', async () => {
    on.server.socket.say('message', event(message('r', 2, { senderId: 'me' })));
    await settle();
    on.client.composing.editLast('r');
    on.client.composing.write('r', 'message 2, mended');
    expect(own()).toEqual([]);
  });

  it('of others is shown until they stop, send, or are silent for six seconds', async () => {
    const types = (userId: string, isTyping = true) =>
      on.server.socket.say('typing', { roomId: 'r', userId, isTyping });
    types('ann');
    await settle();
    expect(typingText(on.state, 'r')).toBe('ann is typing…');
    types('bo');
    await settle();
    expect(typingText(on.state, 'r')).toBe('ann and bo are typing…');
    types('cy');
    await settle();
    expect(typingText(on.state, 'r')).toBe('Several people are typing…');
    types('bo', false);
    on.server.socket.say('message', event(message('r', 2, { senderId: 'cy' })));
    await settle();
    expect(typingText(on.state, 'r')).toBe('ann is typing…');
    await on.clock.advance(4_000);
    types('ann');
    await on.clock.advance(5_900);
    expect(typingText(on.state, 'r')).toBe('ann is typing…');
    await on.clock.advance(200);
    expect(typingText(on.state, 'r')).toBe('');
    expect(typingText(on.state, 'elsewhere')).toBe('');
  });

  it('of the person themselves and broken frames are not shown', async () => {
    on.server.socket.say('typing', { roomId: 'r', userId: 'me', isTyping: true });
    on.server.socket.say('typing', { roomId: 'r', userId: 'ann' });
    on.server.socket.say('typing', { userId: 'ann', isTyping: true });
    await settle();
    expect(on.state.typing).toEqual({});
  });

  it('is forgotten when signing out', async () => {
    on.server.socket.say('typing', { roomId: 'r', userId: 'ann', isTyping: true });
    on.server.socket.end(4020);
    await on.clock.advance(7_000);
    expect(on.state.typing).toEqual({});
  });
});
