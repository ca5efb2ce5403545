import { beforeEach, describe, expect, it } from 'vitest';
import { idOf, ME } from './testing/scripted';
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
    expect(on.clock.kept.has('klatch.drafts')).toBe(false);
    await on.reload();
    expect(texts()).toEqual([]);
  });

  it('that waits behind an edit is kept, the edit is not', async () => {
    on.client.composing.write('r', 'waits');
    on.client.composing.edit('r', idOf(1));
    on.client.composing.write('r', 'message 1, mended');
    await on.reload();
    expect(on.state.drafts).toEqual({ r: { text: 'waits', mode: { kind: 'new' } } });
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
      on.clock.keep('klatch.drafts', odd);
      on.client = await on.tab();
      expect(on.state).toMatchObject({ session: 'signed-in', drafts: {} });
    }
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
