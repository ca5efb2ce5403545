import { describe, expect, it } from 'vitest';
import { EMPTY_TIMELINE, type Entry, type Outgoing, type Timeline } from '../../state/model';
import { message } from '../../state/testing/scripted';
import { rowsOf } from './rows';

function entry(seq: number, senderId: string, createdAt: string, over = {}): Entry {
  const made = message('r', seq, { senderId, createdAt, ...over });
  return { ...made, key: `k${seq}` };
}

function timeline(items: Entry[], over: Partial<Timeline> = {}): Timeline {
  return { ...EMPTY_TIMELINE, status: 'ready', items, ...over };
}

const shape = (t: Timeline, outbox: Outgoing[] = []) =>
  rowsOf(t, outbox, 'me').map((row) =>
    'continued' in row ? `${row.key}${row.continued ? '+' : ''}` : row.kind,
  );

describe('rows', () => {
  it('groups one author within five minutes, and starts anew at each day', () => {
    const items = [
      entry(1, 'ann', '2026-03-01T10:00:00'),
      entry(2, 'ann', '2026-03-01T10:04:00'),
      entry(3, 'bo', '2026-03-01T10:04:30'),
      entry(4, 'bo', '2026-03-01T10:12:00'),
      entry(5, 'bo', '2026-03-02T10:00:00'),
    ];
    expect(shape(timeline(items))).toEqual(['older', 'day', 'k1', 'k2+', 'k3', 'k4', 'day', 'k5']);
  });

  it('a reply or what follows a tombstone starts a group', () => {
    const at = '2026-03-01T10:00:00';
    const items = [
      entry(1, 'ann', at),
      entry(2, 'ann', at, { replyTo: 'x' }),
      entry(3, 'ann', at, { deletedAt: at }),
      entry(4, 'ann', at),
    ];
    expect(shape(timeline(items))).toEqual(['older', 'day', 'k1', 'k2', 'k3+', 'k4']);
  });

  it('the line of the new stands before the first unread message', () => {
    const at = '2026-03-01T10:00:00';
    const items = [entry(1, 'ann', at), entry(2, 'ann', at), entry(3, 'ann', at)];
    const t = timeline(items, { readUpTo: 1 });
    expect(shape(t)).toEqual(['older', 'day', 'k1', 'unread', 'k2', 'k3+']);
  });

  it('what is on its way comes last and joins the own group', () => {
    const at = '2026-03-01T10:00:00';
    const base = { roomId: 'r', content: '', replyTo: null, createdAt: at };
    const out: Outgoing = { ...base, clientMessageId: 'c1', status: 'sending' };
    expect(shape(timeline([entry(1, 'me', at)]), [out])).toEqual(['older', 'day', 'k1', 'c1+']);
  });
});
