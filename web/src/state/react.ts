/** How views see the state. */

import { createContext, useContext, useSyncExternalStore } from 'react';
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
