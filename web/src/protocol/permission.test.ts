import { describe, expect, it } from 'vitest';
import {
  mayGoAbout,
  mayInviteByLink,
  mayRemove,
  mayRunServer,
  rolesFor,
  scopesFor,
} from './permission';
import type { Room } from './types';

describe('what one may do with a member', () => {
  it.each([
    ['owner', 'owner', ['owner', 'admin', 'member'], true],
    ['owner', 'member', ['owner', 'admin', 'member'], true],
    ['admin', 'owner', [], false],
    ['admin', 'admin', [], false],
    ['admin', 'member', [], true],
    ['member', 'member', [], false],
    [undefined, 'member', [], false],
  ] as const)('%s over %s', (mine, theirs, roles, remove) => {
    expect(rolesFor(mine)).toEqual(roles);
    expect(mayRemove(mine, theirs)).toBe(remove);
  });
});

it('links are for those who run an open room and are no guests of the server', () => {
  const room = { type: 'channel', joined: true, archived: false, role: 'admin' } as Room;
  expect(mayInviteByLink(room, 'member')).toBe(true);
  expect(mayInviteByLink(room, 'guest')).toBe(false);
  expect(mayInviteByLink({ ...room, role: 'member' }, 'admin')).toBe(false);
  expect(mayInviteByLink({ ...room, archived: true }, 'member')).toBe(false);
  expect(mayInviteByLink({ ...room, type: 'direct' }, 'member')).toBe(false);
});

it.each([
  ['guest', false, false, ['read', 'write']],
  ['member', true, false, ['read', 'write']],
  ['admin', true, true, ['read', 'write', 'admin']],
] as const)('a %s of the server', (role, about, runs, scopes) => {
  expect(mayGoAbout(role)).toBe(about);
  expect(mayRunServer(role)).toBe(runs);
  expect(scopesFor(role)).toEqual(scopes);
});
