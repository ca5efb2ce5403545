import { describe, expect, it } from 'vitest';
import { anchorAt, layoutOf, rowAt, scrollTopFor, totalOf, windowOf } from './virtual';

const keys = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `m${from + i}`);
const all = () => true;

describe('virtual list', () => {
  it('rows without a measured height take the estimate', () => {
    const layout = layoutOf(['a', 'b', 'c'], new Map([['b', 100]]), 10);
    expect(layout.tops).toEqual([0, 10, 110, 120]);
    expect(totalOf(layout)).toBe(120);
  });

  it('finds the row at an offset, also beyond both ends', () => {
    const layout = layoutOf(['a', 'b', 'c'], new Map([['b', 100]]), 10);
    expect([-5, 0, 9, 10, 109, 110, 999].map((y) => rowAt(layout, y))).toEqual([
      0, 0, 0, 1, 1, 2, 2,
    ]);
  });

  it('rows that come in above leave the anchor where it was', () => {
    const before = layoutOf(keys(50, 99), new Map(), 20);
    const anchor = anchorAt(before, 130, 200, 8, all);
    const after = layoutOf(keys(1, 99), new Map(), 20);
    expect(scrollTopFor(after, anchor, 200, 0)).toBe(130 + 49 * 20);
  });

  it('a row above that turns out taller moves the offset, not the view', () => {
    const before = layoutOf(keys(1, 50), new Map(), 20);
    const anchor = anchorAt(before, 400, 200, 8, all);
    const after = layoutOf(keys(1, 50), new Map([['m3', 120]]), 20);
    expect(scrollTopFor(after, anchor, 200, 0)).toBe(500);
  });

  it('at the end it stays at the end when rows are added', () => {
    const before = layoutOf(keys(1, 50), new Map(), 20);
    const anchor = anchorAt(before, 800 - 5, 200, 8, all);
    expect(anchor).toBe('end');
    expect(scrollTopFor(layoutOf(keys(1, 51), new Map(), 20), anchor, 200, 0)).toBe(820);
  });

  it('when the first anchor is gone the next one holds', () => {
    const before = layoutOf(keys(1, 50), new Map(), 20);
    const anchor = anchorAt(before, 100, 200, 8, all);
    const without = keys(1, 50).filter((k) => k !== 'm10');
    expect(scrollTopFor(layoutOf(without, new Map(), 20), anchor, 200, 0)).toBe(100);
    const gone = keys(30, 50);
    expect(scrollTopFor(layoutOf(gone, new Map(), 20), anchor, 200, 60)).toBe(60);
  });

  it('rows that may not anchor are passed over', () => {
    const layout = layoutOf(['top', ...keys(1, 50)], new Map(), 20);
    expect(anchorAt(layout, 0, 60, 8, (k) => k !== 'top')).toEqual([
      { key: 'm1', offset: 20 },
      { key: 'm2', offset: 40 },
      { key: 'm3', offset: 60 },
    ]);
  });

  it('renders what is seen and a little more', () => {
    const layout = layoutOf(keys(1, 10_000), new Map(), 20);
    expect(windowOf(layout, 100_000, 200, 100)).toEqual([4_995, 5_016]);
    expect(windowOf(layoutOf([], new Map(), 20), 0, 200, 100)).toEqual([0, 0]);
  });
});
