/** One JSON request: headers, time limit, problem details, waiting for a read model. */

import { Problem, type ProblemBody } from '../protocol/problem';
import type { UserId } from '../protocol/types';
import type { Owner } from './owner';

export interface Call {
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  position?: string | undefined;
  /** In whose name; else that of whose page it is by now. */
  person?: UserId | null;
}

export type Caller = <T>(request: Call) => Promise<T>;

const TIME_LIMIT_MS = 15_000;
const BEHIND_RETRIES = 3;
/** A refusal because of a limit did nothing, so any call may wait for its turn; not for ever. */
const SLOWED_MS_MAX = 15_000;
const SLOWED_RETRIES = 3;

export interface HttpParts {
  fetch: typeof fetch;
  owner: Owner;
  sleep: (ms: number) => Promise<void>;
  /** Told that a call waits so long because the server asked for it. */
  slowed?: (ms: number) => void;
}

/** Performs `call` under `/api/v1`; rejects with a `Problem`, never with anything else. */
export async function perform<T>(parts: HttpParts, call: Call): Promise<T> {
  const { person = parts.owner.person } = call;
  let position = call.position;
  let slowed = 0;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await once<T>(parts, { ...call, position, person });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // A server that was restored from a backup does not know our position: read without it.
      if (error.code === 'invalid_position' && position !== undefined) {
        position = undefined;
      } else if (error.code === 'read_model_behind' && attempt < BEHIND_RETRIES) {
        await parts.sleep(error.retryAfterMs ?? 1_000);
      } else if (mayWait(error) && slowed < SLOWED_RETRIES) {
        slowed += 1;
        const ms = error.retryAfterMs ?? 1_000;
        parts.slowed?.(ms);
        await parts.sleep(ms);
      } else {
        throw error;
      }
    }
  }
}

function mayWait({ code, retryAfterMs }: Problem): boolean {
  return code === 'rate_limited' && (retryAfterMs ?? 0) <= SLOWED_MS_MAX;
}

async function once<T>(parts: HttpParts, call: Call & { person: UserId | null }): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (call.body !== undefined) headers['Content-Type'] = 'application/json';
  if (call.position !== undefined) headers['X-Klatch-Position'] = call.position;
  const csrf = parts.owner.look(call.person);
  if (csrf !== null && call.method !== 'GET') headers['X-Klatch-CSRF'] = csrf;
  const init: RequestInit = {
    method: call.method,
    headers,
    credentials: 'same-origin',
    cache: 'no-store',
    signal: AbortSignal.timeout(TIME_LIMIT_MS),
  };
  if (call.body !== undefined) init.body = JSON.stringify(call.body);
  let response: Response;
  let text: string;
  try {
    response = await parts.fetch(address(call), init);
    text = await response.text();
  } catch (error) {
    const timedOut = error instanceof DOMException && error.name === 'TimeoutError';
    throw new Problem({ code: timedOut ? 'timeout' : 'offline' });
  }
  // What was read for someone else is nothing for this page.
  parts.owner.look(call.person);
  if (!response.ok) throw problemOf(response, text);
  return (text === '' ? undefined : json(text)) as T;
}

function address(call: Call): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(call.query ?? {})) {
    if (value !== undefined) query.set(key, String(value));
  }
  const tail = query.toString();
  return `/api/v1/${call.path}${tail === '' ? '' : `?${tail}`}`;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Problem({ code: 'unreadable' });
  }
}

function problemOf(response: Response, text: string): Problem {
  let body: ProblemBody = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) body = parsed as ProblemBody;
  } catch {
    // A proxy's HTML page: the status has to do.
  }
  const code = body.code ?? codeFor(response.status);
  const seconds = Number(response.headers.get('Retry-After'));
  const retryAfterMs = seconds > 0 ? seconds * 1_000 : undefined;
  return new Problem({ ...body, code, status: response.status }, retryAfterMs);
}

function codeFor(status: number): string {
  if (status === 401) return 'unauthorized';
  if (status === 413) return 'body_too_large';
  if (status === 429) return 'rate_limited';
  // A gateway without a server behind it.
  if (status === 502 || status === 503 || status === 504) return 'offline';
  return status >= 500 ? 'internal' : 'unknown';
}

/** An id as a part of a path. */
export function seg(id: string): string {
  return encodeURIComponent(id);
}
