import { useEffect, useState } from 'react';
import type { Link } from '../../state/model';
import { useSelect } from '../../state/react';
import './connection.css';

/** Short breaks (a renewed session) are not worth a word. */
const PATIENCE_MS = 1_200;

/** The server answers calls, but lets no connection in: the browser is not told why. */
const REFUSED =
  'No live connection: Klatch may be open in too many windows or on too many devices. ' +
  'Close one of them. ';

/** Says in words when the page is not live; nothing while it is. */
export function ConnectionPill() {
  const link = useSelect((s) => s.link);
  const quiet = link.phase === 'live' || link.phase === 'off';
  const [shown, setShown] = useState(false);
  const now = useSeconds(shown && link.phase === 'waiting');
  useEffect(() => {
    if (quiet) return setShown(false);
    const timer = setTimeout(() => setShown(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [quiet]);
  return (
    <div className="connection" role="status" data-phase={link.phase}>
      {shown && !quiet && (
        <p className="connection-pill">
          <span className="connection-dot" aria-hidden="true" />
          {title(link)}
          {/* A count that changes every second is not read out every second. */}
          <span aria-hidden="true">{countdown(link, now)}</span>
        </p>
      )}
    </div>
  );
}

function title(link: Link): string {
  switch (link.phase) {
    case 'catching-up':
      return 'Catching up…';
    case 'waiting':
      if (link.why === 'limited') return 'Too much at once: taking a short break. ';
      if (link.why === 'refused') return REFUSED;
      return navigator.onLine ? 'Connection lost. ' : 'You are offline. ';
    default:
      if (link.why === 'refused') return REFUSED;
      return link.attempt === 0 ? 'Connecting…' : 'Reconnecting…';
  }
}

function countdown(link: Link, now: number): string {
  if (link.phase !== 'waiting' || link.nextAt === null) return '';
  const seconds = Math.max(0, Math.ceil((link.nextAt - now) / 1_000));
  return seconds === 0 ? 'Trying again…' : `Trying again in ${seconds} s`;
}

function useSeconds(running: boolean): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!running) return;
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [running]);
  return now;
}
