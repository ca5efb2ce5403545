import { useEffect, useId, useRef, useState } from 'react';
import type { User } from '../protocol/types';
import { Avatar } from './Avatar';
import { BotMark } from './BotMark';
import { IconButton } from './Button';
import { Field } from './Field';
import './user-picker.css';

interface Props {
  label: string;
  search: (query: string) => Promise<User[]>;
  chosen: readonly User[];
  onChange: (chosen: User[]) => void;
  /** Only one person can be chosen. */
  single?: boolean;
  /** People who cannot be chosen (already there). */
  without?: ReadonlySet<string>;
}

const PAUSE_MS = 200;

/** Finds people by name and keeps those chosen as chips. */
export function UserPicker({ label, search, chosen, onChange, single, without }: Props) {
  const [query, setQuery] = useState('');
  const { found, status } = useSearch(search, query);
  const listId = useId();
  const box = useRef<HTMLInputElement>(null);
  const taken = new Set(chosen.map((u) => u.userId));
  const offered = found.filter((u) => !taken.has(u.userId) && !without?.has(u.userId));
  const choose = (user: User) => {
    onChange(single ? [user] : [...chosen, user]);
    setQuery('');
    box.current?.focus();
  };
  const drop = (user: User) => {
    onChange(chosen.filter((u) => u.userId !== user.userId));
    box.current?.focus();
  };
  return (
    <div className="picker">
      {chosen.length > 0 && (
        <ul className="picker-chosen" aria-label="Chosen people">
          {chosen.map((user) => (
            <li key={user.userId}>
              {user.displayName || user.username}
              <IconButton
                icon="close"
                label={`Remove ${user.displayName || user.username}`}
                onClick={() => drop(user)}
              />
            </li>
          ))}
        </ul>
      )}
      <Field
        ref={box}
        label={label}
        type="search"
        placeholder="Type a name"
        value={query}
        autoComplete="off"
        spellCheck={false}
        aria-controls={listId}
        onChange={(event) => setQuery(event.target.value)}
        onKeyDown={(event) => {
          const first = offered[0];
          if (event.key !== 'Enter' || !first) return;
          event.preventDefault();
          choose(first);
        }}
      />
      <ul className="picker-found" id={listId} aria-label="People found">
        {offered.map((user) => (
          <li key={user.userId}>
            <button type="button" onClick={() => choose(user)}>
              <Avatar id={user.userId} name={user.displayName || user.username} size="small" />
              <span>{user.displayName || user.username}</span>
              {user.bot && <BotMark />}
              <span className="picker-handle">@{user.username}</span>
            </button>
          </li>
        ))}
      </ul>
      <p className="picker-status" role="status">
        {words(status, query, offered.length)}
      </p>
    </div>
  );
}

type Status = 'idle' | 'searching' | 'done' | 'failed';

function words(status: Status, query: string, count: number): string {
  if (query.trim() === '' || status === 'idle') return '';
  if (status === 'searching') return 'Searching…';
  if (status === 'failed') return 'The search did not work. Please try again.';
  return count === 0 ? 'Nobody of this name.' : '';
}

function useSearch(search: (query: string) => Promise<User[]>, query: string) {
  const [found, setFound] = useState<User[]>([]);
  const [status, setStatus] = useState<Status>('idle');
  useEffect(() => {
    const wanted = query.trim();
    setStatus(wanted === '' ? 'idle' : 'searching');
    if (wanted === '') return setFound([]);
    let current = true;
    const timer = setTimeout(() => {
      search(wanted).then(
        (users) => {
          if (!current) return;
          setFound(users);
          setStatus('done');
        },
        () => current && setStatus('failed'),
      );
    }, PAUSE_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [search, query]);
  return { found, status };
}
