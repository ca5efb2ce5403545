import './logo.css';

/** The cup and the name. */
export function Logo({ large = false }: { large?: boolean }) {
  return (
    <span className={`logo ${large ? 'logo-large' : ''}`}>
      <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
        <rect width="32" height="32" rx="9" className="logo-ground" />
        <path d="M8 13h13v6a5 5 0 0 1-5 5h-3a5 5 0 0 1-5-5z" className="logo-cup" />
        <path d="M21 14.5h1.5a2.75 2.75 0 0 1 0 5.5H21" className="logo-handle" />
        <path
          d="M12.5 6.5c-1.5 1.5 1.5 2 0 3.5M16.5 6.5c-1.5 1.5 1.5 2 0 3.5"
          className="logo-steam"
        />
      </svg>
      <span>Klatch</span>
    </span>
  );
}
