/** Where the focus goes when what had it is gone (WCAG 2.4.3), by keyboard. */

import type { Locator, Page, Route } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createChannel, pageErrors, say, until } from './browser';
import { stage } from './stage';

const on = stage();
let root: Page;

beforeAll(async () => {
  root = await on.administrator();
  const phone = await on.open();
  await signIn(phone, 'root');
  await phone.context().close();
  await on.person('Ann');
});

/** What has the focus, as it is called. */
function focused(page: Page): Promise<string> {
  return page.evaluate(() => {
    const element = document.activeElement;
    const name = element?.getAttribute('aria-label') ?? element?.textContent?.trim();
    return `${element?.localName}: ${name}`;
  });
}

async function signIn(page: Page, name: string): Promise<void> {
  await page.goto(on.server.url);
  await page.getByLabel('User name or e-mail').fill(name);
  await page.getByLabel('Password').fill('a long enough sentence');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: /^Hello/ }).waitFor();
}

/** Does with the keyboard what a click does. */
async function press(what: Locator): Promise<void> {
  await what.focus();
  await what.press('Enter');
}

const at = (part: string) => root.goto(`${on.server.url}/#/${part}`);
const button = (name: string | RegExp) => root.getByRole('button', { name });
const isOn = (name: string) => until(() => focused(root), name);

describe('a heading takes the focus', () => {
  it('of a bot that was made, of its page, and of the list on the way back', async () => {
    await at('admin/bots');
    await root.getByLabel('User name').fill('helper');
    await root.getByLabel('Name shown to others').fill('Helper');
    await press(button('Make a bot'));
    await isOn('h2: Helper');
    await until(() => root.title(), 'Helper – Klatch');
    await press(root.getByRole('link', { name: 'All bots' }));
    await isOn('h2: Bots');
    await until(() => root.title(), 'Bots – Klatch');
    await press(root.getByRole('link', { name: 'Manage Helper' }));
    await isOn('h2: Helper');
  });

  it('when an invitation was taken back, also within a dialog', async () => {
    await at('admin/invitations');
    await press(button('Make a link'));
    await root.getByLabel('The link').waitFor();
    await press(button(/^Take back/));
    await isOn('h2: Invitations to this server');
    await createChannel(root, 'kitchen');
    await button(/1 member/).click();
    await press(button('Invite by a link'));
    await press(button('Make a link'));
    await root.getByLabel('The link').waitFor();
    await press(button(/^Take back/));
    await isOn('h2: Invite people to kitchen');
    await root.keyboard.press('Escape');
    await isOn('button: Invite by a link');
  });

  it('when another device was signed out', async () => {
    await at('account');
    await press(button(/^Sign out .*last used/));
    await isOn('h2: Sessions and devices');
  });

  it('when a list that was tried again is there, and not before', async () => {
    const held: Route[] = [];
    let refuse = true;
    await root.route('**/api/v1/admin/audit*', async (route) => {
      if (refuse) return route.abort();
      held.push(route);
    });
    await at('admin/audit');
    await button('Try again').waitFor();
    refuse = false;
    await press(button('Try again'));
    await until(async () => held.length, 1);
    await isOn('button: Try again');
    expect(await button('Try again').getAttribute('aria-busy')).toBe('true');
    for (const route of held) await route.continue();
    await root.getByText('made the bot Helper').waitFor();
    await isOn('h2: Audit log');
    await root.unroute('**/api/v1/admin/audit*');
  });

  it('but not while somebody is elsewhere', async () => {
    await at('account');
    await root.getByLabel('Password now').focus();
    await root.getByRole('link', { name: 'API tokens' }).click();
    await isOn('a: API tokens');
    await root.getByRole('heading', { name: 'API tokens' }).waitFor();
    await isOn('a: API tokens');
  });
});

