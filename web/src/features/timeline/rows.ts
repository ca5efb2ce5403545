/** Turns a room's history into the rows that are shown. */

import type { Entry, Outgoing, Timeline } from '../../state/model';
import { dayKey } from '../../ui/time';

export type Row =
  | { kind: 'older'; key: string; state: 'loading' | 'failed' | 'start' | 'more' }
  | { kind: 'day'; key: string; at: string }
  | { kind: 'unread'; key: string }
  | { kind: 'message'; key: string; entry: Entry; continued: boolean }
  | { kind: 'outgoing'; key: string; outgoing: Outgoing; continued: boolean };

/** Messages of one author within this time are shown as one group. */
const GROUP_MS = 5 * 60_000;

interface Before {
  senderId: string;
  at: number;
  day: string;
  /** Nothing is grouped with a tombstone or below a line. */
  closed: boolean;
}

export const UNREAD_KEY = 'unread';

export function rowsOf(
  timeline: Timeline,
  outbox: readonly Outgoing[],
  me: string,
): readonly Row[] {
  const rows: Row[] = [{ kind: 'older', key: 'older', state: olderState(timeline) }];
  let before: Before | null = null;
  let unreadShown = timeline.readUpTo === null;
  for (const entry of timeline.items) {
    if (before?.day !== dayKey(entry.createdAt)) {
      rows.push({ kind: 'day', key: `day ${entry.key}`, at: entry.createdAt });
      before = null;
    }
    if (!unreadShown && (entry.ordinal ?? 0) > (timeline.readUpTo ?? 0)) {
      unreadShown = true;
      rows.push({ kind: 'unread', key: UNREAD_KEY });
      before = null;
    }
    const continued = continues(before, entry.senderId, entry.createdAt, entry.replyTo);
    rows.push({ kind: 'message', key: entry.key, entry, continued });
    before = after(entry.senderId, entry.createdAt, entry.deletedAt !== null);
  }
  for (const outgoing of outbox) {
    const { createdAt, replyTo, clientMessageId } = outgoing;
    const continued = continues(before, me, createdAt, replyTo);
    rows.push({ kind: 'outgoing', key: clientMessageId, outgoing, continued });
    before = after(me, createdAt, false);
  }
  return rows;
}

export function mayAnchor(key: string): boolean {
  return key !== 'older' && key !== UNREAD_KEY && !key.startsWith('day ');
}

function olderState(timeline: Timeline): 'loading' | 'failed' | 'start' | 'more' {
  if (timeline.atStart) return 'start';
  return timeline.older === 'idle' ? 'more' : timeline.older;
}

function after(senderId: string, at: string, closed: boolean): Before {
  return { senderId, at: Date.parse(at), day: dayKey(at), closed };
}

function continues(
  before: Before | null,
  senderId: string,
  at: string,
  replyTo: string | null,
): boolean {
  if (!before || before.closed || replyTo !== null || before.senderId !== senderId) return false;
  return Math.abs(Date.parse(at) - before.at) < GROUP_MS;
}
