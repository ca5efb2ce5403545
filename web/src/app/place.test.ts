import { expect, it } from 'vitest';
import { INITIAL, type State } from '../state/model';
import { room } from '../state/testing/scripted';
import { placeOf } from './place';
import { parseRoute } from './route';

const inside: State = {
  ...INITIAL,
  session: 'signed-in',
  rooms: { r: room('r', { name: 'kitchen' }) },
  users: { b: { userId: 'b', username: 'helper', displayName: 'Helper' } },
};

it.each([
  ['#/', ''],
  ['#/browse', 'Browse channels'],
  ['#/room/r', 'kitchen'],
  ['#/room/unknown', ''],
  ['#/account/tokens', 'API tokens'],
  ['#/admin', 'People'],
  ['#/admin/bots', 'Bots'],
  ['#/admin/bots/b', 'Helper'],
  ['#/admin/bots/unknown', 'Bots'],
])('%s is called “%s” by those inside, and nothing by others', (hash, name) => {
  expect(placeOf(inside, parseRoute(hash))).toBe(name);
  for (const session of ['signed-out', 'unknown'] as const) {
    expect(placeOf({ ...inside, session }, parseRoute(hash))).toBe('');
  }
});
