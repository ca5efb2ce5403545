/** One room's loaded history: merging pages and events so that each message is there once. */

import type { DeleteEvent, EditEvent, MessageEvent } from '../protocol/frames';
import type { Message } from '../protocol/types';
import type { Entry, Timeline } from './model';

/** Index of the first entry whose seq is not below `seq`. */
export function lowerBound(items: readonly Entry[], seq: number): number {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((items[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The entry with exactly this seq. */
export function entryAt(items: readonly Entry[], seq: number): Entry | undefined {
  const entry = items[lowerBound(items, seq)];
  return entry?.seq === seq ? entry : undefined;
}

/** The newer of two states of one message; a tombstone is final. */
function newerState(old: Entry, next: Message): Entry {
  if (old.deletedAt !== null) return old;
  const stale = Date.parse(next.editedAt ?? '') < Date.parse(old.editedAt ?? '');
  const missesEdit = next.editedAt === null && old.editedAt !== null && next.deletedAt === null;
  return stale || missesEdit ? old : { ...next, key: old.key };
}

/** A reply that lives in its thread alone has a seq here and no place. */
export function inMainHistory(message: Message): boolean {
  return !message.threadId || message.ordinal !== null;
}

/** Adds messages in any order; `keyOf` names those shown before under another key. */
export function merge(
  items: readonly Entry[],
  messages: readonly Message[],
  keyOf: (message: Message) => string = (m) => m.messageId,
): readonly Entry[] {
  if (messages.length === 0) return items;
  const bySeq = new Map(items.map((entry) => [entry.seq, entry]));
  for (const message of messages) {
    const old = bySeq.get(message.seq);
    bySeq.set(message.seq, old ? newerState(old, message) : { ...message, key: keyOf(message) });
  }
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq);
}

/** Adds one message; the common case, an append, costs no sorting. */
export function insert(items: readonly Entry[], message: Message, key: string): readonly Entry[] {
  const last = items.at(-1);
  if (!last || last.seq < message.seq) return [...items, { ...message, key }];
  return merge(items, [message], () => key);
}

/** Notes that the event `seq` was seen, and closes holes as far as it can. */
export function markSeen(timeline: Timeline, seq: number): Timeline {
  if (seq <= timeline.headSeen || timeline.ahead.includes(seq)) return timeline;
  const ahead = [...timeline.ahead, seq].sort((a, b) => a - b);
  let headSeen = timeline.headSeen;
  while (ahead[0] === headSeen + 1) {
    headSeen += 1;
    ahead.shift();
  }
  return { ...timeline, headSeen, ahead };
}

/** Notes that everything up to `seq` is covered by history that was read. */
export function cover(timeline: Timeline, seq: number): Timeline {
  if (seq <= timeline.headSeen) return timeline;
  const ahead = timeline.ahead.filter((s) => s > seq);
  const covered = { ...timeline, headSeen: seq, ahead: [] };
  return ahead.reduce(markSeen, covered as Timeline);
}

/** The event's message as history would tell it. */
export function messageOf(event: MessageEvent): Message {
  const { messageId, roomId, seq, ordinal, senderId, content, contentType } = event;
  const { replyTo, threadId, createdAt } = event;
  const fresh = { editedAt: null, deletedAt: null };
  return {
    messageId,
    roomId,
    seq,
    ordinal,
    senderId,
    content,
    contentType,
    replyTo,
    threadId,
    createdAt,
    ...fresh,
  };
}

/** Applies an edit unless a newer one, or a delete, was there before. */
export function applyEdit(timeline: Timeline, event: EditEvent): Timeline {
  return replaceAt(timeline, event.targetSeq, (entry) => {
    const older = Date.parse(event.editedAt) < Date.parse(entry.editedAt ?? '');
    if (entry.deletedAt !== null || older) return entry;
    return { ...entry, content: event.content, editedAt: event.editedAt };
  });
}

/** Turns a message into its tombstone. */
export function applyDelete(timeline: Timeline, event: DeleteEvent): Timeline {
  return replaceAt(timeline, event.targetSeq, (entry) =>
    entry.deletedAt === null ? { ...entry, content: '', deletedAt: event.deletedAt } : entry,
  );
}

function replaceAt(timeline: Timeline, seq: number, change: (entry: Entry) => Entry): Timeline {
  const index = lowerBound(timeline.items, seq);
  const entry = timeline.items[index];
  if (entry?.seq !== seq) return timeline;
  const next = change(entry);
  if (next === entry) return timeline;
  return { ...timeline, items: timeline.items.with(index, next) };
}
