import { type ReactNode, useRef } from 'react';
import { useKeptFocus } from './kept-focus';
import './sheet.css';

interface Props {
  label: string;
  children: ReactNode;
}

/** A page of parts that scrolls. What goes from it leaves the focus to a heading. */
export function Sheet({ label, children }: Props) {
  const ref = useRef<HTMLElement>(null);
  useKeptFocus(ref);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: keys scroll what has nothing to act on
    <section className="sheet" aria-label={label} tabIndex={0} ref={ref}>
      {children}
    </section>
  );
}
