/** A conversation is the same live, forwards, backwards, and in the window. */

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createChannel, joinChannel, pageErrors, say, until } from './browser';
import { conversations, importLines, importOf, type Said } from './conversation';
import { stage } from './stage';

const ALL = conversations();
/** So many lines are said by two people, one after the other. */
const SPOKEN = 24;

const on = stage();
let ann: Page;
let bo: Page;

beforeAll(async () => {
  [ann, bo] = [await on.administrator('Ann'), await on.person('Bo')];
});

interface Stored {
  messageId: string;
  seq: number;
  senderId: string;
  content: string;
  createdAt: string;
  replyTo: string | null;
}

/** The whole history of the room that is open, oldest first, read in one direction. */
function history(page: Page, direction: 'forwards' | 'backwards'): Promise<Stored[]> {
  return page.evaluate(async (way) => {
    const room = decodeURIComponent(location.hash.split('/')[2] ?? '');
    const all: Stored[] = [];
    let from = way === 'forwards' ? 'after=0' : '';
    for (;;) {
      const answer = await fetch(`/api/v1/rooms/${room}/messages?limit=150&${from}`);
      const { items, nextCursor } = (await answer.json()) as {
        items: Stored[];
        nextCursor?: string;
      };
      const page = items.reverse();
      if (way === 'forwards') all.push(...page);
      else all.unshift(...page);
      if (nextCursor === undefined) return all;
      const cursor = encodeURIComponent(nextCursor);
      from = way === 'forwards' ? `after=${cursor}` : `before=${cursor}`;
    }
  }, direction);
}

interface Row {
  seq: number;
  at: string;
  text: string;
}

/** What the window shows, top to bottom, and how much of it no row covers. */
function look(page: Page): Promise<{ rows: Row[]; bare: number; begins: boolean }> {
  return page.evaluate(() => {
    const list = document.querySelector('.vlist')?.getBoundingClientRect();
    const found = [...document.querySelectorAll<HTMLElement>('.message[data-seq]')];
    const rows = found.map((row) => ({
      seq: Number(row.dataset.seq),
      at: row.querySelector('time')?.dateTime ?? '',
      text: row.querySelector('.message-body')?.textContent ?? '',
    }));
    const [first, last] = [found[0], found.at(-1)].map((row) => row?.getBoundingClientRect());
    const above = Math.max(0, (first?.top ?? 0) - (list?.top ?? 0));
    const below = Math.max(0, (list?.bottom ?? 0) - (last?.bottom ?? 0));
    return {
      rows,
      bare: above + below,
      begins: document.querySelector('.timeline-start') !== null,
    };
  });
}

/** Scrolls from the newest to the beginning; every row that was shown, by seq. */
async function scrollBack(page: Page): Promise<Map<number, Row>> {
  const seen = new Map<number, Row>();
  await page.locator('.vlist').hover();
  for (let step = 0; step < 3_000; step += 1) {
    const { rows, bare, begins } = await look(page);
    const seqs = rows.map((row) => row.seq);
    expect(seqs).toEqual([...new Set(seqs)].sort((a, b) => a - b));
    for (const row of rows) seen.set(row.seq, row);
    if (begins && bare > 0) return seen;
    await page.mouse.wheel(0, -900);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(done)));
  }
  throw new Error(`the beginning was not reached after ${seen.size} messages`);
}

const plain = (text: string) => /^[\p{L}\p{N} ,.?!']+$/u.test(text) && text === text.trim();
/** Runs of spaces look like one. */
const folded = (text: string) => text.replaceAll(/\s+/g, ' ');

describe.each(ALL)('the imported room $room', (conversation) => {
  const { room, said } = conversation;
  let stored: Stored[];

  beforeAll(async () => {
    await importLines(ann, importOf(conversation));
    await ann.goto(`${on.server.url}/#/`);
    await joinChannel(ann, room);
    await ann.locator('.message').last().waitFor();
  }, 120_000);

  it('holds what was said, in order, with its times and answers', async () => {
    stored = await history(ann, 'forwards');
    const told = stored.map(({ content, createdAt }) => [content, Date.parse(createdAt)]);
    expect(told).toEqual(said.map(({ text, time }) => [text, Date.parse(time)]));
    const answered = new Map(stored.map(({ messageId }, i) => [messageId, said[i]?.line]));
    const known = new Set(said.map(({ line }) => line));
    const parent = ({ replyTo }: Said) => replyTo?.find((line) => known.has(line));
    expect(stored.map(({ replyTo }) => replyTo && answered.get(replyTo))).toEqual(
      said.map((message) => parent(message) ?? null),
    );
  });

  it('is the same backwards', async () => {
    expect(await history(ann, 'backwards')).toEqual(stored);
  });

  it('is the same in the window, scrolling back to its beginning', async () => {
    const seen = await scrollBack(ann);
    const shown = [...seen.values()].sort((a, b) => a.seq - b.seq);
    expect(shown.map(({ seq, at }) => [seq, Date.parse(at)])).toEqual(
      stored.map(({ seq, createdAt }) => [seq, Date.parse(createdAt)]),
    );
    const words = stored.filter(({ content }) => plain(content));
    expect(words.map(({ seq }) => folded(seen.get(seq)?.text ?? ''))).toEqual(
      words.map(({ content }) => folded(content)),
    );
  }, 240_000);
});

describe('two people who talk', () => {
  it('read the same live, forwards, backwards, and after loading the page anew', async () => {
    await ann.goto(`${on.server.url}/#/`);
    await createChannel(ann, 'stage');
    await joinChannel(bo, 'stage');
    const lines = (ALL[0]?.said ?? []).slice(0, SPOKEN).map(({ text }) => text.trim());
    for (const [i, text] of lines.entries()) {
      await say(i % 2 === 0 ? ann : bo, 'stage', text);
    }
    const seqs = async (page: Page) => (await look(page)).rows.map(({ seq }) => seq);
    const newest = async (page: Page) => (await history(page, 'forwards')).length;
    await until(() => newest(ann), lines.length);
    const forwards = await history(ann, 'forwards');
    expect(await history(bo, 'backwards')).toEqual(forwards);
    const mine = (way: 0 | 1) => lines.filter((_, i) => i % 2 === way);
    for (const [way, page] of [ann, bo].entries()) {
      const me = await page.evaluate(async () => {
        return ((await (await fetch('/api/v1/users/me')).json()) as { userId: string }).userId;
      });
      const own = forwards.filter(({ senderId }) => senderId === me);
      expect(own.map(({ content }) => content)).toEqual(mine(way as 0 | 1));
    }
    // Virtual lists render what is near the window: the end of what was heard live.
    const tail = forwards.slice(-8).map(({ seq }) => seq);
    for (const page of [ann, bo]) {
      await until(async () => (await seqs(page)).slice(-8), tail);
      await page.reload();
      await until(async () => (await seqs(page)).slice(-8), tail);
      expect([...(await scrollBack(page)).keys()].sort((a, b) => a - b)).toEqual(
        forwards.map(({ seq }) => seq),
      );
    }
  });

  it('no script failed', () => {
    expect(pageErrors).toEqual([]);
  });
});
