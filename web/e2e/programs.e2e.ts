/** Tokens and bots, from the page that makes them to the program that uses them. */

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { createChannel, message, pageErrors, until } from './browser';
import { stage } from './stage';

const run = promisify(execFile);

const on = stage();
let root: Page;

beforeAll(async () => {
  root = await on.administrator();
  await root.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await createChannel(root, 'kitchen');
});

/** Types a line of the page into a shell: the status of the answer, and the answer. */
async function shell(line: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const { stdout } = await run('sh', ['-c', `${line} -s -w '\\n%{http_code}'`]);
  const at = stdout.lastIndexOf('\n');
  const status = Number(stdout.slice(at + 1));
  return { status, body: JSON.parse(stdout.slice(0, at) || '{}') as Record<string, unknown> };
}

function tokens(page: Page) {
  return page.getByRole('list', { name: 'Tokens' }).getByRole('listitem');
}

async function makeToken(page: Page, name: string): Promise<string> {
  await page.getByLabel('What it is for').fill(name);
  await page.getByRole('button', { name: 'Make a token' }).click();
  const secret = page.getByLabel('The token', { exact: true });
  await secret.waitFor();
  return secret.inputValue();
}

async function endToken(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: `End the token ${name}` }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End the token' }).click();
  await page.getByText(`Ended: ${name}.`).waitFor();
}

describe('a bot', () => {
  let secret: string;
  let line: string;

  it('is made, and brought into a room', async () => {
    await root.getByRole('link', { name: 'Run this server' }).click();
    await root.getByRole('link', { name: 'Bots' }).click();
    // The demo has bots of its own.
    await root.getByRole('link', { name: 'Manage Klatch Bot' }).waitFor();
    await root.getByLabel('User name').fill('Not A Name');
    await root.getByRole('button', { name: 'Make a bot' }).click();
    await root.getByText(/Use 2 to 32 small letters/).waitFor();
    await root.getByLabel('User name').fill('helper');
    await root.getByLabel('Name shown to others').fill('Helper');
    await root.getByRole('button', { name: 'Make a bot' }).click();
    await root.getByRole('heading', { name: 'Helper' }).waitFor();
    await until(() => root.title(), 'Helper – Klatch');
    await root.getByText('There are no tokens yet.').waitFor();
    await root.getByLabel('Bring it into a room').selectOption({ label: 'kitchen' });
    await root.getByRole('button', { name: 'Add to the room' }).click();
    await root.getByText('Helper is in kitchen now.').waitFor();
  });

  it('gets a token that is told once, and marked to be copied', async () => {
    for (const scope of ['Read', 'Write']) {
      await root.getByRole('checkbox', { name: new RegExp(`^${scope}`) }).uncheck();
    }
    await root.getByLabel('What it is for').fill('nothing');
    await root.getByRole('button', { name: 'Make a token' }).click();
    await root.getByText('Choose at least one.').waitFor();
    expect(await root.getByRole('checkbox', { name: /^Run the server/ }).count()).toBe(0);
    await root.getByRole('checkbox', { name: /^Read/ }).check();
    await root.getByRole('checkbox', { name: /^Write/ }).check();
    secret = await makeToken(root, 'kitchen clock');
    expect(secret).toMatch(/^kla_/);
    const marked = root.evaluate(() => {
      const field = document.activeElement as HTMLInputElement;
      return field.value.slice(field.selectionStart ?? 0, field.selectionEnd ?? 0);
    });
    expect(await marked).toBe(secret);
    await root.getByRole('button', { name: 'Copy The token' }).click();
    await root.getByText('Copied.').waitFor();
    expect(await root.evaluate(() => navigator.clipboard.readText())).toBe(secret);
    expect(await tokens(root).textContent()).toMatch(/kitchen clock.*May read, write.*ends/);
    // Whoever comes anew has met nobody yet.
    const other = await root.context().newPage();
    await other.goto(root.url());
    await other.getByText(/^May read, write · made .* by Root · ends/).waitFor();
    await other.close();
  });

  it('does with it what the page says, and is read in the room', async () => {
    const asked = await shell(await root.getByLabel('Try it in a terminal').inputValue());
    expect(asked).toMatchObject({ status: 200, body: { username: 'helper', bot: true } });
    line = await root.getByLabel('Say something with it').inputValue();
    expect(await shell(line)).toMatchObject({ status: 202 });
    await root.locator('.room-item', { hasText: 'kitchen' }).click();
    const row = message(root, 'Hello from kitchen clock');
    await row.waitFor();
    expect(await row.locator('.message-head').textContent()).toMatch(/^HelperBot/);
    await root.getByRole('button', { name: /2 members/ }).click();
    await root.locator('.member', { hasText: '@helper' }).getByText('Bot').waitFor();
  });

  it('does nothing more once its token was ended', async () => {
    await root.getByRole('link', { name: 'Run this server' }).click();
    await root.getByRole('link', { name: 'Bots' }).click();
    await root.getByRole('link', { name: 'Manage Helper' }).click();
    await until(() => tokens(root).count(), 1);
    expect(await root.getByLabel('The token', { exact: true }).count()).toBe(0);
    await endToken(root, 'kitchen clock');
    await root.getByText('Ended: kitchen clock.').waitFor();
    await until(() => root.evaluate(() => document.activeElement?.textContent), 'Tokens');
    expect(await shell(line)).toMatchObject({ status: 401 });
  });

  it('is brought into any of one’s rooms, however many these are', async () => {
    await createChannel(root, 'latest');
    const page = await root.context().newPage();
    let go = () => {};
    const held = new Promise<void>((done) => {
      go = done;
    });
    await page.route(/\/api\/v1\/rooms\?.*scope=joined/, async (route) => {
      await held;
      await route.continue({
        url: route
          .request()
          .url()
          .replace(/limit=\d+/, 'limit=1'),
      });
    });
    await page.goto(`${on.server.url}/#/admin/bots`);
    await page.getByRole('link', { name: 'Manage Helper' }).click();
    await page.getByText('Loading your rooms…').first().waitFor();
    expect(await page.getByText(/be in that room yourself/).count()).toBe(0);
    go();
    const choice = page.getByLabel('Bring it into a room');
    await choice.waitFor();
    const offered = () => choice.locator('option').allTextContents();
    await until(offered, ['latest']);
    await page.getByRole('button', { name: 'Load more of your rooms' }).click();
    await until(offered, ['latest', 'kitchen']);
    await page.close();
  });
});

