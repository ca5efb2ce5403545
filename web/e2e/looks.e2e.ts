import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createChannel, message, SCREENSHOTS, say, signUp } from './browser';
import { stage } from './stage';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const on = stage();

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
  viewport: { width: 360, height: 780 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
};

/** Keeps a picture, and wants an accessible page. */
async function take(page: Page, name: string): Promise<void> {
  await page.waitForTimeout(350);
  await page.screenshot({ path: `${SCREENSHOTS}${name}.png` });
  expect(await violations(page)).toEqual([]);
}

/** Nothing may be wider than the window. */
async function fits(page: Page): Promise<void> {
  const [wide, window] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    innerWidth,
  ]);
  expect(wide).toBeLessThanOrEqual(window ?? 0);
}

/** Every one of so many boxes that are ticked stands beside its words, not in their flow. */
async function lined(page: Page, count: number): Promise<void> {
  const beside = await page.evaluate(() => {
    const labels = document.querySelectorAll('label:has([type=radio], [type=checkbox])');
    return [...labels].map((label) => {
      const box = label.querySelector('input')?.getBoundingClientRect();
      const words = document.createRange();
      words.selectNodeContents(label.querySelector('span') ?? label);
      const lines = [...words.getClientRects()].filter(({ width }) => width > 0);
      if (!box || lines.length === 0) return `nothing there: ${label.outerHTML.slice(0, 80)}`;
      const middle = (box.top + box.bottom) / 2;
      const right = lines.every((line) => line.left >= box.right);
      const high = lines.some((line) => line.top <= middle);
      const low = lines.some((line) => line.bottom >= middle);
      return right && high && low ? 'beside' : label.outerHTML.slice(0, 80);
    });
  });
  expect(beside).toEqual(Array.from({ length: count }, () => 'beside'));
}

/** On a narrow page whatever is touched is at least 44 pixels high. */
async function touchable(page: Page): Promise<void> {
  const small = await page.evaluate(() => {
    if (innerWidth > 700) return [];
    return [
      ...document.querySelectorAll<HTMLElement>('button, .room-item, input, textarea, select'),
    ]
      .filter((e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
      .filter((e) => !e.closest('[inert], .visually-hidden'))
      .filter((e) => !e.matches('.skip, .visually-hidden, [type=radio], [type=checkbox]'))
      .map((e) => ({ html: e.outerHTML.slice(0, 80), height: e.getBoundingClientRect().height }))
      .filter(({ height }) => height > 0 && height < 43.5);
  });
  expect(small).toEqual([]);
}

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
    page = await on.open(options);
  });

  const look = (part: string) => take(page, `${name}-${part}`);

  it('the forms', async () => {
    await page.goto(on.server.url);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await look('sign-in');
    await fits(page);
    await signUp(page, on.server.url, person);
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
    await fits(page);
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
    await fits(page);
  });

  it('the account, a member, and an invitation', async () => {
    if (narrow) await page.getByRole('button', { name: /^Rooms/ }).click();
    await page.getByRole('link', { name: /^Your account/ }).click();
    await page.getByText('This device').waitFor();
    await look('account');
    await fits(page);
    await touchable(page);
    await page.getByRole('link', { name: 'API tokens' }).click();
    await page.getByRole('checkbox', { name: /^Write/ }).check();
    await page.getByLabel('What it is for').fill('A script that has a rather long name');
    await page.getByRole('button', { name: 'Make a token' }).click();
    await page.getByLabel('Say something with it').waitFor();
    await look('tokens');
    await lined(page, 2);
    await fits(page);
    await touchable(page);
    await page.goto(`${on.server.url}/#/`);
    if (narrow) await page.getByRole('button', { name: /^Rooms/ }).click();
    await page.locator('.room-item', { hasText: `room-${name}` }).click();
    await page.getByRole('button', { name: /1 member/ }).click();
    await page.getByRole('button', { name: /^Role of/ }).click();
    await look('member');
    await lined(page, 3);
    await touchable(page);
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await page.getByRole('button', { name: 'Invite by a link' }).click();
    await page.getByRole('button', { name: 'Make a link' }).click();
    await page.getByLabel('The link').waitFor();
    await look('invitation');
    await fits(page);
    await touchable(page);
    const link = await page.getByLabel('The link').inputValue();
    await page.getByRole('button', { name: /^Take back/ }).click();
    await page.getByText(/taken back/).waitFor();
    const stranger = await on.open(options);
    await stranger.goto(link);
    await stranger.getByRole('heading', { name: 'This invitation does not work' }).waitFor();
    await take(stranger, `${name}-refused`);
    await stranger.goto(`${on.server.url}/#/forgot`);
    await stranger.getByRole('heading', { name: 'Forgot your password?' }).waitFor();
    await take(stranger, `${name}-forgot`);
    await stranger.goto(`${on.server.url}/#/reset/x`);
    await stranger.getByRole('heading', { name: 'Choose a new password' }).waitFor();
    await take(stranger, `${name}-reset`);
    await fits(stranger);
    await touchable(stranger);
    await stranger.context().close();
  });

  it.runIf(narrow)('what is touched is at least 44 pixels high', () => touchable(page));
});

describe('running the server', () => {
  let root: Page;

  beforeAll(async () => {
    root = await on.administrator();
    await root.goto(`${on.server.url}/#/admin/people`);
    await root.getByRole('combobox', { name: 'Role of Pat-dark' }).selectOption('guest');
    await root.getByText('Pat-dark is guest now.').waitFor();
    await root.getByRole('button', { name: 'Lock out Pat-light' }).click();
    await root.getByRole('dialog').getByRole('button', { name: 'Lock out' }).click();
    await root.getByText('Pat-light is locked out.').waitFor();
  });

  it.each(LOOKS)('$name', async ({ name, options }) => {
    await root.emulateMedia({ colorScheme: options.colorScheme });
    await root.setViewportSize(options.viewport);
    for (const part of ['people', 'bots', 'invitations', 'audit']) {
      await root.goto(`${on.server.url}/#/admin/${part}`);
      await root.getByRole('heading', { level: 2 }).waitFor();
      await take(root, `${name}-admin-${part}`);
      await fits(root);
      await touchable(root);
    }
    await root.goto(`${on.server.url}/#/admin/bots`);
    await root.getByRole('link', { name: 'Manage Klatch Bot' }).click();
    await root.getByRole('heading', { name: 'Klatch Bot' }).waitFor();
    await take(root, `${name}-admin-bot`);
    await fits(root);
    await touchable(root);
  });
});
