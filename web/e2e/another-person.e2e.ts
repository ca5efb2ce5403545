/** Two people, one after the other, in one browser whose second tab was away in between. */

import type { Page, WebSocketRoute } from 'playwright-core';
import { beforeAll, expect, it } from 'vitest';
import { composer, createChannel, pageErrors, say, shown, signUp, until } from './browser';
import { stage } from './stage';

const on = stage();
let first: Page;
let second: Page;
const cut = { now: false, sockets: new Set<WebSocketRoute>() };

/** The second tab reaches nothing, as on a machine that sleeps. */
async function away(): Promise<void> {
  cut.now = true;
  await second.route('**/api/**', (route) => route.abort());
  for (const socket of cut.sockets) await socket.close({ code: 4000 });
}

async function back(): Promise<void> {
  cut.now = false;
  await second.unroute('**/api/**');
}

beforeAll(async () => {
  first = await on.person('Ann');
  await createChannel(first, 'kitchen');
  second = await first.context().newPage();
  second.setDefaultTimeout(30_000);
  // A tab that sleeps hears nothing of other tabs either.
  await second.addInitScript(() => {
    window.addEventListener('storage', (event) => event.stopImmediatePropagation());
  });
  await second.routeWebSocket(/\/ws$/, (socket) => {
    if (cut.now) return void socket.close({ code: 4000 });
    cut.sockets.add(socket);
    socket.connectToServer();
  });
  await second.goto(first.url());
  await composer(second, 'kitchen').waitFor();
});

const kept = () => second.evaluate(() => JSON.stringify({ ...localStorage }));

it('nothing that waited in a tab goes out in the name of whoever came after', async () => {
  await say(second, 'kitchen', 'before');
  await until(() => shown(first), ['before']);
  await away();
  await say(second, 'kitchen', 'words of Ann');
  await composer(second, 'kitchen').fill('draft of Ann');
  await until(async () => (await kept()).includes('words of Ann'), true);
  await first.getByRole('button', { name: 'Sign out' }).click();
  await first.getByRole('heading', { name: 'Sign in' }).waitFor();
  await signUp(first, on.server.url, 'Bo');
  await first.getByRole('link', { name: 'Browse channels' }).click();
  await first.getByRole('button', { name: 'Join kitchen' }).click();
  await composer(first, 'kitchen').fill('draft of Bo');
  await until(async () => (await kept()).includes('draft of Bo'), true);
  await back();
  await second.getByRole('link', { name: /^Your account: .*@bo/ }).waitFor();
  await until(() => composer(second, 'kitchen').inputValue(), 'draft of Bo');
  await until(() => shown(second), ['before']);
  await until(() => shown(first), ['before']);
  expect(await kept()).not.toContain('of Ann');
});

it('a tab that is awake makes way as soon as someone else comes', async () => {
  const third = await first.context().newPage();
  third.setDefaultTimeout(30_000);
  // The server would end this connection, and the page with it, when its person goes.
  await third.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    server.onClose(() => {});
  });
  await third.goto(on.server.url);
  await third.getByRole('link', { name: /^Your account: .*@bo/ }).waitFor();
  await first.getByRole('button', { name: 'Sign out' }).click();
  await first.getByRole('heading', { name: 'Sign in' }).waitFor();
  await third.getByRole('link', { name: /^Your account: .*@bo/ }).waitFor();
  await signUp(first, on.server.url, 'Cy');
  await third.getByRole('link', { name: /^Your account: .*@cy/ }).waitFor();
});

it('a tab that heard nothing makes no call by the cookies of whoever came', async () => {
  const deaf = await first.context().newPage();
  deaf.setDefaultTimeout(30_000);
  await deaf.addInitScript(() => {
    window.addEventListener('storage', (event) => event.stopImmediatePropagation());
  });
  await deaf.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    server.onClose(() => {});
  });
  await deaf.goto(on.server.url);
  await deaf.getByRole('link', { name: /^Your account: .*@cy/ }).waitFor();
  await deaf.getByRole('button', { name: 'Start a conversation' }).first().click();
  await deaf.getByRole('radio', { name: /^Channel/ }).check();
  await deaf.getByLabel('Name', { exact: true }).fill('of-cy');
  await first.getByRole('button', { name: 'Sign out' }).click();
  await first.getByRole('heading', { name: 'Sign in' }).waitFor();
  await signUp(first, on.server.url, 'Di');
  const asked: string[] = [];
  deaf.on('request', (request) => {
    if (request.method() === 'POST') asked.push(new URL(request.url()).pathname);
  });
  await deaf.getByRole('button', { name: 'Create' }).click();
  await deaf.getByRole('link', { name: /^Your account: .*@di/ }).waitFor();
  expect(asked.filter((path) => path.endsWith('/rooms'))).toEqual([]);
});

it('nothing failed on the pages', () => {
  expect(pageErrors).toEqual([]);
});
