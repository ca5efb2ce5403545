/** The first minutes of somebody who tries Klatch out. */

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { message, pageErrors, SCREENSHOTS, say, shown, signUp, until } from './browser';
import { stage } from './stage';

const on = stage();
let page: Page;
/** What came over the page's WebSockets. */
const frames: { type: string; payload: Record<string, unknown> }[] = [];

beforeAll(async () => {
  page = await on.open();
  page.on('websocket', (socket) => {
    socket.on('framereceived', ({ payload }) => frames.push(JSON.parse(String(payload))));
  });
});

describe('a newcomer to the demo', () => {
  it('is brought into the room and reads what is there', async () => {
    await signUp(page, on.server.url, 'Nia');
    await page.getByRole('button', { name: 'Open general' }).click();
    await message(page, 'Welcome to Klatch').waitFor();
    expect(await shown(page)).toHaveLength(3);
    expect(await page.locator('.message-author').first().textContent()).toBe('Klatch Bot');
  });

  it('is answered at the first message', async () => {
    await say(page, 'general', 'Hello, is anybody here?');
    const answer = message(page, 'Good to hear you');
    await answer.waitFor();
    expect(await answer.locator('.quote').textContent()).toContain('Hello, is anybody here?');
  });

  it('is helped when asking for it', async () => {
    await say(page, 'general', '@klatchbot help');
    await message(page, 'I know').waitFor();
    await say(page, 'general', '@klatchbot ping');
    await message(page, 'pong').waitFor();
    await page.mouse.move(0, 0);
    await page.screenshot({ path: `${SCREENSHOTS}demo.png` });
  });

  it('sees what the printed line posts', async () => {
    const url = /curl -X POST (\S+)/.exec(on.server.output)?.[1] ?? '';
    const token = /Authorization: Bearer ([^']+)/.exec(on.server.output)?.[1] ?? '';
    const body = /-d '([^']+)'/.exec(on.server.output)?.[1] ?? '';
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
    const answer = await fetch(url, { method: 'POST', headers, body });
    expect(answer.status).toBe(202);
    // Said by the terminal, and quoted by the bot that answers.
    await message(page, 'Hello from a terminal!').nth(1).waitFor();
  });

  it('knows its own messages again when they come live', () => {
    const own = frames.filter((f) => f.type === 'message' && f.payload.clientMessageId);
    const words = own.map((frame) => frame.payload.content);
    expect(words).toContain('Hello, is anybody here?');
    expect(words).toContain('@klatchbot ping');
  });

  it('finds everything again after the server was killed', async () => {
    const before = await shown(page);
    await on.server.kill();
    await page.locator('.connection-pill').waitFor();
    await page.screenshot({ path: `${SCREENSHOTS}demo-offline.png` });
    await on.server.up();
    await page.locator('.connection-pill').waitFor({ state: 'detached', timeout: 45_000 });
    await until(() => shown(page), before);
    // Greeted already, before the restart.
    await say(page, 'general', 'Me again');
    await say(page, 'general', '@klatchbot echo still here');
    await message(page, 'still here').nth(1).waitFor();
    const greetings = page.locator('.message', { hasText: 'Good to hear you' });
    expect(
      await greetings.filter({ has: page.locator('.quote', { hasText: 'Nia' }) }).count(),
    ).toBe(1);
    expect(pageErrors).toEqual([]);
  });
});
