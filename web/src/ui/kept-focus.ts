/** Keeps those who work by keyboard in their place when what had the focus is gone. */

import { type RefObject, useEffect } from 'react';

const HEADING = ':is(h1, h2)[tabindex="-1"]';

/**
 * When the element that has the focus is taken away within `ref`, and nothing else takes the focus,
 * the nearest heading with `tabIndex={-1}` does: that of the part it was in, else the first that is
 * there now.
 */
export function useKeptFocus(ref: RefObject<HTMLElement | null>): void {
  useEffect(() => (ref.current ? keepFocus(ref.current) : undefined), [ref]);
}

function keepFocus(within: HTMLElement): () => void {
  let last: Element | null = null;
  /** What it is in, from within outwards: once it is gone nobody can tell. */
  let around: Element[] = [];
  let byKey = false;
  let timer: number | undefined;
  const onFocusIn = ({ target }: FocusEvent) => {
    if (!(target instanceof Element)) return;
    last = target;
    around = ancestors(target, within);
    byKey = target.matches(':focus-visible');
  };
  const look = () => {
    timer = undefined;
    if (last === null || document.activeElement === last) return;
    const gone = !last.isConnected;
    last = null;
    // Whoever clicked beside it has left it by their own will.
    if (!gone || document.activeElement !== document.body) return;
    const near = around.find((element) => element.isConnected && headingIn(element) !== null);
    // Who uses a pointer looks where it is: the page stays as it is under it.
    if (near) headingIn(near)?.focus({ preventScroll: !byKey });
  };
  // Later than what the views do themselves once they have changed.
  const soon = () => {
    timer ??= window.setTimeout(look, 0);
  };
  const observer = new MutationObserver(soon);
  observer.observe(within, { childList: true, subtree: true });
  within.addEventListener('focusin', onFocusIn);
  within.addEventListener('focusout', soon);
  return () => {
    observer.disconnect();
    within.removeEventListener('focusin', onFocusIn);
    within.removeEventListener('focusout', soon);
    window.clearTimeout(timer);
  };
}

function ancestors(element: Element, within: Element): Element[] {
  const found: Element[] = [];
  for (let at = element.parentElement; at !== null && at !== within; at = at.parentElement) {
    found.push(at);
  }
  return [...found, within];
}

function headingIn(element: Element): HTMLElement | null {
  return element.querySelector<HTMLElement>(HEADING);
}
