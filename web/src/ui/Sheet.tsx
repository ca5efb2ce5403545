import type { ReactNode } from 'react';
import './sheet.css';

interface Props {
  label: string;
  children: ReactNode;
}

/** A page of parts that scrolls. */
export function Sheet({ label, children }: Props) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: keys scroll what has nothing to act on
    <section className="sheet" aria-label={label} tabIndex={0}>
      {children}
    </section>
  );
}
