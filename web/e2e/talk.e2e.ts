import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { composer, message, pageErrors, SIGNED, say, shown, until } from './browser';
import { stage } from './stage';

const on = stage();
let ann: Page;
let bo: Page;

describe('two people in two browsers', () => {
  it('sign up, meet in a channel, and read each other', async () => {
    [ann, bo] = await on.twoIn('kitchen');
    await say(ann, 'kitchen', 'Coffee is **ready**');
    await message(bo, 'Coffee is ready').waitFor();
    await say(bo, 'kitchen', 'On my way');
    await until(() => shown(ann), ['Coffee is ready', 'On my way']);
    await until(() => shown(bo), ['Coffee is ready', 'On my way']);
    await bo.locator('.message strong', { hasText: 'ready' }).waitFor();
    expect(await message(bo, 'Coffee is ready').locator('.message-author').textContent()).toBe(
      'Ann',
    );
  });

  it('no token is where scripts can read it', async () => {
    const [cookies, local, session] = await ann.evaluate(() => [
      document.cookie,
      JSON.stringify(localStorage),
      JSON.stringify(sessionStorage),
    ]);
    expect(cookies).toMatch(/klatch_csrf=/);
    for (const text of [cookies, local, session]) {
      expect(text).not.toMatch(/klatch_access|klatch_refresh/);
      expect(text).not.toMatch(SIGNED);
    }
  });

  it('an edit is seen by both, with its mark', async () => {
    await composer(bo, 'kitchen').press('ArrowUp');
    await composer(bo, 'kitchen').fill('On my way with cake');
    await composer(bo, 'kitchen').press('Enter');
    const edited = message(ann, 'On my way with cake');
    await edited.getByText('(edited)').waitFor();
    await until(() => shown(bo), ['Coffee is ready', 'On my way with cake']);
  });

  it('a reply shows what it answers', async () => {
    const row = message(ann, 'On my way with cake');
    await row.hover();
    await row.getByRole('button', { name: 'Reply' }).click();
    await say(ann, 'kitchen', 'Which one?');
    const quote = message(bo, 'Which one?').locator('.quote');
    await quote.waitFor();
    expect(await quote.textContent()).toContain('On my way with cake');
  });

  it('a deleted message leaves a tombstone, also where it was quoted', async () => {
    const row = bo.locator('.message', {
      has: bo.locator('.message-body', { hasText: 'with cake' }),
    });
    await row.hover();
    await row.getByRole('button', { name: 'Delete' }).click();
    await bo.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await ann.locator('.message-deleted').waitFor();
    await until(() => shown(ann), ['Coffee is ready', 'Which one?']);
    await until(
      () => message(ann, 'Which one?').locator('.quote-text').textContent(),
      'Message deleted',
    );
  });

  it('the page loaded anew shows the same', async () => {
    await ann.reload();
    await until(() => shown(ann), ['Coffee is ready', 'Which one?']);
    await ann.locator('.message-deleted').waitFor();
  });

  it('what is being written is there after loading the page anew, in its room', async () => {
    await composer(ann, 'kitchen').fill('half a sentence');
    await ann.reload();
    await until(() => composer(ann, 'kitchen').inputValue(), 'half a sentence');
    await until(() => composer(ann, 'kitchen').evaluate((e) => e === document.activeElement), true);
    await ann.keyboard.type(', and the other half');
    await until(() => composer(ann, 'kitchen').inputValue(), 'half a sentence, and the other half');
    await ann.goto(`${on.server.url}/#/browse`);
    await ann.locator('.room-item', { hasText: 'kitchen, with a draft' }).waitFor();
    await ann.goBack();
    await composer(ann, 'kitchen').fill('');
    await ann.reload();
    await ann.locator('.message-deleted').waitFor();
    expect(await composer(ann, 'kitchen').inputValue()).toBe('');
  });

  it('a message elsewhere is counted, in the tab too, and reading it clears the count', async () => {
    await ann.goto(`${on.server.url}/#/browse`);
    await say(bo, 'kitchen', 'Still there?');
    const item = ann.locator('.room-item', { hasText: 'kitchen' });
    await until(() => item.locator('.badge').textContent(), '1 unread');
    await until(() => ann.title(), '(1) Browse channels – Klatch');
    await item.click();
    await message(ann, 'Still there?').waitFor();
    await item.locator('.badge').waitFor({ state: 'detached' });
    await until(() => ann.title(), 'kitchen – Klatch');
  });

  it('a direct message reaches someone who never heard of it', async () => {
    await ann.getByRole('button', { name: 'Start a conversation' }).click();
    await ann.getByRole('dialog').getByLabel('With').fill('bo');
    await ann.getByRole('dialog').getByRole('button', { name: /@bo/ }).click();
    await ann.getByRole('dialog').getByRole('button', { name: 'Open' }).click();
    await say(ann, 'Bo', 'Just between us');
    const item = bo.locator('.room-item', { hasText: 'Ann' });
    await item.click();
    await until(() => shown(bo), ['Just between us']);
  });

  it('signing out ends at the form, and back in shows the rooms', async () => {
    await composer(bo, 'Ann').fill('never sent');
    await bo.reload();
    await until(() => composer(bo, 'Ann').inputValue(), 'never sent');
    await bo.getByRole('button', { name: 'Sign out' }).click();
    await bo.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await bo.evaluate(() => JSON.stringify(localStorage))).not.toContain('never sent');
    await bo.getByLabel('User name or e-mail').fill('bo');
    await bo.getByLabel('Password').fill('not my password');
    await bo.getByRole('button', { name: 'Sign in' }).click();
    await bo.getByText('The name or the password is not right.').waitFor();
    await bo.getByLabel('Password').fill('a long enough sentence');
    await bo.getByRole('button', { name: 'Sign in' }).click();
    await bo.locator('.room-item', { hasText: 'kitchen' }).waitFor();
  });

  it('no script failed and no policy was violated', () => {
    expect(pageErrors).toEqual([]);
  });
});
