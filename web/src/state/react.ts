/** How views see the state. */

import { createContext, useContext, useEffect, useSyncExternalStore } from 'react';
import type { Presence, UserId } from '../protocol/types';
import type { Client } from './client';
import type { State } from './model';

export const ClientContext = createContext<Client | null>(null);

export function useClient(): Client {
  const client = useContext(ClientContext);
  if (!client) throw new Error('no client above this view');
  return client;
}

/** A part of the state; `pick` must answer the same object for the same state. */
export function useSelect<T>(pick: (state: State) => T): T {
  const { store } = useClient();
  return useSyncExternalStore(store.subscribe, () => pick(store.get()));
}

/** Asks about people for as long as they are shown. */
export function useWatch(users: readonly UserId[]): void {
  const { presence } = useClient();
  const key = users.join(' ');
  useEffect(() => presence.watch(key === '' ? [] : key.split(' ')), [presence, key]);
}

/** How someone is now, and goes on being; nothing while it is not known. */
export function usePresence(user: UserId | undefined): Presence | undefined {
  useWatch(user === undefined ? [] : [user]);
  return useSelect((s) => (user === undefined ? undefined : s.presence[user]));
}
