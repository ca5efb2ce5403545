import { describe, expect, it } from 'vitest';
import { clockTime, momentLabel, shortTime } from './time';

const now = new Date(2026, 10, 21, 12, 0).getTime();
const at = (year: number, month: number, day: number) =>
  new Date(year, month, day, 9, 5).toISOString();

describe('the time of a message', () => {
  it('of today is the clock alone', () => {
    expect(momentLabel(at(2026, 10, 21), now)).toBe(clockTime(at(2026, 10, 21)));
  });

  it('of another day names the day, and the year where it is another', () => {
    expect(momentLabel(at(2026, 10, 20), now)).toMatch(/20/);
    expect(momentLabel(at(2026, 10, 20), now)).not.toMatch(/2026/);
    expect(momentLabel(at(2008, 3, 27), now)).toMatch(/27.*2008|2008.*27/);
  });
});

describe('the time of a room in the list', () => {
  it('of an earlier year names the year', () => {
    expect(shortTime(at(2008, 3, 27), now)).toMatch(/2008/);
    expect(shortTime(at(2026, 3, 27), now)).not.toMatch(/2026/);
  });
});
