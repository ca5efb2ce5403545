/** One browser, two people: a tab of the one who went must not go on as the one who came. */

import { beforeEach, describe, expect, it } from 'vitest';
import { stage } from './testing/stage';

const BO = { userId: 'bo', username: 'bo', displayName: 'Bo' };
const on = stage((set) => {
  set.furnish(1, true);
  return set.open();
});
const kept = () => JSON.stringify([...on.clock.kept]);
const book = () => JSON.parse(on.clock.kept.get('klatch.unsent') ?? 'null');

/** In other tabs this person goes and Bo comes, and writes; this tab hears nothing of it. */
async function boComes(): Promise<void> {
  const other = await on.tab();
  await other.session.logout();
  on.server.me = BO;
  const tab = await on.tab();
  tab.composing.write('r', 'of Bo');
  expect(tab.store.get().me?.userId).toBe('bo');
}

function gone(): void {
  expect(on.clock.restarts).toBe(1);
  const nothing = { me: null, outbox: [], drafts: {}, rooms: {}, kept: null };
  expect(on.state).toMatchObject({ session: 'signed-out', ...nothing });
}

describe('a connection that turns out to be another person’s', () => {
  beforeEach(async () => {
    on.server.socket.end(1006);
    on.client.sending.send('r', 'of me', null);
    on.client.composing.write('r', 'draft of me');
    await boComes();
    const before = on.server.sockets.length;
    await on.clock.advance(1_000);
    expect(on.server.sockets).toHaveLength(before + 1);
    on.server.socket.hello(['m0-a.100'], 'bo');
  });

  it('carries nothing of this one, not even where they were', async () => {
    expect(on.server.socket.closed).toBe(true);
    await on.clock.advance(10_000);
    expect(on.server.socket.sent).toEqual([]);
  });

  it('has the page loaded anew, once, and shows nothing of this one until then', async () => {
    gone();
    on.clock.wake();
    await on.clock.advance(10_000);
    gone();
  });

  it('leaves to the other what they keep in this browser', async () => {
    on.clock.leave();
    await on.clock.advance(10_000);
    expect(book()).toMatchObject({ userId: 'bo', rooms: { r: { text: 'of Bo' } }, outbox: [] });
    expect(kept()).not.toContain('of me');
    await on.reload();
    expect(on.state).toMatchObject({ me: { userId: 'bo' }, drafts: { r: { text: 'of Bo' } } });
  });
});

describe('a tab left open when another person came', () => {
  it('is loaded anew when it is looked at', async () => {
    await boComes();
    on.client.composing.write('r', 'draft of me');
    await on.clock.advance(6_000);
    on.clock.wake();
    await on.clock.advance(1_000);
    gone();
    expect(kept()).not.toContain('draft of me');
  });

  it('is loaded anew as soon as it hears of them, before anything is done in it', async () => {
    on.clock.keepElsewhere('klatch.person', null);
    expect([on.state.session, on.clock.restarts]).toEqual(['signed-in', 0]);
    on.clock.keepElsewhere('klatch.person', 'me');
    expect([on.state.session, on.clock.restarts]).toEqual(['signed-in', 0]);
    on.clock.keepElsewhere('klatch.person', 'bo');
    gone();
    expect(on.server.socket.closed).toBe(true);
  });

  it('is loaded anew when a call finds that it would be made by the cookies of another', async () => {
    expect(on.server.actsFor).toBe('me');
    on.server.another('bo');
    gone();
    expect(on.server.actsFor).toBeNull();
  });

  it('writes nothing over what the other keeps, nor beside it', async () => {
    await boComes();
    on.client.composing.write('r', 'draft of me');
    on.client.sending.send('r', 'of me', null);
    await on.clock.advance(1_000);
    on.clock.leave();
    expect(book()).toMatchObject({ userId: 'bo', rooms: { r: { text: 'of Bo' } }, outbox: [] });
    expect(kept()).not.toContain('of me');
  });

  it('takes nothing of the other away when its own session is found ended', async () => {
    await boComes();
    on.clock.leave();
    on.server.sockets[0]?.end(4020);
    expect(on.state.session).toBe('signed-out');
    expect(book()).toMatchObject({ userId: 'bo', rooms: { r: { text: 'of Bo' } } });
  });

  it('keeps nothing in this browser if nobody came after', async () => {
    const other = await on.tab();
    await other.session.logout();
    on.client.composing.write('r', 'draft of me');
    await on.clock.advance(1_000);
    on.clock.leave();
    expect(kept()).not.toContain('draft of me');
  });
});

it('a connection and an answer that are this person’s change nothing', async () => {
  on.server.socket.end(1006);
  await on.clock.advance(6_000);
  on.server.socket.hello();
  on.clock.wake();
  await on.clock.advance(6_000);
  expect(on.clock.restarts).toBe(0);
  expect(on.state.session).toBe('signed-in');
});
