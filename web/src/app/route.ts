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
