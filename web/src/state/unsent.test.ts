import { beforeEach, describe, expect, it } from 'vitest';
import { event, idOf, ME, message, settle } from './testing/scripted';
import { stage } from './testing/stage';

const on = stage((set) => {
  set.furnish(1, true);
  return set.open();
});
const DAY_MS = 86_400_000;

const kept = () => JSON.stringify([...on.clock.kept]);
const texts = () => Object.values(on.state.drafts).map((draft) => draft.text);

describe('a draft', () => {
  it('survives loading the page anew, with what it answers', async () => {
    on.client.composing.write('r', 'half a sen');
    on.client.composing.reply('r', idOf(1));
    on.client.composing.write('s', 'elsewhere');
    await on.reload();
    expect(on.state.drafts).toEqual({
      r: { text: 'half a sen', mode: { kind: 'reply', messageId: idOf(1) } },
      s: { text: 'elsewhere', mode: { kind: 'new' } },
    });
  });

  it('survives a page that is gone without a word, a moment after it was written', async () => {
    on.client.composing.write('r', 'half');
    await on.clock.advance(1_000);
    const other = await on.tab();
    expect(other.store.get().drafts.r?.text).toBe('half');
  });

  it('is gone at once when it was sent or emptied', async () => {
    on.client.composing.write('r', 'now');
    on.client.composing.write('s', 'no');
    await on.clock.advance(1_000);
    on.client.composing.submit('r');
    on.client.composing.write('s', ' ');
    const { rooms, outbox } = JSON.parse(on.clock.kept.get('klatch.unsent') ?? '{}');
    // What was sent is on its way now, and no draft any more.
    expect([rooms, outbox]).toMatchObject([{}, [{ content: 'now' }]]);
    expect(Object.keys(rooms)).toEqual([]);
    await on.reload();
    expect(texts()).toEqual([]);
  });

  it('of another tab is left as it is', async () => {
    const other = await on.tab();
    on.client.composing.write('r', 'here');
    other.composing.write('s', 'there');
    on.clock.leave();
    on.client.composing.write('r', 'here, still');
    await on.reload();
    expect(texts().toSorted()).toEqual(['here, still', 'there']);
  });
});

