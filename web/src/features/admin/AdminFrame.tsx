import type { ReactNode } from 'react';
import { useSelect } from '../../state/react';
import { PageHead } from '../../ui/PageHead';
import '../../ui/sheet.css';
import './admin.css';

interface Props {
  menu: ReactNode;
  parts: readonly { href: string; words: string; here: boolean }[];
  children: ReactNode;
}

/** The pages of those who run the server, and the way between them. */
export function AdminFrame({ menu, parts, children }: Props) {
  const admin = useSelect((s) => s.me?.role === 'admin');
  return (
    <>
      <PageHead menu={menu} title="Run this server" />
      {admin && (
        <nav className="parts" aria-label="Parts of running this server">
          {parts.map(({ href, words, here }) => (
            <a key={href} href={href} aria-current={here ? 'page' : undefined}>
              {words}
            </a>
          ))}
        </nav>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: keys scroll what has nothing to act on */}
      <section className="sheet" aria-label="Run this server" tabIndex={0}>
        {admin ? children : <p>This page is for administrators of the server.</p>}
      </section>
    </>
  );
}
