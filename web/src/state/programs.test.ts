import { describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import type { Account, ApiToken } from '../protocol/trust';
import { hasEnded } from './programs';
import { settle } from './testing/scripted';
import { stage } from './testing/stage';

const on = stage((set) => set.client.session.restore());
describe('tokens', () => {
  it("are one's own, or those of a bot", async () => {
    await on.client.programs.tokens();
    await on.client.programs.endToken('k');
    await on.client.programs.tokens('b');
    await on.client.programs.endToken('k', 'b');
    const asked = on.server.calls.filter((call) => /token/i.test(call));
    expect(asked).toEqual(['tokens own', 'endToken own k', 'tokens b', 'endToken b k']);
  });

  it('say who made them, whoever that was', async () => {
    const at = '2026-03-01T10:00:00Z';
    const token: ApiToken = { tokenId: 'k', userId: 'b', name: 'x', scopes: [], createdAt: at };
    on.server.tokens = [{ ...token, madeBy: 'cy' }, token];
    await on.client.programs.tokens('b');
    await settle();
    expect(on.client.store.get().users.cy?.displayName).toBe('cy');
    expect(on.server.count('user ')).toBe(1);
  });

  it('are told once, and kept nowhere', async () => {
    const made = await on.client.programs.makeToken({ name: '  deploy ', scopes: ['read'] });
    expect(made).toMatchObject({ name: 'deploy', token: 'kla_secret' });
    expect(JSON.stringify(on.client.store.get())).not.toContain('kla_');
    expect(JSON.stringify([...on.clock.kept])).not.toContain('kla_');
  });

  it('end at their time, or never', () => {
    const token: ApiToken = {
      tokenId: 'k',
      userId: 'me',
      name: 'x',
      scopes: ['read'],
      createdAt: '2026-03-01T10:00:00Z',
    };
    expect(hasEnded(token, on.clock.time)).toBe(false);
    const ends = { ...token, expiresAt: new Date(on.clock.time + 1_000).toISOString() };
    expect(hasEnded(ends, on.clock.time)).toBe(false);
    expect(hasEnded(ends, on.clock.time + 1_000)).toBe(true);
  });
});

describe('bots', () => {
  it('made are known by name at once, and go where one brings them', async () => {
    const bot = await on.client.programs.makeBot({ username: 'helper', displayName: 'Helper' });
    expect(on.client.store.get().users[bot.userId]?.displayName).toBe('Helper');
    await on.client.programs.addToRoom('r', bot.userId);
    expect(on.server.calls).toContain(`addMember r ${bot.userId}`);
  });

  it('are looked for beyond pages in which there are none', async () => {
    const bot = await on.client.programs.makeBot({ username: 'helper' });
    on.server.accounts = [[], [], [bot], [{ ...bot, userId: 'later' } as Account]];
    const first = await on.client.programs.bots();
    expect(first.items).toEqual([bot]);
    const second = await on.client.programs.bots(first.nextCursor ?? undefined);
    expect(second).toMatchObject({ items: [{ userId: 'later' }], nextCursor: null });
    expect(on.server.calls.filter((call) => call.startsWith('accounts'))).toEqual([
      'accounts bot=true -',
      'accounts bot=true 1',
      'accounts bot=true 2',
      'accounts bot=true 3',
    ]);
  });

  it('that are not found in many pages leave a place to go on from', async () => {
    on.server.accounts = Array.from({ length: 30 }, () => []);
    expect(await on.client.programs.bots()).toEqual({ items: [], nextCursor: '10' });
  });

  it('are refused to those who do not run the server', async () => {
    on.server.failures.set('makeBot', new Problem({ code: 'admin_only', status: 403 }));
    const making = on.client.programs.makeBot({ username: 'helper' });
    await expect(making).rejects.toMatchObject({ code: 'admin_only' });
    expect(on.client.store.get().session).toBe('signed-in');
  });
});
