import { beforeEach, describe, expect, it } from 'vitest';
import { Client } from './client';
import {
  idOf,
  ME,
  message,
  openRoom,
  room,
  ScriptedClock,
  ScriptedTransport,
  settle,
} from './testing/scripted';

const DAY_MS = 86_400_000;

let clock: ScriptedClock;
let server: ScriptedTransport;
let client: Client;

const state = () => client.store.get();
const kept = () => JSON.stringify([...clock.kept]);
const texts = () => Object.values(state().drafts).map((draft) => draft.text);

beforeEach(async () => {
  clock = new ScriptedClock();
  server = new ScriptedTransport();
  client = new Client(server, clock);
  server.rooms = [room('r', { headSeq: 1, lastOrdinal: 1 }), room('s')];
  server.add('r', message('r', 1, { senderId: ME.userId }));
  await openRoom(client, server);
});

/** The page is loaded anew, in the same browser. */
async function reload(): Promise<void> {
  clock.leave();
  client = new Client(server, clock);
  await client.session.restore();
  await settle();
}

describe('a draft', () => {
  it('survives loading the page anew, with what it answers', async () => {
    client.composing.write('r', 'half a sen');
    client.composing.reply('r', idOf(1));
    client.composing.write('s', 'elsewhere');
    await reload();
    expect(state().drafts).toEqual({
      r: { text: 'half a sen', mode: { kind: 'reply', messageId: idOf(1) } },
      s: { text: 'elsewhere', mode: { kind: 'new' } },
    });
  });

  it('survives a page that is gone without a word, a moment after it was written', async () => {
    client.composing.write('r', 'half');
    await clock.advance(1_000);
    const other = new Client(server, clock);
    await other.session.restore();
    expect(other.store.get().drafts.r?.text).toBe('half');
  });

  it('is gone at once when it was sent or emptied', async () => {
    client.composing.write('r', 'now');
    client.composing.write('s', 'no');
    await clock.advance(1_000);
    client.composing.submit('r');
    client.composing.write('s', ' ');
    expect(clock.kept.has('klatch.drafts')).toBe(false);
    await reload();
    expect(texts()).toEqual([]);
  });

  it('that waits behind an edit is kept, the edit is not', async () => {
    client.composing.write('r', 'waits');
    client.composing.edit('r', idOf(1));
    client.composing.write('r', 'message 1, mended');
    await reload();
    expect(state().drafts).toEqual({ r: { text: 'waits', mode: { kind: 'new' } } });
  });

  it('of another tab is left as it is', async () => {
    const other = new Client(server, clock);
    await other.session.restore();
    client.composing.write('r', 'here');
    other.composing.write('s', 'there');
    clock.leave();
    client.composing.write('r', 'here, still');
    await reload();
    expect(texts().toSorted()).toEqual(['here, still', 'there']);
  });
});

describe('drafts are kept', () => {
  it('for a month, counted from the last word', async () => {
    client.composing.write('r', 'old');
    client.composing.write('s', 'young');
    await clock.advance(20 * DAY_MS);
    client.composing.write('s', 'young still');
    await reload();
    await clock.advance(11 * DAY_MS);
    await reload();
    expect(texts()).toEqual(['young still']);
  });

  it('of the newest rooms only, and not without end', async () => {
    for (let n = 1; n <= 60; n += 1) {
      client.composing.write(`room ${n}`, `draft ${n}`);
      clock.leave();
      clock.time += 1_000;
    }
    await reload();
    expect(Object.keys(state().drafts)).toHaveLength(50);
    expect(texts()).not.toContain('draft 10');
    expect(texts()).toContain('draft 11');
    client.composing.write('r', 'x'.repeat(150_000));
    clock.leave();
    clock.time += 1_000;
    client.composing.write('s', 'y'.repeat(150_000));
    clock.leave();
    expect(kept().length).toBeLessThan(210_000);
    await reload();
    expect(texts().some((text) => text.startsWith('yyy'))).toBe(true);
  });

  it('from nothing that does not look like them', async () => {
    for (const odd of ['{', 'null', '[]', '{"userId":"me"}', '{"userId":"me","rooms":{"r":1}}']) {
      clock.keep('klatch.drafts', odd);
      client = new Client(server, clock);
      await client.session.restore();
      expect(state()).toMatchObject({ session: 'signed-in', drafts: {} });
    }
  });
});

describe('what someone was writing is not left behind', () => {
  beforeEach(async () => {
    client.composing.write('r', 'between us');
    await clock.advance(1_000);
    expect(kept()).toContain('between us');
    client.composing.write('s', 'also between us');
  });

  it('when they sign out', async () => {
    await client.session.logout();
    clock.leave();
    await clock.advance(1_000);
    expect(kept()).not.toContain('between us');
  });

  it('when their session is ended elsewhere, except in this page and for them', async () => {
    server.socket.end(4020);
    clock.leave();
    await clock.advance(1_000);
    expect(kept()).not.toContain('between us');
    await client.session.login({ login: 'me', password: 'x' });
    expect(texts()).toEqual(['between us', 'also between us']);
    await reload();
    expect(texts().toSorted()).toEqual(['also between us', 'between us']);
  });

  it('when their session is found ended at the next visit', async () => {
    clock.leave();
    server.signedIn = false;
    await reload();
    expect(state().session).toBe('signed-out');
    expect(kept()).not.toContain('between us');
  });

  it('for another person, whatever became of their session', async () => {
    clock.leave();
    server.me = { ...ME, userId: 'someone else' };
    await reload();
    expect(state().me?.userId).toBe('someone else');
    expect(texts()).toEqual([]);
    expect(kept()).not.toContain('between us');
  });
});
