import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createChannel, launch, message, openPage, SCREENSHOTS, say, signUp } from './browser';
import { Server } from './server';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let server: Server;
let browser: Browser;

beforeAll(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  server = await Server.start();
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  await server?.remove();
});

/** What an accessibility checker finds wrong on the page as it stands. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const { axe } = window as unknown as { axe: typeof import('axe-core') };
    const found = await axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],
    });
    return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target).join(' | ')}`);
  });
}

const desk = { viewport: { width: 1180, height: 760 } };
const phone = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
};

const LOOKS = [
  { name: 'light', options: { ...desk, colorScheme: 'light' as const } },
  { name: 'dark', options: { ...desk, colorScheme: 'dark' as const } },
  { name: 'phone', options: { ...phone, colorScheme: 'light' as const } },
  { name: 'phone-dark', options: { ...phone, colorScheme: 'dark' as const } },
];

describe.each(LOOKS)('$name', ({ name, options }) => {
  const narrow = name.startsWith('phone');
  const person = `Pat-${name}`;
  let page: Page;

  beforeAll(async () => {
    page = await openPage(browser, options);
  });

  async function look(part: string): Promise<void> {
    await page.waitForTimeout(350);
    await page.screenshot({ path: `${SCREENSHOTS}${name}-${part}.png` });
    expect(await violations(page)).toEqual([]);
  }

  /** Nothing may be wider than the window. */
  async function fits(): Promise<void> {
    const [wide, window] = await page.evaluate(() => [
      document.documentElement.scrollWidth,
      innerWidth,
    ]);
    expect(wide).toBeLessThanOrEqual(window ?? 0);
  }

  it('the forms', async () => {
    await page.goto(server.url);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await look('sign-in');
    await fits();
    await signUp(page, server.url, person);
    await look('home');
  });

  it('a room', async () => {
    await createChannel(page, `room-${name}`);
    await say(page, `room-${name}`, 'Good **morning**, have a look at https://example.org/plan');
    await say(
      page,
      `room-${name}`,
      '```\nfn main() {\n    println!("a line of code that is rather long, longer than a phone is wide");\n}\n```',
    );
    await say(page, `room-${name}`, '> have a look\nI did, _thank you_');
    await message(page, 'thank you').waitFor();
    await look('room');
    await fits();
  });

  it('the members, browsing, and the drawer', async () => {
    await page.getByRole('button', { name: /1 member/ }).click();
    await page.getByRole('heading', { name: 'Members' }).waitFor();
    await look('members');
    await page.getByRole('button', { name: 'Close the list of members' }).click();
    if (narrow) {
      await page.getByRole('button', { name: /^Rooms/ }).click();
      await look('drawer');
    }
    await page.getByRole('link', { name: 'Browse channels' }).click();
    await page.getByRole('heading', { name: `room-${name}` }).waitFor();
    await look('browse');
    await fits();
  });

  it.runIf(narrow)('what is touched is at least 44 pixels high', async () => {
    const small = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>('button, .room-item, input, textarea')]
        .filter((e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
        .filter((e) => !e.closest('[inert]') && !e.matches('.skip, [type=radio], [type=checkbox]'))
        .map((e) => ({ html: e.outerHTML.slice(0, 80), height: e.getBoundingClientRect().height }))
        .filter(({ height }) => height > 0 && height < 43.5),
    );
    expect(small).toEqual([]);
  });
});
