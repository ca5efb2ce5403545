/** A list that is read page by page and kept by the view that shows it. */

import { useEffect, useState, useSyncExternalStore } from 'react';
import { PagedList, type Read } from './list';
import { useClient, useSelect } from './react';

/** Reads the first page at once and whenever `read` changes; `more` reads the next one. */
export function useList<T>(read: Read<T>) {
  const client = useClient();
  const [list] = useState(() => new PagedList<T>((error) => void client.core.words(error)));
  const { items, cursor, status } = useSyncExternalStore(list.subscribe, list.get);
  useEffect(() => list.readBy(read), [list, read]);
  // What failed while the server was away is read again when it is back.
  const live = useSelect((s) => s.link.phase === 'live');
  useEffect(() => {
    if (live) list.again();
  }, [list, live]);
  const { change: setItems, more, again } = list;
  return { items, setItems, status, hasMore: cursor !== null, more, again };
}
