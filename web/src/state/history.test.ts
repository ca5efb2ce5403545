import { describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import { event, idOf, message, room, settle } from './testing/scripted';
import { stage } from './testing/stage';

const on = stage((set) => set.furnish(3));
describe('history', () => {
  it('pages go back to the beginning, each message once', async () => {
    const many = Array.from({ length: 120 }, (_, i) => message('r', i + 1));
    on.server.messages.set('r', many);
    on.server.rooms = [room('r', { headSeq: 120, lastOrdinal: 120 })];
    await on.open();
    expect(on.seqs('r')).toHaveLength(50);
    await Promise.all([on.client.history.loadOlder('r'), on.client.history.loadOlder('r')]);
    await on.client.history.loadOlder('r');
    expect(on.seqs('r')).toEqual(many.map((m) => m.seq));
    expect(on.state.timelines.r?.atStart).toBe(true);
    await on.client.history.loadOlder('r');
    expect(on.server.count('history r')).toBe(3);
  });

  it('an event that arrives while the first page is read is kept', async () => {
    await on.client.session.restore();
    on.server.socket.hello();
    await settle();
    const opened = on.client.rooms.open('r');
    on.server.socket.say('message', event(message('r', 4)));
    await opened;
    expect(on.seqs('r')).toEqual([1, 2, 3, 4]);
  });

  it('seek loads backwards until the message is there', async () => {
    const many = Array.from({ length: 600 }, (_, i) => message('r', i + 1));
    on.server.messages.set('r', many);
    on.server.rooms = [room('r', { headSeq: 600, lastOrdinal: 600 })];
    await on.open();
    expect(await on.client.history.seek('r', idOf(180))).toBe(true);
    expect(on.seqs('r')).toContain(180);
    expect(await on.client.history.seek('r', idOf(99_999))).toBe(false);
  });

  it('a room that may not be seen says so in words', async () => {
    await on.open();
    on.server.failures.set('history', new Problem({ code: 'room_not_found', status: 404 }));
    await on.client.rooms.open('hidden');
    expect(on.state.timelines.hidden).toMatchObject({
      status: 'failed',
      error: 'This room does not exist, or you may not see it.',
    });
  });
});
