import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { composer, pageErrors, say, shown, until } from './browser';
import { stage } from './stage';

const on = stage();
let ann: Page;
let bo: Page;

beforeAll(async () => {
  [ann, bo] = await on.twoIn('storm');
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
      await on.server.kill();
      for (const page of [ann, bo]) {
        await page.locator('.connection-pill').waitFor();
      }
      // Written without a connection: it waits and is sent once.
      await say(ann, 'storm', `meanwhile ${round}`);
      await ann.getByText('Will be sent when the connection is back').waitFor();
      await on.server.up();
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
    await on.server.kill();
    await on.server.up();
    await until(() => shown(ann), said, 45_000);
    await until(() => shown(bo), said, 45_000);
    await ann.reload();
    await until(() => shown(ann), said);
  });

  it('what waited in a page that was closed meanwhile goes out at the next visit, once', async () => {
    await on.server.kill();
    await say(ann, 'storm', 'left behind');
    said.push('left behind');
    const kept = () => ann.evaluate(() => JSON.stringify(localStorage).includes('left behind'));
    await until(kept, true);
    const [context, url] = [ann.context(), ann.url()];
    await ann.close();
    await on.server.up();
    await until(() => shown(bo), said.slice(0, -1));
    ann = await context.newPage();
    await ann.goto(url);
    await until(() => shown(bo), said, 45_000);
    await until(() => shown(ann), said);
    await until(kept, false);
  });

  it('no script failed', () => {
    expect(pageErrors).toEqual([]);
  });
});
