import './virtual-list.css';
import {
  type ReactNode,
  type Ref,
  useCallback,
  useEffect,
  useImperativeHandle,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
} from 'react';
import {
  type Anchor,
  anchorAt,
  askedTop,
  type Layout,
  layoutOf,
  scrollTopFor,
  totalOf,
  windowOf,
} from './virtual';

export interface VirtualListHandle {
  scrollToEnd(): void;
  /** Puts a row a third below the top of the view. */
  scrollToKey(key: string): void;
  /** Scrolls only as far as needed to see the row whole. */
  reveal(key: string): void;
  /** From here keys scroll, and Tab leads to the rows. */
  focus(): void;
}

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  /** Rows that are not content of their own (day lines) move when others come in above. */
  mayAnchor: (key: string) => boolean;
  render: (item: T) => ReactNode;
  /** Height of a row that was not measured yet, in pixels. */
  estimate: number;
  label: string;
  handle?: Ref<VirtualListHandle>;
  /** The view is near the first row. */
  onNearStart?: () => void;
  onAtEnd?: (atEnd: boolean) => void;
}

const OVERSCAN = 500;
const NEAR = 900;
/** Within so many pixels of the end counts as being there. */
const SLACK = 24;
/** Measuring converges in two or three rounds; this stops a layout that never rests. */
const ROUNDS_MAX = 12;

/** A list of rows of any height that renders only those near the view, and holds still. */
export function VirtualList<T>(props: Props<T>) {
  const { items, keyOf, render, label } = props;
  const list = useVirtual(props);
  const [first, end] = list.range;
  return (
    <div className="vlist" ref={list.scroller} onScroll={list.onScroll} tabIndex={-1} data-place>
      <div className="vlist-space" style={{ height: totalOf(list.layout) }}>
        {/* biome-ignore lint/a11y/useSemanticElements: rows are positioned blocks, not li boxes */}
        <div
          className="vlist-window"
          role="list"
          aria-label={label}
          ref={list.window}
          style={{ transform: `translateY(${list.layout.tops[first] ?? 0}px)` }}
        >
          {items.slice(first, end).map((item) => (
            // biome-ignore lint/a11y/useSemanticElements: see above
            <div role="listitem" key={keyOf(item)} data-key={keyOf(item)}>
              {render(item)}
            </div>
          ))}
        </div>
      </div>
    </div>
  );
}

function useVirtual<T>(props: Props<T>) {
  const { items, keyOf, mayAnchor, estimate } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const window = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const anchor = useRef<Anchor>('end');
  const lastTop = useRef(0);
  const lastHeight = useRef(0);
  const rounds = useRef(0);
  const [version, refresh] = useReducer((n: number) => n + 1, 0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` stands for the heights
  const layout = useMemo(
    () => layoutOf(items.map(keyOf), heights.current, estimate),
    [items, keyOf, estimate, version],
  );
  const viewHeight = scroller.current?.clientHeight ?? 800;
  const top = scrollTopFor(layout, anchor.current, viewHeight, lastTop.current);
  const range = windowOf(layout, top, viewHeight, OVERSCAN);

  useLayoutEffect(() => {
    const [box, rows] = [scroller.current, window.current];
    if (!box || !rows) return;
    const grown = measure(rows, heights.current);
    if (grown && rounds.current < ROUNDS_MAX) {
      rounds.current += 1;
      refresh();
      return;
    }
    rounds.current = 0;
    // The height that counts is the one after this rendering.
    const wanted = scrollTopFor(layout, anchor.current, box.clientHeight, lastTop.current);
    if (Math.abs(box.scrollTop - wanted) > 0.5) box.scrollTop = wanted;
    lastTop.current = box.scrollTop;
    lastHeight.current = box.clientHeight;
    // An anchor that asks for more than there is (a row on the last page, or one that was placed
    // by estimated heights) would pull at the view later: what is seen now becomes the anchor.
    if (anchor.current === 'end' || !exceeds(layout, anchor.current, box)) return;
    anchor.current = anchorAt(layout, box.scrollTop, box.clientHeight, SLACK, mayAnchor);
    if (anchor.current === 'end') refresh();
  });

  useResize(scroller, window, refresh);
  const onScroll = useCallback(() => {
    const box = scroller.current;
    // Our own scrolling does not change what we hold on to.
    if (!box || Math.abs(box.scrollTop - lastTop.current) < 1) return;
    // Nor does what the browser does to the offset when the view changes its height.
    if (box.clientHeight !== lastHeight.current) return refresh();
    lastTop.current = box.scrollTop;
    anchor.current = anchorAt(layout, box.scrollTop, box.clientHeight, SLACK, mayAnchor);
    refresh();
  }, [layout, mayAnchor]);
  useEdges(props, top, anchor.current === 'end');
  useHandle(props.handle, layout, scroller, anchor, refresh);
  return { scroller, window, layout, range, onScroll };
}

function exceeds(layout: Layout, anchor: Anchor, box: HTMLElement): boolean {
  if (anchor === 'end') return false;
  const asked = askedTop(layout, anchor);
  const most = totalOf(layout) - box.clientHeight;
  return asked === null || asked < -1 || asked >= most - 1;
}

/** Notes the heights of rendered rows; true if any was not as noted. */
function measure(rows: HTMLElement, heights: Map<string, number>): boolean {
  let changed = false;
  for (const row of rows.children) {
    const key = (row as HTMLElement).dataset.key ?? '';
    const { height } = row.getBoundingClientRect();
    if (Math.abs((heights.get(key) ?? -1) - height) <= 0.25) continue;
    heights.set(key, height);
    changed = true;
  }
  return changed;
}

function useResize(
  scroller: { current: HTMLElement | null },
  window: { current: HTMLElement | null },
  refresh: () => void,
) {
  useEffect(() => {
    const observer = new ResizeObserver(refresh);
    if (scroller.current) observer.observe(scroller.current);
    if (window.current) observer.observe(window.current);
    return () => observer.disconnect();
  }, [scroller, window, refresh]);
}

function useEdges<T>(props: Props<T>, top: number, atEnd: boolean) {
  const { onNearStart, onAtEnd, items } = props;
  const near = top < NEAR;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again when rows came in
  useEffect(() => {
    if (near) onNearStart?.();
  }, [near, items, onNearStart]);
  useEffect(() => onAtEnd?.(atEnd), [atEnd, onAtEnd]);
}

function useHandle(
  handle: Ref<VirtualListHandle> | undefined,
  layout: Layout,
  scroller: { current: HTMLElement | null },
  anchor: { current: Anchor },
  refresh: () => void,
) {
  useImperativeHandle(handle, () => {
    const viewHeight = () => scroller.current?.clientHeight ?? 0;
    const hold = (next: Anchor) => {
      anchor.current = next;
      refresh();
    };
    return {
      focus: () => scroller.current?.focus({ preventScroll: true }),
      scrollToEnd: () => hold('end'),
      scrollToKey: (key) => hold([{ key, offset: viewHeight() * 0.3 }]),
      reveal: (key) => {
        const index = layout.indexOf.get(key);
        if (index === undefined) return;
        const scrollTop = scroller.current?.scrollTop ?? 0;
        const [top, end] = [layout.tops[index] ?? 0, layout.tops[index + 1] ?? 0];
        if (top < scrollTop) hold([{ key, offset: 8 }]);
        else if (end > scrollTop + viewHeight()) {
          hold([{ key, offset: Math.max(8, viewHeight() - (end - top) - 8) }]);
        }
      },
    };
  }, [layout, scroller, anchor, refresh]);
}
