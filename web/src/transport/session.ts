/**
 * Keeps the access cookie fresh. Refresh tokens are used once: two tabs that refresh at the same
 * time would look like theft and end the session, so a lock and a shared note keep them apart.
 */

import { Problem } from '../protocol/problem';

/** What tabs tell each other; times in ms since the epoch. */
interface Note {
  renewedAt: number;
  expiresAt: number;
}

export interface SessionParts {
  now: () => number;
  /** Asks the server; answers the lifetime of the new access cookie in seconds. */
  refresh: () => Promise<number>;
  /** Runs `task` while no other tab runs one. */
  exclusively: <T>(task: () => Promise<T>) => Promise<T>;
  remember: (key: string) => string | null;
  keep: (key: string, value: string) => void;
}

const KEY = 'klatch.session';

export class SessionKeeper {
  readonly #parts: SessionParts;
  #running: Promise<void> | null = null;

  constructor(parts: SessionParts) {
    this.#parts = parts;
  }

  /** Notes a fresh access cookie that lives for `seconds`. */
  note(seconds: number): void {
    const renewedAt = this.#parts.now();
    const note: Note = { renewedAt, expiresAt: renewedAt + seconds * 1_000 };
    this.#parts.keep(KEY, JSON.stringify(note));
  }

  expiresAt(): number | null {
    return this.#read()?.expiresAt ?? null;
  }

  /** Renews unless more than a third of the cookie's life is left. */
  renew(): Promise<void> {
    return this.#renewUnless((note) => {
      const left = note.expiresAt - this.#parts.now();
      return left > (note.expiresAt - note.renewedAt) / 3;
    });
  }

  /** Renews unless someone did after `since`. */
  renewSince(since: number): Promise<void> {
    return this.#renewUnless((note) => note.renewedAt > since);
  }

  #renewUnless(fresh: (note: Note) => boolean): Promise<void> {
    const attempt = async () => {
      const note = this.#read();
      if (note && fresh(note)) return;
      this.note(await this.#parts.refresh());
    };
    this.#running ??= this.#parts.exclusively(attempt).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  #read(): Note | null {
    try {
      const note: unknown = JSON.parse(this.#parts.remember(KEY) ?? 'null');
      return isNote(note) ? note : null;
    } catch {
      return null;
    }
  }
}

function isNote(value: unknown): value is Note {
  if (typeof value !== 'object' || value === null) return false;
  const note = value as Partial<Note>;
  return typeof note.renewedAt === 'number' && typeof note.expiresAt === 'number';
}

/** Whether a failed call may be repeated after a refresh. */
export function isUnauthorized(error: unknown): boolean {
  return error instanceof Problem && error.status === 401;
}
