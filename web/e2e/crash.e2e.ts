import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  composer,
  createChannel,
  joinChannel,
  launch,
  openPage,
  pageErrors,
  say,
  shown,
  signUp,
  until,
} from './browser';
import { Server } from './server';

let server: Server;
let browser: Browser;
let ann: Page;
let bo: Page;

beforeAll(async () => {
  server = await Server.start();
  browser = await launch();
  [ann, bo] = [await openPage(browser), await openPage(browser)];
  await signUp(ann, server.url, 'Ann');
  await signUp(bo, server.url, 'Bo');
  await createChannel(ann, 'storm');
  await joinChannel(bo, 'storm');
});

afterAll(async () => {
  await browser?.close();
  await server?.remove();
});

describe('the server is killed and started again', () => {
  const said: string[] = [];

  /** Says it and waits until both pages show everything said so far, each once, in order. */
  async function exchange(page: Page, text: string): Promise<void> {
    await say(page, 'storm', text);
    said.push(text);
    await until(() => shown(ann), said);
    await until(() => shown(bo), said);
  }

  it.each([1, 2, 3])(
    'round %i: both pages come back, nothing is lost or shown twice',
    async (round) => {
      await exchange(ann, `before ${round}`);
      await exchange(bo, `also before ${round}`);
      await server.kill();
      for (const page of [ann, bo]) {
        await page.locator('.connection-pill').waitFor();
      }
      // Written without a connection: it waits and is sent once.
      await say(ann, 'storm', `meanwhile ${round}`);
      await ann.getByText('Will be sent when the connection is back').waitFor();
      await server.up();
      said.push(`meanwhile ${round}`);
      await until(() => shown(ann), said, 45_000);
      await until(() => shown(bo), said, 45_000);
      for (const page of [ann, bo]) {
        await page.locator('.connection-pill').waitFor({ state: 'detached' });
      }
      await exchange(bo, `after ${round}`);
      await exchange(ann, `also after ${round}`);
    },
  );

  it('what is in flight at the moment of the kill is there once', async () => {
    for (let i = 0; i < 8; i += 1) {
      await composer(ann, 'storm').fill(`burst ${i}`);
      await composer(ann, 'storm').press('Enter');
      said.push(`burst ${i}`);
    }
    await server.kill();
    await server.up();
    await until(() => shown(ann), said, 45_000);
    await until(() => shown(bo), said, 45_000);
    await ann.reload();
    await until(() => shown(ann), said);
  });

  it('no script failed', () => {
    expect(pageErrors).toEqual([]);
  });
});
