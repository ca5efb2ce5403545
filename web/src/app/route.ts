/** Where we are, kept in the part of the address after `#`. */

import { useSyncExternalStore } from 'react';
import type { RoomId, UserId } from '../protocol/types';

export type Route =
  | { page: 'home' }
  | { page: 'browse' }
  | { page: 'room'; roomId: RoomId }
  | { page: 'account'; part: AccountPart }
  | { page: 'admin'; part: AdminPart; bot?: UserId }
  | { page: 'forgot' }
  | { page: 'setup' | 'reset' | 'invite'; token: string };

export const ACCOUNT_PARTS = ['you', 'tokens'] as const;
export type AccountPart = (typeof ACCOUNT_PARTS)[number];

export const ADMIN_PARTS = ['people', 'bots', 'invitations', 'audit'] as const;
export type AdminPart = (typeof ADMIN_PARTS)[number];

export function parseRoute(hash: string): Route {
  const [page, id, within] = hash.replace(/^#?\/?/, '').split('/');
  if (page === 'browse' || page === 'forgot') return { page };
  if (page === 'account') return { page, part: ACCOUNT_PARTS.find((part) => part === id) ?? 'you' };
  if (page === 'admin' && id === 'bots' && within) return { page, part: id, bot: decode(within) };
  if (page === 'admin') return { page, part: ADMIN_PARTS.find((part) => part === id) ?? 'people' };
  if (page === 'room' && id) return { page, roomId: decode(id) };
  const isLink = page === 'setup' || page === 'reset' || page === 'invite';
  if (isLink && id) return { page, token: decode(id) };
  return { page: 'home' };
}

const ACCOUNT_WORDS: Readonly<Record<AccountPart, string>> = {
  you: 'You and your devices',
  tokens: 'API tokens',
};

const ADMIN_WORDS: Readonly<Record<AdminPart, string>> = {
  people: 'People',
  bots: 'Bots',
  invitations: 'Invitations',
  audit: 'Audit log',
};

/** The parts of the account's pages, with the one that is shown. */
export function accountParts(shown: AccountPart) {
  return ACCOUNT_PARTS.map((part) => {
    return { href: accountHref(part), words: ACCOUNT_WORDS[part], here: part === shown };
  });
}

/** The parts of running the server, with the one that is shown. */
export function adminParts(shown: AdminPart) {
  return ADMIN_PARTS.map((part) => {
    return { href: adminHref(part), words: ADMIN_WORDS[part], here: part === shown };
  });
}

/** What a place is called; empty for those that are named by what is in them. */
export function placeName(route: Route): string {
  if (route.page === 'browse') return 'Browse channels';
  if (route.page === 'account') return ACCOUNT_WORDS[route.part];
  return route.page === 'admin' ? ADMIN_WORDS[route.part] : '';
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function roomHref(roomId: RoomId): string {
  return `#/room/${encodeURIComponent(roomId)}`;
}

export function accountHref(part: AccountPart): string {
  return part === 'you' ? '#/account' : `#/account/${part}`;
}

export function adminHref(part: AdminPart): string {
  return `#/admin/${part}`;
}

export function botHref(bot: UserId): string {
  return `${adminHref('bots')}/${encodeURIComponent(bot)}`;
}

/** The whole address of a link that is given to others. */
export function inviteLink(token: string): string {
  return `${window.location.origin}/#/invite/${encodeURIComponent(token)}`;
}

export function resetLink(token: string): string {
  return `${window.location.origin}/#/reset/${encodeURIComponent(token)}`;
}

export function go(hash: string): void {
  window.location.hash = hash;
}

/** Goes somewhere without a way back, for links that work once. */
export function goInstead(hash: string): void {
  window.history.replaceState(null, '', hash);
  window.dispatchEvent(new HashChangeEvent('hashchange'));
}

function subscribe(listener: () => void): () => void {
  window.addEventListener('hashchange', listener);
  return () => window.removeEventListener('hashchange', listener);
}

let last: { hash: string; route: Route } | null = null;

function current(): Route {
  const { hash } = window.location;
  if (last?.hash !== hash) last = { hash, route: parseRoute(hash) };
  return last.route;
}

export function useRoute(): Route {
  return useSyncExternalStore(subscribe, current);
}
