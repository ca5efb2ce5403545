/** Arrow keys move the focus among the elements of a list; Tab passes the list as one stop. */

import { type KeyboardEvent, useCallback } from 'react';

const STEPS: Readonly<Record<string, (index: number, count: number) => number>> = {
  ArrowDown: (i, n) => Math.min(n - 1, i + 1),
  ArrowUp: (i) => Math.max(0, i - 1),
  Home: () => 0,
  End: (_i, n) => n - 1,
};

/** A key handler for the container; `selector` names the elements that take the focus. */
export function useRoving(selector: string): (event: KeyboardEvent<HTMLElement>) => void {
  return useCallback(
    (event) => {
      const step = STEPS[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      const all = [...event.currentTarget.querySelectorAll<HTMLElement>(selector)];
      const index = all.indexOf(event.target as HTMLElement);
      if (index < 0) return;
      event.preventDefault();
      all[step(index, all.length)]?.focus();
    },
    [selector],
  );
}
