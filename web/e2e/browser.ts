/** A real browser, and what people do in it. */

import { existsSync } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** `CHROMIUM`, else what is installed; playwright-core brings no browser of its own. */
const BROWSER =
  process.env.CHROMIUM ??
  ['chromium', 'chromium-browser', 'google-chrome']
    .map((name) => `/usr/bin/${name}`)
    .find((path) => existsSync(path)) ??
  'chromium';

export const SCREENSHOTS = new URL('./screenshots/', import.meta.url).pathname;

/**
 * A signed token. Not only how it begins: what is merely random begins like that, too, once in a
 * while.
 */
export const SIGNED = /\beyJ[\w-]+\.[\w-]+\.[\w-]+/;

/** All that were launched and still run. */
export const browsers = new Set<Browser>();

export async function launch(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: BROWSER,
    args: [
      '--no-sandbox',
      '--headless',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  browsers.add(browser);
  browser.on('disconnected', () => browsers.delete(browser));
  return browser;
}

/** Failures of a page that nobody sees: scripts, refused styles, the content security policy. */
export const pageErrors: string[] = [];

export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1180, height: 760 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  page.on('console', (message) => {
    const text = message.text();
    // A refused or failed request is part of several tests; a violated policy never is.
    if (message.type() === 'error' && !/Failed to load resource|WebSocket/.test(text)) {
      pageErrors.push(text);
    }
  });
  return page;
}

/** Makes an account through the form; leaves the page at home. */
export async function signUp(page: Page, url: string, name: string): Promise<void> {
  await page.goto(url);
  if (!url.includes('/setup/'))
    await page.getByRole('button', { name: 'Create an account' }).click();
  await page.getByLabel('User name').fill(name.toLowerCase());
  await page.getByLabel('Name shown to others').fill(name);
  await page.getByLabel('E-mail').fill(`${name.toLowerCase()}@example.org`);
  await page.getByLabel('Password').fill('a long enough sentence');
  await page.getByRole('button', { name: /^Create/ }).click();
  await page.getByRole('heading', { name: `Hello, ${name}` }).waitFor();
}

/** Makes a public channel through the dialog; leaves the page in it. */
export async function createChannel(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'Start a conversation' }).first().click();
  await page.getByRole('radio', { name: /^Channel/ }).check();
  await page.getByLabel('Name', { exact: true }).fill(name);
  await page.getByRole('button', { name: 'Create' }).click();
  await composer(page, name).waitFor();
}

/** Joins a public channel from the list; leaves the page in it. */
export async function joinChannel(page: Page, name: string): Promise<void> {
  await page.getByRole('link', { name: 'Browse channels' }).click();
  await page.getByRole('button', { name: `Join ${name}` }).click();
  await composer(page, name).waitFor();
}

export function composer(page: Page, room: string) {
  return page.getByRole('textbox', { name: `Message ${room}` });
}

export async function say(page: Page, room: string, text: string): Promise<void> {
  await composer(page, room).fill(text);
  await composer(page, room).press('Enter');
}

/** One shown message, by its words. */
export function message(page: Page, text: string) {
  return page.locator('.message', { hasText: text });
}

/** The words of all shown messages, top to bottom; none is virtualised away in short rooms. */
export function shown(page: Page): Promise<string[]> {
  return page.locator('.message .message-body p').allTextContents();
}

/** Waits until `read` answers `wanted`; throws with the last answer if it does not come to that. */
export async function until<T>(read: () => Promise<T>, wanted: T, limitMs = 20_000): Promise<void> {
  const end = Date.now() + limitMs;
  for (;;) {
    const got = await read();
    if (JSON.stringify(got) === JSON.stringify(wanted)) return;
    if (Date.now() > end) {
      throw new Error(`wanted ${JSON.stringify(wanted)}\n   got ${JSON.stringify(got)}`);
    }
    await new Promise((done) => setTimeout(done, 100));
  }
}
