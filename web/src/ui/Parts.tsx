import './parts.css';

export interface Part {
  href: string;
  words: string;
  here: boolean;
}

/** The way between the parts of a page. */
export function Parts({ label, parts }: { label: string; parts: readonly Part[] }) {
  return (
    <nav className="parts" aria-label={label}>
      {parts.map(({ href, words, here }) => (
        <a key={href} href={href} aria-current={here ? 'page' : undefined}>
          {words}
        </a>
      ))}
    </nav>
  );
}
