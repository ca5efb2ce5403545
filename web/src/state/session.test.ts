import { beforeEach, describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import { ME, settle } from './testing/scripted';
import { stage } from './testing/stage';

const on = stage((set) => set.furnish(1, true));
const OFFLINE = new Problem({ code: 'offline' });

describe('a session taken up at a visit', () => {
  beforeEach(async () => {
    await on.open();
    on.client.composing.write('r', 'half a sentence');
    on.clock.leave();
  });

  it('outlasts a refusal by something between here and the server, and so do its drafts', async () => {
    on.server.failures.set('me', new Problem({ code: 'unknown', status: 403 }));
    const reload = on.reload();
    await on.clock.advance(3_000);
    on.server.failures.clear();
    await on.clock.advance(60_000);
    await reload;
    expect(on.state).toMatchObject({
      session: 'signed-in',
      drafts: { r: { text: 'half a sentence' } },
    });
  });

  it.each([
    new Problem({ code: 'account_locked', status: 403 }),
    new Problem({ code: 'unauthorized', status: 401 }),
  ])('is over when the server says $code', async (problem) => {
    on.server.failures.set('me', problem);
    await on.reload();
    expect(on.state.session).toBe('signed-out');
    expect(JSON.stringify([...on.clock.kept])).not.toContain('half a sentence');
  });
});

describe('who one is', () => {
  const role = () => on.state.me?.role;
  const looks = () => on.server.calls.filter((call) => call === 'me').length;
  const forbidden = () => on.client.core.words(new Problem({ code: 'forbidden', status: 403 }));

  beforeEach(async () => {
    on.server.me = { ...ME, role: 'member' };
    await on.open();
    on.server.me = { ...ME, role: 'guest' };
  });

  it('is not asked twice by a page that has just been loaded', async () => {
    await on.clock.advance(20_000);
    expect(looks()).toBe(1);
  });

  it('is asked when the server is back, though a look without an answer was a moment ago', async () => {
    await on.clock.advance(10_000);
    on.server.failures.set('me', OFFLINE);
    await on.reconnect();
    on.clock.wake();
    await settle();
    expect(role()).toBe('member');
    on.server.failures.clear();
    on.server.socket.hello();
    on.server.socket.say('resumed', { tier: 'replay', positions: ['m0-a.100'] });
    await settle();
    expect(role()).toBe('guest');
  });

  it('is asked after a refusal soon after another look, once for all of them', async () => {
    await on.clock.advance(10_000);
    on.clock.wake();
    await settle();
    on.server.me = { ...ME, role: 'member' };
    const before = looks();
    for (let n = 0; n < 5; n += 1) forbidden();
    await on.clock.advance(4_000);
    expect(looks()).toBe(before);
    await on.clock.advance(2_000);
    expect([looks(), role()]).toEqual([before + 1, 'member']);
    await on.clock.advance(15_000);
    expect(looks()).toBe(before + 1);
  });

  it('is not asked for ever when the question itself is refused', async () => {
    await on.clock.advance(10_000);
    on.server.failures.set('me', new Problem({ code: 'forbidden', status: 403 }));
    const before = looks();
    forbidden();
    await on.clock.advance(15_000);
    expect(looks()).toBe(before + 1);
    expect(on.state.session).toBe('signed-in');
  });

  it('is the same object while it is the same, so that nothing is read anew by it', async () => {
    on.server.me = { ...ME, role: 'member' };
    await on.clock.advance(10_000);
    const { me } = on.state;
    const before = looks();
    on.clock.wake();
    await settle();
    expect(looks()).toBe(before + 1);
    expect(on.state.me).toBe(me);
  });

  it('is asked no more of someone who signed out', async () => {
    on.client.core.words(new Problem({ code: 'forbidden', status: 403 }));
    await on.client.session.logout();
    const before = looks();
    await on.clock.advance(15_000);
    expect(looks()).toBe(before);
  });
});