describe('from page to page', () => {
  it('the heading after signing in, and after leaving a page or a room', async () => {
    const page = await on.open();
    const has = (name: string) => until(() => focused(page), name);
    const use = (name: string | RegExp) => press(page.getByRole('button', { name }));
    await signIn(page, 'ann');
    await has('h1: Hello, Ann');
    await press(page.getByRole('link', { name: /^Your account/ }));
    await page.getByLabel('Password now').focus();
    await page.goBack();
    await has('h1: Hello, Ann');
    await press(page.locator('.home-actions button', { hasText: 'Browse channels' }));
    await has('h1: Browse channels');
    await use('Join kitchen');
    await has('textarea: Message kitchen');
    await use('Leave this room');
    await press(page.getByRole('dialog').getByRole('button', { name: 'Leave' }));
    await has('h1: Hello, Ann');
    await page.context().close();
  });

  it('on a phone the heading of what was chosen in the drawer', async () => {
    const page = await on.open({ viewport: { width: 360, height: 780 }, hasTouch: true });
    // Without a fine pointer the composer does not take the focus by itself.
    const client = await page.context().newCDPSession(page);
    await client.send('Emulation.setEmulatedMedia', {
      features: [{ name: 'pointer', value: 'coarse' }],
    });
    const has = (name: string) => until(() => focused(page), name);
    await signIn(page, 'root');
    await has('h1: Hello, Root');
    await press(page.getByRole('button', { name: /^Rooms/ }));
    await has('button: Start a conversation');
    await press(page.getByRole('link', { name: /^Your account/ }));
    await has('h1: Your account');
    await press(page.getByRole('button', { name: /^Rooms/ }));
    await press(page.locator('.room-item', { hasText: 'kitchen' }));
    await has('h1: kitchen');
    await press(page.getByRole('button', { name: /^Rooms/ }));
    await press(page.locator('.room-item', { hasText: 'kitchen' }));
    await until(async () => (await focused(page)).startsWith('button: Rooms'), true);
    await press(page.getByRole('button', { name: /^Rooms/ }));
    await page.keyboard.press('Escape');
    await until(async () => (await focused(page)).startsWith('button: Rooms'), true);
    await page.context().close();
  });
});

describe('in a room', () => {
  it('the button of the list of members, the box, and the message have it back', async () => {
    await root.goto(`${on.server.url}/#/`);
    await press(root.locator('.home-actions button', { hasText: 'kitchen' }));
    await say(root, 'kitchen', 'to be answered');
    await press(button(/members?: show the list/));
    await press(button('Close the list of members'));
    await isOn('button: 1 member: show the list');
    const row = root.locator('.message[data-seq]', { hasText: 'to be answered' });
    await row.focus();
    await root.keyboard.press('r');
    await press(button('Cancel reply'));
    await isOn('textarea: Message kitchen');
    await row.focus();
    await press(row.getByRole('button', { name: 'Delete' }));
    await press(root.getByRole('dialog').getByRole('button', { name: 'Delete' }));
    await until(async () => (await focused(root)).includes('Message deleted'), true);
  });
});

describe('what was used keeps the focus', () => {
  it('while and after it changes an account', async () => {
    await at('admin/people');
    const role = root.getByRole('combobox', { name: 'Role of Ann' });
    await role.focus();
    await role.selectOption('guest');
    await root.getByText('Ann is guest now.').waitFor();
    expect(await role.evaluate((e) => e === document.activeElement)).toBe(true);
    await press(button('Lock out Ann'));
    await press(root.getByRole('dialog').getByRole('button', { name: 'Lock out' }));
    await root.getByText('Ann is locked out.').waitFor();
    await isOn('button: Let in Ann');
  });

  it('nothing failed on the pages', () => {
    expect(pageErrors).toEqual([]);
  });
});

it('the form of those outside is not called by what is behind it', async () => {
  const page = await on.open();
  await page.goto(`${on.server.url}/#/admin`);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  expect(await page.title()).toBe('Klatch');
});
