import type { ReactNode } from 'react';

/** The heading of a page, with the button that opens the room list on phones. */
export function PageHead({ menu, title }: { menu: ReactNode; title: string }) {
  return (
    <header className="page-head">
      {menu}
      <h1 tabIndex={-1}>{title}</h1>
    </header>
  );
}