describe('an unfinished edit', () => {
  const MENDED = 'message 1, mended';
  const edit = { kind: 'edit', messageId: idOf(1) };
  const edits = () => on.server.socket.sent.filter((frame) => frame.type === 'edit');

  beforeEach(() => {
    on.client.composing.write('r', 'waits');
    on.client.composing.edit('r', idOf(1));
    on.client.composing.write('r', MENDED);
  });

  it('survives loading the page anew, with the draft that waits behind it', async () => {
    await on.reload();
    expect(on.state.drafts).toEqual({ r: { text: MENDED, mode: edit, aside: 'waits' } });
    on.client.composing.cancel('r');
    expect(on.state.drafts.r).toEqual({ text: 'waits', mode: { kind: 'new' } });
  });

  it('survives with nothing behind it', async () => {
    on.client.composing.cancel('r');
    on.client.composing.write('r', '');
    on.client.composing.edit('r', idOf(1));
    on.client.composing.write('r', MENDED);
    await on.reload();
    expect(on.state.drafts).toEqual({ r: { text: MENDED, mode: edit, aside: '' } });
  });

  it('that was emptied leaves the draft behind it', async () => {
    on.client.composing.write('r', ' ');
    await on.reload();
    expect(on.state.drafts).toEqual({ r: { text: 'waits', mode: { kind: 'new' } } });
  });

  it('is written when one pauses, not at every key', async () => {
    await on.clock.advance(1_000);
    let written = 0;
    const { keep } = on.clock;
    on.clock.keep = (key, value) => {
      if (key === 'klatch.unsent') written += 1;
      keep(key, value);
    };
    for (const text of ['m', 'me', 'mes']) on.client.composing.write('r', text);
    expect(written).toBe(0);
    await on.clock.advance(1_000);
    expect(written).toBe(1);
  });

  it.each(['submit', 'cancel'] as const)('is gone at once after %s', async (end) => {
    await on.clock.advance(1_000);
    expect(kept()).toContain(MENDED);
    on.client.composing[end]('r');
    expect(kept()).not.toContain(MENDED);
    expect(kept()).toContain('waits');
  });

  it('counts with the draft behind it towards what is kept', async () => {
    on.client.composing.write('r', 'x'.repeat(150_000));
    on.clock.leave();
    on.clock.time += 1_000;
    on.client.composing.write('s', 'y'.repeat(100_000));
    on.clock.leave();
    expect(kept().length).toBeLessThan(110_000);
  });

  it('is not left behind for anybody else, nor when the person signs out', async () => {
    await on.clock.advance(1_000);
    on.server.me = { ...ME, userId: 'someone else' };
    await on.reload();
    expect([on.state.drafts, kept().includes(MENDED)]).toEqual([{}, false]);
    on.client.composing.write('r', 'of the other');
    await on.clock.advance(1_000);
    await on.client.session.logout();
    on.clock.leave();
    expect(kept()).not.toContain('of the other');
  });

  it('goes out after the page was loaded anew, also of a message that is not loaded', async () => {
    await on.reload();
    on.server.socket.hello();
    await settle();
    expect(on.state.timelines.r).toBeUndefined();
    on.client.composing.submit('r');
    await settle();
    expect(edits().map((frame) => frame.payload)).toEqual([
      { roomId: 'r', messageId: idOf(1), content: MENDED },
    ]);
  });

  it('that could not be sent for now is up for editing again', async () => {
    on.client.composing.cancel('r');
    on.client.composing.write('r', '');
    on.client.composing.edit('r', idOf(1));
    on.client.composing.write('r', MENDED);
    on.client.composing.submit('r');
    expect(on.state.drafts.r?.mode.kind).toBe('new');
    on.server.socket.end(1006);
    await settle();
    expect(on.state.drafts.r).toEqual({ text: MENDED, mode: edit });
  });

  it('that was refused is not', async () => {
    on.client.composing.cancel('r');
    on.client.composing.write('r', '');
    on.client.composing.edit('r', idOf(1));
    on.client.composing.write('r', MENDED);
    on.client.composing.submit('r');
    const { requestId = '' } = on.server.socket.last('edit') ?? {};
    on.server.socket.say('error', { code: 'forbidden', detail: 'no' }, requestId);
    await settle();
    expect(on.state.drafts.r?.mode.kind).toBe('new');
  });
});

describe('drafts are kept', () => {
  it('for a month, counted from the last word', async () => {
    on.client.composing.write('r', 'old');
    on.client.composing.write('s', 'young');
    await on.clock.advance(20 * DAY_MS);
    on.client.composing.write('s', 'young still');
    await on.reload();
    await on.clock.advance(11 * DAY_MS);
    await on.reload();
    expect(texts()).toEqual(['young still']);
  });

  it('of the newest rooms only, and not without end', async () => {
    for (let n = 1; n <= 60; n += 1) {
      on.client.composing.write(`room ${n}`, `draft ${n}`);
      on.clock.leave();
      on.clock.time += 1_000;
    }
    await on.reload();
    expect(Object.keys(on.state.drafts)).toHaveLength(50);
    expect(texts()).not.toContain('draft 10');
    expect(texts()).toContain('draft 11');
    on.client.composing.write('r', 'x'.repeat(150_000));
    on.clock.leave();
    on.clock.time += 1_000;
    on.client.composing.write('s', 'y'.repeat(150_000));
    on.clock.leave();
    expect(kept().length).toBeLessThan(210_000);
    await on.reload();
    expect(texts().some((text) => text.startsWith('yyy'))).toBe(true);
  });

  it('from nothing that does not look like them', async () => {
    for (const odd of ['{', 'null', '[]', '{"userId":"me"}', '{"userId":"me","rooms":{"r":1}}']) {
      on.clock.keep('klatch.unsent', odd);
      on.client = await on.tab();
      expect(on.state).toMatchObject({ session: 'signed-in', drafts: {} });
    }
  });
});

