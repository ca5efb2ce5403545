/** Invitations, roles and running the server, from inside a browser. */

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { composer, message, openPage, pageErrors, say, until } from './browser';
import { stage } from './stage';

const on = stage();
let root: Page;
let bo: Page;

beforeAll(async () => {
  [root, bo] = [await on.administrator(), await on.person('Bo')];
  await makePrivate(root, 'cellar');
});

async function makePrivate(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'Start a conversation' }).first().click();
  await page.getByRole('radio', { name: /^Channel/ }).check();
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.getByRole('checkbox', { name: /^Private/ }).check();
  await page.getByRole('button', { name: 'Create' }).click();
  await composer(page, name).waitFor();
}

/** Makes a link in the open dialog, for so many people, and answers it. */
async function makeLink(page: Page, uses = 1): Promise<string> {
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('How many people').fill(String(uses));
  const before = await dialog.getByLabel('The link').count();
  const old = before > 0 ? await dialog.getByLabel('The link').inputValue() : '';
  await dialog.getByRole('button', { name: 'Make a link' }).click();
  await until(async () => (await dialog.getByLabel('The link').inputValue()) !== old, true);
  return dialog.getByLabel('The link').inputValue();
}

function member(page: Page, name: string) {
  return page.locator('.member', { hasText: name });
}

async function openMembers(page: Page): Promise<void> {
  await page.getByRole('button', { name: /members?: show/ }).click();
}

