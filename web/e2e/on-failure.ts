/** Tells what the windows showed when a test failed; a time-out alone says nothing. */

import type { Page } from 'playwright-core';
import { afterEach } from 'vitest';
import { browsers, SCREENSHOTS } from './browser';

const TOLD_CHARS_MAX = 2_000;
/** A page that is stuck must not hide the failure itself. */
const LIMIT = { timeout: 3_000 };

afterEach(async ({ task }) => {
  if (task.result?.state !== 'fail') return;
  const contexts = [...browsers].flatMap((browser) => browser.contexts());
  const pages = contexts.flatMap((context) => context.pages());
  for (const [nth, page] of pages.entries()) {
    process.stderr.write(`\n${task.name}: window ${nth}, ${await told(page, task.name, nth)}\n`);
  }
});

async function told(page: Page, name: string, nth: number): Promise<string> {
  const picture = `${SCREENSHOTS}failed-${name.replaceAll(/\W+/g, '-').slice(0, 80)}-${nth}.png`;
  const taken = page.screenshot({ ...LIMIT, path: picture });
  const where = await taken.then(
    () => picture,
    (error) => `no picture: ${error}`,
  );
  const text = await page
    .locator('body')
    .innerText(LIMIT)
    .catch((error) => String(error));
  return `${page.url()} (${where}):\n${text.slice(0, TOLD_CHARS_MAX)}`;
}
