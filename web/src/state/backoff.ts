/** How long to wait before the next connection attempt. */

const FIRST_MS = 500;
const MOST_MS = 30_000;

/** Doubles per attempt (0, 1, 2 …) up to 30 s, and spreads by half, so that clients do not come at once. */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(full * (0.5 + random * 0.5));
}

/** What a close code asks of the client. */
export type AfterClose =
  | { kind: 'retry'; delayMs: number | null }
  | { kind: 'renew' }
  | { kind: 'verify' }
  | { kind: 'sign-out' };

/** Reads a close code; `delayMs` null means the usual backoff. */
export function afterClose(code: number, reason: string, random: number): AfterClose {
  switch (code) {
    case 4001:
      return { kind: 'renew' };
    case 4004:
      return { kind: 'verify' };
    case 4020:
      return { kind: 'sign-out' };
    case 4008:
      return { kind: 'retry', delayMs: 10_000 + Math.round(random * 5_000) };
    case 4012:
      return { kind: 'retry', delayMs: drainDelayMs(reason, random) };
    default:
      return { kind: 'retry', delayMs: null };
  }
}

/** The reason of 4012 names a delay in ms; it was jittered by the server. */
function drainDelayMs(reason: string, random: number): number {
  const told = /\d+/.exec(reason)?.[0];
  const ms = told === undefined ? 1_000 + random * 4_000 : Number(told);
  return Math.round(Math.min(ms, 60_000));
}
