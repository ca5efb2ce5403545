import { type FocusEvent, type KeyboardEvent, useCallback, useRef, useState } from 'react';
import type { VirtualListHandle } from '../../ui/VirtualList';
import type { Row } from './rows';

const ROW = '[data-row]';

/** Arrow keys move from message to message, also to those that are not rendered yet. */
export function useRowFocus(rows: readonly Row[], list: { current: VirtualListHandle | null }) {
  const [wanted, setWanted] = useState<string | null>(null);
  const keys = rows.filter((row) => row.kind === 'message').map((row) => row.key);
  const known = wanted !== null && keys.includes(wanted);
  // The newest message is where Tab enters the list.
  const active = known ? wanted : (keys.at(-1) ?? null);
  const latest = useRef({ keys, active });
  latest.current = { keys, active };

  const onKeyDown = useCallback(
    (event: KeyboardEvent<HTMLElement>) => {
      const row = (event.target as HTMLElement).closest<HTMLElement>(ROW);
      if (!row || event.target !== row) return;
      const next = step(event.key, latest.current.keys, row.dataset.row ?? '');
      if (next === undefined) return;
      event.preventDefault();
      setWanted(next);
      list.current?.reveal(next);
      const box = event.currentTarget;
      // The row may come into being only with the next rendering.
      requestAnimationFrame(() => {
        const target = [...box.querySelectorAll<HTMLElement>(ROW)];
        target.find((el) => el.dataset.row === next)?.focus({ preventScroll: true });
      });
    },
    [list],
  );
  const onFocus = useCallback((event: FocusEvent<HTMLElement>) => {
    const row = event.target.closest<HTMLElement>(ROW);
    if (row?.dataset.row !== undefined) setWanted(row.dataset.row);
  }, []);
  const onBlur = useCallback((event: FocusEvent<HTMLElement>) => {
    const inside =
      event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget);
    // Whoever left and comes back wants the newest.
    if (!inside && event.relatedTarget !== null) setWanted(null);
  }, []);
  return { active, onKeyDown, onFocus, onBlur };
}

function step(key: string, keys: readonly string[], current: string): string | undefined {
  const index = keys.indexOf(current);
  if (index < 0) return undefined;
  switch (key) {
    case 'ArrowUp':
      return keys[index - 1];
    case 'ArrowDown':
      return keys[index + 1];
    case 'Home':
      return keys[0];
    case 'End':
      return keys.at(-1);
    default:
      return undefined;
  }
}
