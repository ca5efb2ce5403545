import { useMemo } from 'react';
import type { Status } from '../protocol/types';
import './avatar.css';

const HUES = 12;

function hueOf(id: string): number {
  let hash = 7;
  for (const char of id) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return (hash % HUES) * (360 / HUES);
}

function initials(name: string): string {
  const words = name.split(/[\s._-]+/).filter((w) => /[\p{L}\p{N}]/u.test(w));
  const letters = words.slice(0, 2).map((w) => Array.from(w)[0] ?? '');
  return letters.join('').toUpperCase() || '·';
}

interface Props {
  /** Decides the colour, so that it stays when the name changes. */
  id: string;
  name: string;
  size?: 'small' | 'medium' | 'large';
  /** Whether they are there, if it is known. */
  status?: Status | undefined;
}

export const STATUS_WORDS: Readonly<Record<Status, string>> = {
  online: 'online',
  away: 'away',
  dnd: 'do not disturb',
  offline: 'offline',
};

/**
 * Initials on a colour of their own; decoration, the name stands beside it. The mark of a status
 * differs in shape as well as in colour, and is read out.
 */
export function Avatar({ id, name, size = 'medium', status }: Props) {
  const style = useMemo(() => ({ '--hue': hueOf(id) }) as React.CSSProperties, [id]);
  const picture = (
    <span className={`avatar avatar-${size}`} style={style} aria-hidden="true">
      {initials(name)}
    </span>
  );
  if (status === undefined) return picture;
  return (
    <span className="avatar-there">
      {picture}
      <span className={`presence presence-${status}`} title={STATUS_WORDS[status]}>
        <span className="visually-hidden">{STATUS_WORDS[status]}, </span>
      </span>
    </span>
  );
}
