/** A server with narrow limits: what people notice, and that nothing is lost. */

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { composer, pageErrors, say, shown, until } from './browser';
import { stage } from './stage';

const NARROW = {
  KLATCH_LIMITS__PROFILE: 'default',
  KLATCH_LIMITS__PERSON__MESSAGES: '{count=4,per="6s"}',
  KLATCH_LIMITS__PERSON__CONNECTIONS: '2',
};

const on = stage(async () => {}, NARROW);
let ann: Page;
let bo: Page;

beforeAll(async () => {
  [ann, bo] = await on.twoIn('kitchen');
});

describe('someone who writes faster than they may', () => {
  it('is told so, and all of it arrives in order without a click', async () => {
    const lines = Array.from({ length: 7 }, (_, i) => `line ${i}`);
    for (const line of lines) await say(ann, 'kitchen', line);
    await ann
      .getByText(/goes out by itself in a moment/)
      .first()
      .waitFor();
    await until(() => shown(bo), lines, 40_000);
    await until(() => shown(ann), lines);
    await ann.locator('.message-outgoing').first().waitFor({ state: 'detached' });
    expect(await ann.locator('.message-failed').count()).toBe(0);
  });
});

describe('someone with more windows than they may have', () => {
  it('has one connection a window, and is told which to close', async () => {
    const second = await ann.context().newPage();
    await second.goto(ann.url());
    await composer(second, 'kitchen').waitFor();
    await until(() => second.locator('.connection').getAttribute('data-phase'), 'live');
    const third = await ann.context().newPage();
    await third.goto(ann.url());
    await third.getByText(/open in too many windows/).waitFor();
    // It can be read all the same, and what is written there waits.
    await until(async () => (await shown(third)).length, 7);
    await composer(third, 'kitchen').fill('from the third');
    await composer(third, 'kitchen').press('Enter');
    await third.getByText('Will be sent when the connection is back').waitFor();
    await second.close();
    await until(async () => (await shown(bo)).at(-1), 'from the third', 60_000);
    await third.locator('.connection-pill').waitFor({ state: 'detached' });
  });

  it('nothing failed on the pages', () => {
    expect(pageErrors).toEqual([]);
  });
});
