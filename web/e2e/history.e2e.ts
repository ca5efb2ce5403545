import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { pageErrors, until } from './browser';
import { type ImportLine, importLines } from './conversation';
import { stage } from './stage';

const COUNT = 703;

const on = stage();
let admin: Page;

beforeAll(async () => {
  admin = await on.administrator();
  await importLines(admin, longPast());
  await admin.getByRole('link', { name: 'Browse channels' }).click();
  await admin.getByRole('button', { name: 'Join archive' }).click();
  await admin.getByText(`line ${COUNT}`, { exact: true }).waitFor();
});

/** A room with a long past. */
function longPast(): ImportLine[] {
  const at = (i: number) => new Date(Date.UTC(2025, 0, 1) + i * 3_600_000).toISOString();
  const lines: ImportLine[] = [
    { type: 'user', id: 'u1', username: 'zoe', displayName: 'Zoe' },
    {
      type: 'room',
      id: 'r1',
      roomType: 'channel',
      name: 'archive',
      createdBy: 'u1',
      createdAt: at(0),
    },
    { type: 'member', room: 'r1', user: 'u1', role: 'owner' },
  ];
  for (let i = 1; i <= COUNT; i += 1) {
    const content = i % 10 === 0 ? `line ${i}\n${'long '.repeat(60)}` : `line ${i}`;
    const message = { id: `m${i}`, room: 'r1', sender: 'u1', content, createdAt: at(i) };
    lines.push({ type: 'message', ...message });
  }
  return lines;
}

/** The numbers of the lines that are rendered, top to bottom. */
function lines(page: Page): Promise<number[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll('.message')].map((row) =>
      Number(/line (\d+)/.exec(row.textContent ?? '')?.[1]),
    ),
  );
}

/** Where a line stands in the window, in pixels from its top. */
function topOf(page: Page, line: number): Promise<number | null> {
  return page.evaluate((n) => {
    const rows = [...document.querySelectorAll('.message')];
    const row = rows.find((r) => new RegExp(`line ${n}\\b`).test(r.textContent ?? ''));
    return row ? Math.round(row.getBoundingClientRect().top) : null;
  }, line);
}

describe('a long history', () => {
  it('opens at its end with few rows rendered', async () => {
    const rendered = await lines(admin);
    expect(rendered.at(-1)).toBe(COUNT);
    expect(rendered.length).toBeLessThan(60);
  });

  it('scrolling back shows every line once, in order, to the beginning', async () => {
    const seen = new Set<number>();
    await admin.locator('.vlist').hover();
    for (let step = 0; step < 400 && !seen.has(1); step += 1) {
      const rendered = await lines(admin);
      const sorted = [...rendered].sort((a, b) => a - b);
      expect(rendered).toEqual(sorted);
      expect(new Set(rendered).size).toBe(rendered.length);
      for (const n of rendered) seen.add(n);
      await admin.mouse.wheel(0, -700);
      await admin.waitForTimeout(30);
    }
    expect(seen.size).toBe(COUNT);
    await admin.getByText('This is where archive begins.').waitFor();
  });

  it('what is read stays in its place when older pages come in above', async () => {
    await admin.reload();
    await admin.getByText(`line ${COUNT}`, { exact: true }).waitFor();
    await admin.locator('.vlist').hover();
    await admin.route('**/messages?*before=*', async (route) => {
      await new Promise((done) => setTimeout(done, 600));
      await route.continue();
    });
    await admin.mouse.wheel(0, -50_000);
    await admin.waitForTimeout(250);
    const anchor = (await lines(admin))[Math.floor((await lines(admin)).length / 2)] ?? 0;
    const before = await topOf(admin, anchor);
    const oldest = () => admin.evaluate(() => document.querySelector('.vlist')?.scrollHeight ?? 0);
    const height = await oldest();
    await until(async () => (await oldest()) > height, true);
    await admin.waitForTimeout(100);
    expect(Math.abs(((await topOf(admin, anchor)) ?? 0) - (before ?? 0))).toBeLessThanOrEqual(1);
    await admin.unroute('**/messages?*before=*');
  });

  it('one click goes back to the newest', async () => {
    await admin.getByRole('button', { name: 'Latest' }).click();
    await admin.getByText(`line ${COUNT}`, { exact: true }).waitFor();
  });

  it('no script failed', () => {
    expect(pageErrors).toEqual([]);
  });
});
