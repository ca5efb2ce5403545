/** A list that is read page by page and kept by the view that shows it. */

import { useCallback, useEffect, useRef, useState } from 'react';
import type { Page } from '../protocol/types';
import { useClient, useSelect } from './react';

type Status = 'loading' | 'ready' | 'failed';

/** Reads the first page at once and whenever `read` changes; `more` reads the next one. */
export function useList<T>(read: (cursor?: string) => Promise<Page<T>>) {
  const client = useClient();
  const [items, setItems] = useState<readonly T[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [status, setStatus] = useState<Status>('loading');
  const load = useCallback(
    async (from: string | undefined, current: () => boolean) => {
      setStatus('loading');
      try {
        const page = await read(from);
        if (!current()) return;
        setItems((old) => (from === undefined ? page.items : [...old, ...page.items]));
        setCursor(page.nextCursor ?? null);
        setStatus('ready');
      } catch (error) {
        client.core.words(error);
        if (current()) setStatus('failed');
      }
    },
    [client, read],
  );
  useEffect(() => {
    let current = true;
    void load(undefined, () => current);
    return () => {
      current = false;
    };
  }, [load]);
  // What failed while the server was away is read again when it is back.
  const live = useSelect((s) => s.link.phase === 'live');
  const failed = useRef(false);
  failed.current = status === 'failed';
  useEffect(() => {
    let current = true;
    if (live && failed.current) void load(undefined, () => current);
    return () => {
      current = false;
    };
  }, [live, load]);
  const always = () => true;
  return {
    items,
    setItems,
    status,
    hasMore: cursor !== null,
    more: () => void load(cursor ?? undefined, always),
    again: () => void load(undefined, always),
  };
}
