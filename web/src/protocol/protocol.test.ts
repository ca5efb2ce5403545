import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseFrame } from './frames';
import { seqOfMessageId } from './message-id';
import { advance, advanceAll, later } from './position';
import { fieldWords, Problem, WITHOUT_WORDS, WORDS, wordsFor } from './problem';

describe('positions', () => {
  it('keep the newest of each log and compare offsets as numbers', () => {
    const known = advanceAll({}, ['m0-a.9', 'm0-a.10', 'm0-a.8', 'm1-a.3']);
    expect(known).toEqual({ 'm0-a': 'm0-a.10', 'm1-a': 'm1-a.3' });
  });

  it('a new epoch takes the place of the old one of its partition', () => {
    expect(advance({ 'm0-a': 'm0-a.900' }, 'm0-b.1')).toEqual({ 'm0-b': 'm0-b.1' });
  });

  it('offsets beyond the exact range of numbers are compared exactly', () => {
    expect(later('m0-a.9007199254740993', 'm0-a.9007199254740992')).toBe('m0-a.9007199254740993');
  });

  it('what is no position changes nothing', () => {
    const known = { 'm0-a': 'm0-a.1' };
    for (const text of ['', 'm0-a', 'm0-a.x', '.5']) expect(advance(known, text)).toBe(known);
  });
});

describe('message ids', () => {
  it('carry the seq in their last 40 bits', () => {
    expect(seqOfMessageId('0192f7a0-5c3e-7abc-8def-01000000002a')).toBe(42);
    expect(seqOfMessageId('0192f7a0-5c3e-7abc-8def-00ffffffffff')).toBe(2 ** 40 - 1);
    expect(seqOfMessageId('42')).toBeNull();
  });
});

describe('frames', () => {
  const frame = (type: string, payload: unknown) => parseFrame(JSON.stringify({ type, payload }));
  const place = { roomId: 'r', seq: 7, position: 'm0-a.7' };

  it('what cannot be read is null', () => {
    for (const raw of ['', 'x', '[]', '{}', '1', '{"type":1}', '{"type":"message"}']) {
      expect(parseFrame(raw)).toBeNull();
    }
    expect(frame('typing', { roomId: 'r' })).toBeNull();
    expect(frame('message', place)).toBeNull();
  });

  it('an event of an unknown type still has its place in the room', () => {
    expect(frame('pin', place)).toMatchObject({ type: 'room', roomId: 'r', seq: 7 });
  });

  it('room without a seq is a hint', () => {
    expect(frame('room', { roomId: 'r', headSeq: 9, headPosition: 'm0-1.7' })).toEqual({
      type: 'room-hint',
      roomId: 'r',
      headSeq: 9,
      headPosition: 'm0-1.7',
    });
  });

  it('an unknown resume tier trusts nothing', () => {
    expect(frame('resumed', { tier: 'magic' })).toMatchObject({ tier: 'snapshot' });
  });

  it('a delta has rooms with events, and one whose events cannot all be read is truncated', () => {
    const events = [{ type: 'pin', payload: place }];
    const rooms = [
      { roomId: 'r', events, truncated: false },
      { roomId: 's', events: [{ type: 'message', payload: place }], truncated: false, left: true },
      { roomId: 't', events: [] },
      { events },
    ];
    const told = frame('resumed', { tier: 'delta', rooms, more: true });
    expect(told).toMatchObject({
      more: true,
      rooms: [
        { roomId: 'r', events: [{ seq: 7 }], truncated: false, left: false },
        { roomId: 's', events: [], truncated: true, left: true },
        { roomId: 't', truncated: true },
      ],
    });
    expect(frame('resumed', { tier: 'snapshot', rooms })).toMatchObject({ rooms: [] });
  });
});

describe('problems', () => {
  it('every code of the server has words or needs none', () => {
    const path = new URL('../../../crates/core/protocol/src/problem/code.rs', import.meta.url);
    const source = readFileSync(path, 'utf8');
    const codes = [...source.matchAll(/= \d{3} "(\w+)"/g)].map((m) => m[1] ?? '');
    expect(codes.length).toBeGreaterThan(40);
    expect(codes.filter((c) => WORDS[c] === undefined && !WITHOUT_WORDS.has(c))).toEqual([]);
  });

  it('known codes have words, others fall back to the detail', () => {
    expect(wordsFor(new Problem({ code: 'last_owner' }))).toMatch(/last owner/);
    expect(wordsFor(new Problem({ code: 'new_rule', detail: 'the moon is wrong' }))).toBe(
      'The moon is wrong.',
    );
    expect(wordsFor(new Error('TypeError: x is undefined'))).toBe(
      'Something went wrong. Please try again.',
    );
  });

  it('a field is told of at the field', () => {
    const errors = [{ pointer: '/username', code: 'invalid_field' }];
    const problem = new Problem({ code: 'invalid_field', errors });
    expect(fieldWords(problem, 'username')).toMatch(/2 to 32/);
    expect(fieldWords(problem, 'email')).toBeUndefined();
  });
});
