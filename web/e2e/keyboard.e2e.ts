import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { pageErrors, shown, until } from './browser';
import { stage } from './stage';

const on = stage();
let page: Page;

beforeAll(async () => {
  page = await on.open();
});

/** The name of what has the focus. */
function focused(): Promise<string> {
  return page.evaluate(() => {
    const element = document.activeElement;
    const label = element instanceof HTMLInputElement ? element.labels?.[0] : null;
    const name = element?.getAttribute('aria-label') ?? label?.textContent ?? element?.textContent;
    return (name ?? '').trim();
  });
}

/** Presses Tab until the name fits; fails after a whole round. */
async function tabTo(name: RegExp, key = 'Tab'): Promise<void> {
  for (let i = 0; i < 60; i += 1) {
    if (name.test(await focused())) return;
    await page.keyboard.press(key);
  }
  throw new Error(`${key} does not reach ${name}; the focus is on ${await focused()}`);
}

const press = (key: string) => page.keyboard.press(key);
const type = (text: string) => page.keyboard.type(text);

describe('with the keyboard alone', () => {
  it('signs up', async () => {
    await page.goto(on.server.url);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await focused()).toBe('User name or e-mail');
    await tabTo(/^Create an account$/);
    await press('Enter');
    await until(focused, 'User name');
    await type('kay');
    await tabTo(/^E-mail$/);
    await type('kay@example.org');
    await tabTo(/^Password$/);
    await type('a long enough sentence');
    await press('Enter');
    await page.getByRole('heading', { name: /^Hello/ }).waitFor();
  });

  it('every stop of Tab shows where it is', async () => {
    for (let i = 0; i < 12; i += 1) {
      await press('Tab');
      const ring = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return 'none needed';
        const box = element.closest('.composer-box, .kind') ?? element;
        const style = getComputedStyle(element);
        const around = getComputedStyle(box);
        const outlined = style.outlineStyle !== 'none' || around.boxShadow !== 'none';
        return outlined ? 'seen' : `not seen: ${element.outerHTML.slice(0, 120)}`;
      });
      expect(ring).not.toMatch(/^not/);
    }
  });

  it('makes a channel and writes', async () => {
    await tabTo(/^Start a conversation$/);
    await press('Enter');
    await page.getByRole('dialog').waitFor();
    await tabTo(/^Direct message/);
    await press('ArrowDown');
    await tabTo(/^Name$/);
    await type('desk');
    await press('Enter');
    await until(focused, 'Message desk');
    await type('first');
    await press('Shift+Enter');
    await type('line');
    await press('Enter');
    await type('second');
    await press('Enter');
    await until(() => shown(page), ['first\nline', 'second']);
  });

  it('a long draft pushes the newest message up, not out of sight', async () => {
    for (let i = 0; i < 12; i += 1) {
      await type(`line ${i}`);
      await press('Shift+Enter');
    }
    await page.waitForTimeout(200);
    const gap = await page.evaluate(() => {
      const row = [...document.querySelectorAll('.message')].at(-1);
      // Who types is told between the two.
      const form = document.querySelector('.typing') ?? document.querySelector('.composer');
      return (form?.getBoundingClientRect().top ?? 0) - (row?.getBoundingClientRect().bottom ?? 0);
    });
    expect(Math.abs(gap)).toBeLessThan(4);
    await press('Control+a');
    await press('Delete');
  });

  it('edits the last message and takes an edit back', async () => {
    await press('ArrowUp');
    await page.getByText('Editing your message').waitFor();
    await type(' thought');
    await press('Enter');
    await until(() => shown(page), ['first\nline', 'second thought']);
    await press('ArrowUp');
    await type(' xxx');
    await press('Escape');
    await until(focused, 'Message desk');
    await until(() => shown(page), ['first\nline', 'second thought']);
  });

  it('walks the messages, replies, and deletes', async () => {
    await press('Shift+Tab');
    for (let i = 0; i < 8 && !(await focused()).includes('second thought'); i += 1) {
      await press('Shift+Tab');
    }
    await press('ArrowUp');
    await until(async () => (await focused()).includes('first'), true);
    await press('r');
    await page.getByText('Replying to').waitFor();
    await until(focused, 'Message desk');
    await type('an answer');
    await press('Enter');
    // On its way it takes no focus yet.
    await page.locator('.message[data-seq]', { hasText: 'an answer' }).locator('.quote').waitFor();
    for (let i = 0; i < 8 && !(await focused()).includes('an answer'); i += 1) {
      await press('Shift+Tab');
    }
    await press('Delete');
    await page.getByRole('dialog').waitFor();
    await tabTo(/^Delete$/);
    await press('Enter');
    await page.locator('.message-deleted').waitFor();
  });

  it('arrow keys move in the room list, and the skip button leads to the composer', async () => {
    await page.reload();
    await page.getByRole('textbox', { name: 'Message desk' }).waitFor();
    await page.locator('.room-item[aria-current]').focus();
    await press('Home');
    const first = await focused();
    await press('End');
    if ((await page.locator('.room-item').count()) > 1) expect(await focused()).not.toBe(first);
    await tabTo(/^Skip to the conversation$/, 'Shift+Tab');
    await press('Enter');
    expect(await focused()).toBe('Message desk');
  });

  it('makes a token, and ends it', async () => {
    await tabTo(/^Your account/);
    await press('Enter');
    await tabTo(/^API tokens$/);
    await press('Enter');
    await until(() => page.title(), 'API tokens – Klatch');
    await page.getByText('There are no tokens yet.').waitFor();
    await tabTo(/^What it is for$/);
    await type('night job');
    await tabTo(/^Write/);
    await press('Space');
    await press('Enter');
    await until(focused, 'The token');
    await tabTo(/^I have copied it$/);
    await press('Enter');
    await until(focused, 'API tokens');
    await tabTo(/^End the token night job$/);
    await press('Enter');
    await page.getByRole('dialog').waitFor();
    await tabTo(/^End the token$/);
    await press('Enter');
    await page.getByText('Ended: night job.').waitFor();
    await until(focused, 'API tokens');
  });

  it('signs out', async () => {
    await tabTo(/^Sign out$/, 'Shift+Tab');
    await press('Enter');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(pageErrors).toEqual([]);
  });
});