describe('a message on its way', () => {
  const waiting = () => on.state.outbox.map(({ content, status }) => `${content}: ${status}`);
  const sent = () => on.server.socket.sent.filter((frame) => frame.type === 'message');

  beforeEach(() => on.server.socket.end(1006));

  it('survives loading the page anew, and goes out once, under its first id', async () => {
    on.client.sending.send('r', 'while away', idOf(1));
    const [first] = on.state.outbox;
    await on.reload();
    expect(on.state.outbox).toEqual([first]);
    on.server.socket.hello();
    await settle();
    expect(sent().map((frame) => frame.payload)).toMatchObject([
      { clientMessageId: first?.clientMessageId, content: 'while away', replyTo: idOf(1) },
    ]);
    const own = message('r', 2, { senderId: ME.userId, content: 'while away' });
    const { clientMessageId } = first ?? {};
    on.server.socket.say('message', event(own, { clientMessageId }));
    await on.clock.advance(1_000);
    expect(kept()).not.toContain('while away');
    await on.reload();
    expect(waiting()).toEqual([]);
  });

  it('for longer than an hour waits for a word of the person', async () => {
    on.client.sending.send('r', 'long ago', null);
    on.clock.leave();
    on.clock.time += 2 * 3_600_000;
    await on.reload();
    expect(waiting()).toEqual(['long ago: failed']);
    on.server.socket.hello();
    await settle();
    expect(sent()).toEqual([]);
    on.client.sending.retry(on.state.outbox[0]?.clientMessageId ?? '');
    await settle();
    expect(sent()).toHaveLength(1);
  });

  it('of another tab is left to it', async () => {
    const other = await on.tab();
    other.sending.send('r', 'of the other tab', null);
    await on.clock.advance(600);
    on.client.sending.send('r', 'of this tab', null);
    on.client.sending.discard(on.state.outbox[0]?.clientMessageId ?? '');
    await on.clock.advance(600);
    expect(kept()).toContain('of the other tab');
    expect(kept()).not.toContain('of this tab');
  });

  it('is not left behind for anybody else', async () => {
    on.client.sending.send('r', 'between us', null);
    on.clock.leave();
    expect(kept()).toContain('between us');
    await on.client.session.logout();
    on.clock.leave();
    expect(kept()).not.toContain('between us');
  });
});

describe('what someone was writing is not left behind', () => {
  beforeEach(async () => {
    on.client.composing.write('r', 'between us');
    await on.clock.advance(1_000);
    expect(kept()).toContain('between us');
    on.client.composing.write('s', 'also between us');
  });

  it('when they sign out', async () => {
    await on.client.session.logout();
    on.clock.leave();
    await on.clock.advance(1_000);
    expect(kept()).not.toContain('between us');
  });

  it('when their session is ended elsewhere, except in this page and for them', async () => {
    on.server.socket.end(4020);
    on.clock.leave();
    await on.clock.advance(1_000);
    expect(kept()).not.toContain('between us');
    await on.client.session.login({ login: 'me', password: 'x' });
    expect(texts()).toEqual(['between us', 'also between us']);
    await on.reload();
    expect(texts().toSorted()).toEqual(['also between us', 'between us']);
  });

  it('when their session is found ended at the next visit', async () => {
    on.clock.leave();
    on.server.signedIn = false;
    await on.reload();
    expect(on.state.session).toBe('signed-out');
    expect(kept()).not.toContain('between us');
  });

  it('for another person, whatever became of their session', async () => {
    on.clock.leave();
    on.server.me = { ...ME, userId: 'someone else' };
    await on.reload();
    expect(on.state.me?.userId).toBe('someone else');
    expect(texts()).toEqual([]);
    expect(kept()).not.toContain('between us');
  });
});
