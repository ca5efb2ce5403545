/**
 * Reads the light Markdown of messages into a small tree. It never makes HTML, takes time linear
 * in the text, and takes everything it does not know for plain text.
 */

export type Inline =
  | { kind: 'text'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'strong' | 'em' | 'del'; children: Inline[] }
  | { kind: 'link'; href: string; children: Inline[] };

export type Block =
  | { kind: 'paragraph'; children: Inline[] }
  | { kind: 'quote'; children: Inline[] }
  | { kind: 'code'; text: string };

const DEPTH_MAX = 6;
/** How many closing marks are tried per opening one: bounds the time on hostile text. */
const CLOSERS_MAX = 12;
const SCHEMES = new Set(['http:', 'https:', 'mailto:']);

/** The address if it is one that may be followed from a message, else null. */
export function safeHref(text: string): string | null {
  try {
    const url = new URL(text);
    return SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

export function parseMarkdown(source: string): Block[] {
  const blocks: Block[] = [];
  let lines: string[] = [];
  let quoting = false;
  const flush = () => {
    const text = lines.join('\n').replace(/^\n+|\n+$/g, '');
    if (text !== '') {
      blocks.push({ kind: quoting ? 'quote' : 'paragraph', children: parseInline(text) });
    }
    lines = [];
  };
  const all = source.replaceAll('\r\n', '\n').split('\n');
  const lastFence = all.lastIndexOf('```');
  for (let i = 0; i < all.length; i += 1) {
    const line = all[i] ?? '';
    const end = line.startsWith('```') && lastFence > i ? all.indexOf('```', i + 1) : -1;
    if (end > 0) {
      flush();
      blocks.push({ kind: 'code', text: all.slice(i + 1, end).join('\n') });
      i = end;
      continue;
    }
    const quoted = /^>( |$)/.test(line);
    if (quoted !== quoting) flush();
    quoting = quoted;
    lines.push(quoted ? line.slice(2) : line);
  }
  flush();
  return blocks;
}

/** Reads the marks inside a paragraph. */
export function parseInline(source: string, depth = 0): Inline[] {
  const out: Inline[] = [];
  let plain = '';
  let i = 0;
  while (i < source.length) {
    const hit = depth < DEPTH_MAX ? read(source, i, depth) : null;
    if (!hit) {
      plain += source[i];
      i += 1;
      continue;
    }
    if (plain !== '') out.push({ kind: 'text', text: plain });
    plain = '';
    out.push(hit.node);
    i = hit.end;
  }
  if (plain !== '') out.push({ kind: 'text', text: plain });
  return out;
}

interface Hit {
  node: Inline;
  end: number;
}

function read(source: string, i: number, depth: number): Hit | null {
  switch (source[i]) {
    case '`':
      return readCode(source, i);
    case '*':
      return readSpan(source, i, '**', 'strong', depth) ?? readSpan(source, i, '*', 'em', depth);
    case '_':
      return readSpan(source, i, '_', 'em', depth);
    case '~':
      return readSpan(source, i, '~~', 'del', depth);
    case '[':
      return readLink(source, i, depth);
    case 'h':
      return readBareLink(source, i);
    default:
      return null;
  }
}

function readCode(source: string, i: number): Hit | null {
  const end = source.indexOf('`', i + 1);
  const text = source.slice(i + 1, end);
  if (end <= i + 1 || text.includes('\n')) return null;
  return { node: { kind: 'code', text }, end: end + 1 };
}

const WORD = /[\p{L}\p{N}_]/u;

function readSpan(
  source: string,
  i: number,
  mark: string,
  kind: 'strong' | 'em' | 'del',
  depth: number,
): Hit | null {
  const start = i + mark.length;
  if (!source.startsWith(mark, i) || /^\s?$/.test(source.charAt(start))) return null;
  // snake_case names are not emphasis.
  if (mark === '_' && WORD.test(source.charAt(i - 1))) return null;
  let end = start;
  for (let tries = 0; tries < CLOSERS_MAX; tries += 1) {
    end = source.indexOf(mark, end + 1);
    if (end < 0) return null;
    // Of a longer run of stars, the outer mark takes the last ones.
    while (mark === '**' && source[end + 2] === '*') end += 1;
    const after = end + mark.length;
    const double = mark === '*' && (source[after] === '*' || source[end - 1] === '*');
    const inWord = mark === '_' && WORD.test(source.charAt(after));
    if (double || inWord || /\s/.test(source.charAt(end - 1))) continue;
    const children = parseInline(source.slice(start, end), depth + 1);
    return { node: { kind, children }, end: after };
  }
  return null;
}

const LINK = /\[([^[\]\n]{1,500})\]\((\S{1,2000}?)\)/y;

function readLink(source: string, i: number, depth: number): Hit | null {
  LINK.lastIndex = i;
  const match = LINK.exec(source);
  const href = match?.[2] === undefined ? null : safeHref(match[2]);
  if (!match || href === null) return null;
  // No links inside links: at this depth only marks are read.
  const label = parseInline(match[1] ?? '', Math.max(depth + 1, DEPTH_MAX - 1));
  const children = label.map((node) => (node.kind === 'link' ? textOf(node) : node));
  return { node: { kind: 'link', href, children }, end: i + match[0].length };
}

function textOf(node: Inline): Inline {
  if (node.kind === 'text' || node.kind === 'code') return node;
  return { kind: 'text', text: node.children.map((c) => ('text' in c ? c.text : '')).join('') };
}

const BARE = /https?:\/\/[^\s<>"`]{1,2000}/y;

function readBareLink(source: string, i: number): Hit | null {
  if (WORD.test(source.charAt(i - 1))) return null;
  BARE.lastIndex = i;
  const found = BARE.exec(source)?.[0];
  if (found === undefined) return null;
  const text = trimBare(found);
  const href = safeHref(text);
  if (href === null) return null;
  const children: Inline[] = [{ kind: 'text', text }];
  return { node: { kind: 'link', href, children }, end: i + text.length };
}

/** Leaves out the punctuation of the sentence around an address. */
function trimBare(found: string): string {
  let text = found;
  for (;;) {
    const last = text.at(-1) ?? '';
    const closes = last === ')' && !text.includes('(');
    if (!closes && !'.,;:!?\'"*_~]'.includes(last)) return text;
    if (text.length <= 8) return text;
    text = text.slice(0, -1);
  }
}

/** The first words of a message without marks, for quotes and announcements. */
export function plainText(source: string, charsMax = 140): string {
  const text = parseMarkdown(source.slice(0, charsMax * 4))
    .map((block) => (block.kind === 'code' ? block.text : flat(block.children)))
    .join(' ')
    .replace(/\s+/g, ' ')
    .trim();
  const chars = Array.from(text);
  return chars.length > charsMax ? `${chars.slice(0, charsMax - 1).join('')}…` : text;
}

function flat(nodes: readonly Inline[]): string {
  return nodes.map((n) => ('text' in n ? n.text : flat(n.children))).join('');
}
