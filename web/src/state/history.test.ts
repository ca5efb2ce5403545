import { beforeEach, describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import { Client } from './client';
import {
  event,
  idOf,
  message,
  openRoom,
  room,
  ScriptedClock,
  ScriptedTransport,
  settle,
} from './testing/scripted';

let server: ScriptedTransport;
let client: Client;

const state = () => client.store.get();
const seqs = (roomId: string) => state().timelines[roomId]?.items.map((m) => m.seq);
const open = () => openRoom(client, server);

beforeEach(() => {
  server = new ScriptedTransport();
  client = new Client(server, new ScriptedClock());
  server.rooms = [room('r', { headSeq: 3, lastOrdinal: 3 })];
  server.add('r', message('r', 1), message('r', 2), message('r', 3));
});

describe('history', () => {
  it('pages go back to the beginning, each message once', async () => {
    const many = Array.from({ length: 120 }, (_, i) => message('r', i + 1));
    server.messages.set('r', many);
    server.rooms = [room('r', { headSeq: 120, lastOrdinal: 120 })];
    await open();
    expect(seqs('r')).toHaveLength(50);
    await Promise.all([client.history.loadOlder('r'), client.history.loadOlder('r')]);
    await client.history.loadOlder('r');
    expect(seqs('r')).toEqual(many.map((m) => m.seq));
    expect(state().timelines.r?.atStart).toBe(true);
    await client.history.loadOlder('r');
    expect(server.count('history r')).toBe(3);
  });

  it('an event that arrives while the first page is read is kept', async () => {
    await client.session.restore();
    server.socket.hello();
    await settle();
    const opened = client.rooms.open('r');
    server.socket.say('message', event(message('r', 4)));
    await opened;
    expect(seqs('r')).toEqual([1, 2, 3, 4]);
  });

  it('seek loads backwards until the message is there', async () => {
    const many = Array.from({ length: 600 }, (_, i) => message('r', i + 1));
    server.messages.set('r', many);
    server.rooms = [room('r', { headSeq: 600, lastOrdinal: 600 })];
    await open();
    expect(await client.history.seek('r', idOf(180))).toBe(true);
    expect(seqs('r')).toContain(180);
    expect(await client.history.seek('r', idOf(99_999))).toBe(false);
  });

  it('a room that may not be seen says so in words', async () => {
    await open();
    server.failures.set('history', new Problem({ code: 'room_not_found', status: 404 }));
    await client.rooms.open('hidden');
    expect(state().timelines.hidden).toMatchObject({
      status: 'failed',
      error: 'This room does not exist, or you may not see it.',
    });
  });
});
