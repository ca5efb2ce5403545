/**
 * The arithmetic of a list that renders only what is seen. The anchor, not the scroll offset, is
 * the truth: rows may come in above or change their height, and what is read stays where it is.
 */

export interface Layout {
  readonly keys: readonly string[];
  /** Top of each row; one more than there are rows, the last is the total height. */
  readonly tops: readonly number[];
  readonly indexOf: ReadonlyMap<string, number>;
}

/** A row and the distance of its top from the top of the view. */
export interface Mark {
  key: string;
  offset: number;
}

/** `end`: stay at the end. Else the first mark that still exists holds. */
export type Anchor = 'end' | readonly Mark[];

/** Where in the view, from the top, the row is that must not move. */
const EYE = 0.4;

export function layoutOf(
  keys: readonly string[],
  heights: ReadonlyMap<string, number>,
  estimate: number,
): Layout {
  const tops: number[] = [0];
  const indexOf = new Map<string, number>();
  let top = 0;
  keys.forEach((key, i) => {
    indexOf.set(key, i);
    top += heights.get(key) ?? estimate;
    tops.push(top);
  });
  return { keys, tops, indexOf };
}

export function totalOf(layout: Layout): number {
  return layout.tops.at(-1) ?? 0;
}

/** Index of the row at `y`. */
export function rowAt(layout: Layout, y: number): number {
  let [low, high] = [0, Math.max(0, layout.keys.length - 1)];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((layout.tops[middle] ?? 0) <= y) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The scroll offset that the anchor asks for, be it possible or not; null if it is gone. */
export function askedTop(layout: Layout, anchor: readonly Mark[]): number | null {
  for (const mark of anchor) {
    const index = layout.indexOf.get(mark.key);
    if (index !== undefined) return (layout.tops[index] ?? 0) - mark.offset;
  }
  return null;
}

/** The scroll offset that puts the anchor in its place, as far as the list goes. */
export function scrollTopFor(
  layout: Layout,
  anchor: Anchor,
  viewHeight: number,
  fallback: number,
): number {
  const most = Math.max(0, totalOf(layout) - viewHeight);
  if (anchor === 'end') return most;
  return clamp(askedTop(layout, anchor) ?? fallback, 0, most);
}

/** Where the view stands: at the end (within `slack`), or by the rows that are seen. */
export function anchorAt(
  layout: Layout,
  scrollTop: number,
  viewHeight: number,
  slack: number,
  mayAnchor: (key: string) => boolean,
): Anchor {
  if (scrollTop + viewHeight >= totalOf(layout) - slack) return 'end';
  const marks: Mark[] = [];
  for (let i = rowAt(layout, scrollTop); i < layout.keys.length; i += 1) {
    const [top, key] = [layout.tops[i] ?? 0, layout.keys[i] ?? ''];
    if (top > scrollTop + viewHeight && marks.length > 0) break;
    if (mayAnchor(key)) marks.push({ key, offset: top - scrollTop });
  }
  // Eyes rest above the middle; a row at the edge may change its height when others come in.
  const distance = (mark: Mark) => Math.abs(mark.offset - viewHeight * EYE);
  return marks.sort((a, b) => distance(a) - distance(b));
}

/** First row and row after the last to render. */
export function windowOf(
  layout: Layout,
  scrollTop: number,
  viewHeight: number,
  overscan: number,
): readonly [number, number] {
  if (layout.keys.length === 0) return [0, 0];
  const first = rowAt(layout, Math.max(0, scrollTop - overscan));
  const last = rowAt(layout, scrollTop + viewHeight + overscan);
  return [first, last + 1];
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