describe('a token of one’s own', () => {
  it('acts in one’s name, as far as one allowed it', async () => {
    await root.getByRole('link', { name: /^Your account/ }).click();
    await root.getByRole('link', { name: 'API tokens' }).click();
    await root.getByRole('checkbox', { name: /^Run the server/ }).waitFor();
    await root.getByLabel('Ends').selectOption('Never');
    const secret = await makeToken(root, 'notes');
    expect(await tokens(root).textContent()).toMatch(/notes.*May read · .*never ends/);
    expect(await root.getByLabel('Say something with it').count()).toBe(0);
    const asked = await shell(await root.getByLabel('Try it in a terminal').inputValue());
    expect(asked).toMatchObject({ status: 200, body: { username: 'root' } });
    const headers = { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify({ type: 'group' }) };
    expect((await fetch(`${on.server.url}/api/v1/rooms`, init)).status).toBe(403);
    await root.getByRole('button', { name: 'I have copied it' }).click();
    expect(await root.getByLabel('The token', { exact: true }).count()).toBe(0);
    await root.reload();
    await until(() => tokens(root).count(), 1);
    expect(await root.content()).not.toContain('kla_');
    await endToken(root, 'notes');
  });

  it('is listed by itself as soon as the server is back', async () => {
    await on.server.kill();
    await root.getByRole('link', { name: 'You and your devices' }).click();
    await root.getByRole('link', { name: 'API tokens' }).click();
    await root.getByText('The tokens could not be loaded.').waitFor();
    await on.server.up();
    await root.getByText('There are no tokens yet.').waitFor({ timeout: 45_000 });
  });

  it('is for everyone, bots are not', async () => {
    const bo = await on.person('Bo');
    await bo.goto(`${on.server.url}/#/account/tokens`);
    await bo.getByText('There are no tokens yet.').waitFor();
    expect(await bo.getByRole('checkbox', { name: /^Run the server/ }).count()).toBe(0);
    await bo.goto(`${on.server.url}/#/admin/bots`);
    await bo.getByText('This page is for administrators of the server.').waitFor();
    await bo.context().close();
  });

  it('nothing failed on the pages', () => {
    expect(pageErrors).toEqual([]);
  });
});
