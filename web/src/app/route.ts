/** Where we are, kept in the part of the address after `#`. */

import { useSyncExternalStore } from 'react';
import type { RoomId } from '../protocol/types';

export type Route =
  | { page: 'home' }
  | { page: 'browse' }
  | { page: 'room'; roomId: RoomId }
  | { page: 'setup'; token: string };

export function parseRoute(hash: string): Route {
  const [page, id] = hash.replace(/^#?\/?/, '').split('/');
  if (page === 'browse') return { page };
  if (page === 'room' && id) return { page, roomId: decode(id) };
  if (page === 'setup' && id) return { page, token: decode(id) };
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