describe('an invitation by a link', () => {
  let first: string;
  let second: string;

  it('is made from the room, shown once, and listed', async () => {
    await openMembers(root);
    await root.getByRole('button', { name: 'Invite by a link' }).click();
    await root.getByText('There are no invitations yet.').waitFor();
    first = await makeLink(root);
    expect(first).toMatch(/\/#\/invite\/[\w.~-]+$/);
    second = await makeLink(root, 5);
    expect(second).not.toBe(first);
    const listed = root.getByRole('list', { name: 'Invitations' }).getByRole('listitem');
    await until(() => listed.count(), 2);
    expect(await listed.first().textContent()).toMatch(/0 of 5 used.*By Root/);
  });

  it('brings someone without an account to the form, and then into the room', async () => {
    const cy = await openPage(on.browser);
    await cy.goto(first);
    await cy.getByText('You are invited to cellar.').waitFor();
    await cy.getByLabel('User name').fill('cy');
    await cy.getByLabel('E-mail').fill('cy@example.org');
    await cy.getByLabel('Password').fill('a long enough sentence');
    await cy.getByRole('button', { name: 'Create account' }).click();
    await say(cy, 'cellar', 'I came by the link');
    await message(root, 'I came by the link').waitFor();
    await cy.context().close();
  });

  it('that is used up says so, and what to do', async () => {
    const late = await openPage(on.browser);
    await late.goto(first);
    await late.getByRole('heading', { name: 'This invitation does not work' }).waitFor();
    await late.getByText(/used already. Please ask whoever sent it for a new one/).waitFor();
    await late.getByRole('button', { name: 'Sign in' }).click();
    await late.getByRole('heading', { name: 'Sign in' }).waitFor();
    await late.context().close();
  });

  it('brings someone who is signed in straight into the room, twice by the same link', async () => {
    await bo.goto(second);
    await composer(bo, 'cellar').waitFor();
    expect(bo.url()).not.toContain('invite');
    await say(bo, 'cellar', 'me too');
    await message(root, 'me too').waitFor();
    await bo.goto(second);
    await composer(bo, 'cellar').waitFor();
  });

  it('that was taken back lets nobody in', async () => {
    await root.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await root.getByRole('button', { name: 'Invite by a link' }).click();
    await root.getByRole('button', { name: /^Take back the invitation/ }).click();
    await root.getByText(/taken back/).waitFor();
    await root.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    const late = await openPage(on.browser);
    await late.goto(second);
    await late.getByText(/was taken back/).waitFor();
    await late.context().close();
  });
});

describe('roles in a room', () => {
  it('an owner makes someone admin, by keyboard, and both see it', async () => {
    const manage = root.getByRole('button', { name: /^Role of Bo/ });
    await manage.focus();
    await root.keyboard.press('Enter');
    const dialog = root.getByRole('dialog', { name: 'Bo' });
    await dialog.getByRole('radio', { name: /^Member/ }).focus();
    await root.keyboard.press('ArrowUp');
    await root.keyboard.press('Enter');
    await dialog.getByRole('button', { name: 'Save' }).press('Enter');
    await until(() => member(root, 'Bo').locator('.member-role').textContent(), 'admin');
    await root.getByText('Bo is admin now.').waitFor({ state: 'attached' });
    await openMembers(bo);
    await until(() => member(bo, 'Bo').locator('.member-role').textContent(), 'admin');
  });

  it('an admin may do so to members, and not to owners', async () => {
    expect(await bo.getByRole('button', { name: /^Role of Root/ }).count()).toBe(0);
    await bo.getByRole('button', { name: /^Role of cy/ }).click();
    await bo.getByRole('button', { name: 'Remove from this room' }).click();
    await bo.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
    await member(root, 'cy').waitFor({ state: 'detached' });
  });

  it('the last owner is told why they cannot step down', async () => {
    await root.getByRole('button', { name: /^Role of Root/ }).click();
    await root
      .getByRole('dialog')
      .getByRole('radio', { name: /^Member/ })
      .check();
    await root.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
    await root
      .getByRole('dialog')
      .getByText(/You are the last owner/)
      .waitFor();
    await root.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  });

  it('who is removed sees that they are not in the room any more', async () => {
    await root.getByRole('button', { name: /^Role of Bo/ }).click();
    await root.getByRole('button', { name: 'Remove from this room' }).click();
    await root.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
    await bo.getByText('You are not in this room any more.').waitFor();
  });
});

describe('running the server', () => {
  it('is for administrators', async () => {
    expect(await bo.getByRole('link', { name: 'Run this server' }).count()).toBe(0);
    await bo.goto(`${on.server.url}/#/admin/people`);
    await bo.getByText('This page is for administrators of the server.').waitFor();
    await bo.goto(`${on.server.url}/#/`);
  });

  it('changes a role, and the person has it at once', async () => {
    await root.getByRole('link', { name: 'Run this server' }).click();
    await root.getByRole('combobox', { name: 'Role of Bo' }).selectOption('guest');
    await root.getByText('Bo is guest now.').waitFor();
    await bo.getByRole('button', { name: 'Start a conversation' }).first().click();
    await bo.getByRole('radio', { name: /^Channel/ }).check();
    await bo.getByLabel('Name', { exact: true }).fill('mine');
    await bo.getByRole('button', { name: 'Create' }).click();
    await bo.getByText('You may not do this here.').waitFor();
    await bo.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    // From that refusal on the page knows what guests may not.
    await bo.getByRole('link', { name: 'Browse channels' }).waitFor({ state: 'detached' });
    expect(await bo.getByRole('button', { name: 'Start a conversation' }).count()).toBe(0);
    await root.getByRole('combobox', { name: 'Role of Bo' }).selectOption('member');
    await root.getByText('Bo is member now.').waitFor();
    await bo.reload();
    await bo.getByRole('link', { name: 'Browse channels' }).waitFor();
  });

  it('locks someone out, who is told so, and lets them in again', async () => {
    await root.getByRole('button', { name: 'Lock out Bo' }).click();
    await root.getByRole('dialog').getByRole('button', { name: 'Lock out' }).click();
    await root.getByText('Bo is locked out.').waitFor();
    await bo.getByText(/You were signed out/).waitFor();
    await bo.getByLabel('User name or e-mail').fill('bo');
    await bo.getByLabel('Password').fill('a long enough sentence');
    await bo.getByRole('button', { name: 'Sign in' }).click();
    await bo.getByText('This account is locked. Please ask an administrator.').waitFor();
    await root.getByRole('button', { name: 'Let in Bo' }).click();
    await root.getByText('Bo may come in again.').waitFor();
    await bo.getByRole('button', { name: 'Sign in' }).click();
    await bo.getByRole('heading', { name: 'Hello, Bo' }).waitFor();
  });

  it('finds people by name', async () => {
    await root.getByLabel('Find people by name').fill('bo');
    await until(() => root.getByRole('list', { name: 'Accounts' }).locator('.thing').count(), 1);
  });

  it('tells what was done', async () => {
    await root.getByRole('link', { name: 'Audit log' }).click();
    await root.getByText('Root locked Bo out').waitFor();
    await root.getByText('Root changed the role of Bo to guest').waitFor();
    await root.getByText('Root let Bo in again').waitFor();
  });

  it('invites to the server', async () => {
    await root.getByRole('link', { name: 'Invitations' }).click();
    await root.getByRole('button', { name: 'Make a link' }).click();
    const link = await root.getByLabel('The link').inputValue();
    const eve = await openPage(on.browser);
    await eve.goto(link);
    await eve.getByText('You are invited to this server.').waitFor();
    await eve.context().close();
  });

  it('a guest is shown no way to what guests may not do', async () => {
    await root.getByLabel('New people become').selectOption('guest');
    const before = await root.getByLabel('The link').inputValue();
    await root.getByRole('button', { name: 'Make a link' }).click();
    await until(async () => (await root.getByLabel('The link').inputValue()) !== before, true);
    const gus = await openPage(on.browser);
    await gus.goto(await root.getByLabel('The link').inputValue());
    await gus.getByLabel('User name').fill('gus');
    await gus.getByLabel('E-mail').fill('gus@example.org');
    await gus.getByLabel('Password').fill('a long enough sentence');
    await gus.getByRole('button', { name: 'Create account' }).click();
    await gus.getByRole('heading', { name: 'Hello, gus' }).waitFor();
    for (const name of ['Browse channels', 'Start a conversation', 'Run this server']) {
      expect([name, await gus.getByText(name).count()]).toEqual([name, 0]);
      const labelled = gus.getByRole('button', { name });
      expect([name, await labelled.count()]).toEqual([name, 0]);
    }
    await gus.goto(`${on.server.url}/#/browse`);
    await gus.getByText(/the rooms that somebody brought you into/).waitFor();
    await gus.context().close();
  });

  it('nothing failed on the pages', () => {
    expect(pageErrors).toEqual([]);
  });
});
