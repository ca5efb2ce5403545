/** Keeps those who work by keyboard in their place when what had the focus is gone. */

import { useEffect } from 'react';

const HEADING = ':is(h1, h2)[tabindex="-1"]';
/** What takes the focus itself when something within it that had it is gone. */
const PLACE = '[data-place]';

/**
 * On the whole page: when the element that has the focus is taken away, and nothing else takes the
 * focus, the nearest thing that it was in does: a place (`data-place`) itself, anything else by its
 * first heading with `tabIndex={-1}`.
 */
export function useKeptFocus(): void {
  useEffect(() => keepFocus(document.body), []);
}

/** Notes where the focus is; the answer brings it back there, or as near to it as there is. */
export function noteFocus(): () => void {
  const before = document.activeElement;
  if (!(before instanceof HTMLElement) || before === document.body) return () => {};
  const around = ancestors(before);
  return () => (before.isConnected ? before : nearest(around))?.focus();
}

function keepFocus(page: HTMLElement): () => void {
  let last: Element | null = null;
  /** What it is in, from within outwards: once it is gone nobody can tell. */
  let around: Element[] = [];
  let byKey = false;
  let timer: number | undefined;
  const onFocusIn = ({ target }: FocusEvent) => {
    if (!(target instanceof Element)) return;
    last = target;
    around = ancestors(target);
    byKey = target.matches(':focus-visible');
  };
  const look = () => {
    timer = undefined;
    if (last === null || document.activeElement === last) return;
    const gone = !last.isConnected;
    last = null;
    // Whoever clicked beside it has left it by their own will.
    if (!gone || document.activeElement !== document.body) return;
    // Who uses a pointer looks where it is: the page stays as it is under it.
    nearest(around)?.focus({ preventScroll: !byKey });
  };
  // Later than what the views do themselves once they have changed.
  const soon = () => {
    timer ??= window.setTimeout(look, 0);
  };
  const observer = new MutationObserver(soon);
  observer.observe(page, { childList: true, subtree: true });
  page.addEventListener('focusin', onFocusIn);
  page.addEventListener('focusout', soon);
  return () => {
    observer.disconnect();
    page.removeEventListener('focusin', onFocusIn);
    page.removeEventListener('focusout', soon);
    window.clearTimeout(timer);
  };
}

function ancestors(element: Element): Element[] {
  const found: Element[] = [];
  for (let at = element.parentElement; at !== null; at = at.parentElement) found.push(at);
  return found;
}

function nearest(around: readonly Element[]): HTMLElement | null {
  for (const element of around) {
    const taker = element.isConnected ? takerIn(element) : null;
    if (taker !== null) return taker;
  }
  return null;
}

function takerIn(element: Element): HTMLElement | null {
  if (element instanceof HTMLElement && element.matches(PLACE)) return element;
  return element.querySelector<HTMLElement>(HEADING);
}
