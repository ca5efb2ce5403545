/** Places in the log. Only positions with the same part before the last dot can be compared. */

/** Newest known position per partition and epoch: the part before the dot to the whole text. */
export type Positions = Readonly<Record<string, string>>;

interface Split {
  log: string;
  offset: bigint;
}

/** The two parts of a position, or null for text that is none. */
export function splitPosition(text: string): Split | null {
  const match = /^(.+)\.(\d+)$/.exec(text);
  if (!match?.[1] || !match[2]) return null;
  return { log: match[1], offset: BigInt(match[2]) };
}

/** The stream and partition of a position's log, without its epoch. */
function partitionOf(log: string): string {
  const dash = log.lastIndexOf('-');
  return dash < 0 ? log : log.slice(0, dash);
}

/** Adds one position, keeping the newest; one of a new epoch takes its partition's place. */
export function advance(positions: Positions, text: string | undefined): Positions {
  if (text === undefined) return positions;
  const next = splitPosition(text);
  if (!next) return positions;
  const known = positions[next.log];
  if (known !== undefined) {
    const old = splitPosition(known);
    return old && old.offset >= next.offset ? positions : { ...positions, [next.log]: text };
  }
  const partition = partitionOf(next.log);
  const others = Object.entries(positions).filter(([log]) => partitionOf(log) !== partition);
  return { ...Object.fromEntries(others), [next.log]: text };
}

/** Adds several positions. */
export function advanceAll(positions: Positions, texts: readonly string[]): Positions {
  return texts.reduce(advance, positions);
}

/** The later of two positions of one log; the second where they cannot be compared. */
export function later(a: string | undefined, b: string): string {
  if (a === undefined) return b;
  const [x, y] = [splitPosition(a), splitPosition(b)];
  if (!x || !y || x.log !== y.log) return b;
  return x.offset > y.offset ? a : b;
}
