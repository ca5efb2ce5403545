import { useEffect, useRef, useState } from 'react';
import type { RoomId } from '../protocol/types';
import { useClient } from '../state/react';
import { senderName } from '../state/selectors';
import { plainText } from '../ui/markdown';

/** Several messages at once are read out as one sentence. */
const PAUSE_MS = 700;

/** Reads new messages of the open room to those who listen to the page. */
export function Announcer({ roomId }: { roomId: RoomId | null }) {
  const { store } = useClient();
  const [words, setWords] = useState('');
  const said = useRef<number | null>(null);
  useEffect(() => {
    said.current = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = () => {
      const { timelines, users, me } = store.get();
      const timeline = roomId === null ? undefined : timelines[roomId];
      if (timeline?.status !== 'ready') return;
      const newest = timeline.items.at(-1)?.seq ?? 0;
      const seq = said.current;
      said.current = Math.max(seq ?? 0, newest);
      // What was there when the room was opened is read by going to it.
      if (seq === null) return;
      const fresh = timeline.items.filter((m) => m.seq > seq && m.senderId !== me?.userId);
      const last = fresh.at(-1);
      if (!last) return;
      const text = `${senderName(users, last.senderId)}: ${plainText(last.content)}`;
      setWords(fresh.length > 1 ? `${fresh.length} new messages. ${text}` : text);
    };
    const soon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        look();
      }, PAUSE_MS);
    };
    const stop = store.subscribe(soon);
    soon();
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [store, roomId]);
  return (
    <div className="visually-hidden" role="log" aria-live="polite" aria-label="New messages">
      {words}
    </div>
  );
}
