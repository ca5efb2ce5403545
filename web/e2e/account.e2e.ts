/** Accounts from inside a browser: devices, passwords, and what a session that ends leaves. */

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { composer, message, pageErrors, say, until } from './browser';
import { stage } from './stage';

const FIRST = 'a long enough sentence';
const SECOND = 'another long sentence';

const on = stage();
let ann: Page;
let bo: Page;
/** Another device of Ann. */
let phone: Page;

beforeAll(async () => {
  [ann, bo] = await on.twoIn('kitchen');
  phone = await on.open({ userAgent: PHONE });
});

const PHONE =
  'Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) ' +
  'Chrome/126.0.0.0 Mobile Safari/537.36';

async function signIn(page: Page, name: string, password: string): Promise<void> {
  await page.getByLabel('User name or e-mail').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

function devices(page: Page) {
  return page.getByRole('listitem').filter({ hasText: 'Last used' });
}

describe('the account page', () => {
  it('lists the devices, this one marked', async () => {
    await phone.goto(on.server.url);
    await signIn(phone, 'ann', FIRST);
    await phone.getByRole('heading', { name: 'Hello, Ann' }).waitFor();
    await ann.getByRole('link', { name: /^Your account/ }).click();
    await ann.getByRole('heading', { name: 'Your account' }).waitFor();
    await until(() => devices(ann).count(), 2);
    const [here, there] = [devices(ann).nth(0), devices(ann).nth(1)];
    expect(await here.textContent()).toMatch(/Chrome on .*This device/);
    expect(await there.textContent()).toContain('Chrome on Android');
  });

  it('ends one: that device says so, and keeps what was being written there', async () => {
    await phone.goto(`${on.server.url}/#/`);
    await phone.locator('.room-item', { hasText: 'kitchen' }).click();
    await composer(phone, 'kitchen').fill('half a sentence');
    await ann.getByRole('button', { name: /^Sign out Chrome on Android/ }).click();
    await until(() => devices(ann).count(), 1);
    await ann.getByText('Signed out: Chrome on Android.').waitFor();
    await phone.getByText(/You were signed out/).waitFor();
    await signIn(phone, 'ann', FIRST);
    await until(() => composer(phone, 'kitchen').inputValue(), 'half a sentence');
    await composer(phone, 'kitchen').press('Enter');
    await message(bo, 'half a sentence').waitFor();
  });

  it('says what is wrong with a change of the password, at its field', async () => {
    const now = ann.getByLabel('Password now');
    const next = ann.getByLabel('New password');
    const change = ann.getByRole('button', { name: 'Change password' });
    await now.fill('not my password');
    await next.fill(SECOND);
    await change.click();
    await ann.getByText('This is not your password now.').waitFor();
    expect(await now.getAttribute('aria-invalid')).toBe('true');
    await until(() => now.evaluate((e) => e === document.activeElement), true);
    await now.fill(FIRST);
    await next.fill('short');
    // The browser says this one by itself; the server's answer is for those without.
    await change.evaluate((button: HTMLButtonElement) => {
      button.form?.setAttribute('novalidate', '');
    });
    await change.click();
    await ann.getByText('Use at least 10 characters.').waitFor();
    expect(await next.getAttribute('aria-invalid')).toBe('true');
  });

  it('changes the password, which signs the other devices out and not this one', async () => {
    await ann.getByLabel('Password now').fill(FIRST);
    await ann.getByLabel('New password').fill(SECOND);
    await ann.getByRole('button', { name: 'Change password' }).click();
    await ann.getByText(/Your password is changed/).waitFor();
    await phone.getByText(/You were signed out/).waitFor();
    await signIn(phone, 'ann', FIRST);
    await phone.getByText('The name or the password is not right.').waitFor();
    await signIn(phone, 'ann', SECOND);
    await composer(phone, 'kitchen').waitFor();
    await ann.locator('.room-item', { hasText: 'kitchen' }).click();
    await say(ann, 'kitchen', 'still here');
    await message(bo, 'still here').waitFor();
  });

  it('signs out everywhere', async () => {
    await ann.getByRole('link', { name: /^Your account/ }).click();
    await ann.getByRole('button', { name: 'Sign out everywhere' }).click();
    const dialog = ann.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Sign out everywhere' }).click();
    await ann.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await ann.getByText(/You were signed out/).count()).toBe(0);
    await phone.getByText(/You were signed out/).waitFor();
  });
});

describe('a forgotten password', () => {
  it('is asked for, with the same answer for any name', async () => {
    const answers: string[] = [];
    for (const name of ['nobody at all', 'ann']) {
      await ann.getByRole('link', { name: 'Forgot your password?' }).click();
      const before = await ann.getByRole('status').innerText();
      await ann.getByLabel('User name or e-mail').fill(name);
      await ann.getByRole('button', { name: 'Send me a link' }).click();
      const answer = ann.getByRole('status').filter({ hasNotText: before });
      answers.push(await answer.innerText());
      expect(await ann.getByRole('button', { name: 'Send me a link' }).count()).toBe(0);
      await ann.getByRole('link', { name: 'Back to signing in' }).click();
      await ann.getByRole('heading', { name: 'Sign in' }).waitFor();
    }
    expect(answers[0]).toBe(answers[1]);
  });

  it('is set anew by an administrator’s link, once', async () => {
    const root = await on.open();
    await root.goto(on.server.url + on.server.setupPath());
    await root.getByLabel('User name').fill('root');
    await root.getByLabel('E-mail').fill('root@example.org');
    await root.getByLabel('Password').fill(FIRST);
    await root.getByRole('button', { name: 'Create administrator' }).click();
    await root.getByRole('link', { name: 'Run this server' }).click();
    await root.getByRole('button', { name: 'Password of Ann' }).click();
    const dialog = root.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Make a link' }).click();
    const link = await dialog.getByLabel('The link').inputValue();
    await root.context().close();

    await ann.goto(link);
    await ann.getByLabel('New password').fill(FIRST);
    await ann.getByLabel('The same again').fill(SECOND);
    await ann.getByRole('button', { name: 'Set password' }).click();
    await ann.getByText('The two are not the same.').waitFor();
    await ann.getByLabel('The same again').fill(FIRST);
    await ann.getByRole('button', { name: 'Set password' }).click();
    await ann.getByText(/Your new password is set/).waitFor();
    await signIn(ann, 'ann', FIRST);
    await ann.getByRole('heading', { name: 'Hello, Ann' }).waitFor();

    await phone.goto(link);
    await phone.getByLabel('New password').fill(SECOND);
    await phone.getByLabel('The same again').fill(SECOND);
    await phone.getByRole('button', { name: 'Set password' }).click();
    await phone.getByText(/used already or has ended/).waitFor();
  });

  it('nothing failed on the pages', () => {
    expect(pageErrors).toEqual([]);
  });
});
