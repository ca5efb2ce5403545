import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { composer, message, pageErrors, SCREENSHOTS, say, until } from './browser';
import { stage } from './stage';

const on = stage();
let ann: Page;
let bo: Page;

beforeAll(async () => {
  [ann, bo] = await on.twoIn('kitchen', { colorScheme: 'light' }, { colorScheme: 'dark' });
});

/** The mark beside someone in the list of members, as it is read out. */
function mark(page: Page, name: string) {
  return page.locator('.member', { hasText: name }).locator('.presence');
}

/** Chooses a presence over REST, as another client of the person would. */
async function choose(page: Page, body: object): Promise<number> {
  return page.evaluate(async (choice) => {
    const csrf = /klatch_csrf=([^;]+)/.exec(document.cookie)?.[1] ?? '';
    const answer = await fetch('/api/v1/users/me/presence', {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json', 'X-Klatch-CSRF': csrf },
      body: JSON.stringify(choice),
    });
    return answer.status;
  }, body);
}

const typing = (page: Page) => page.locator('.typing p');

describe('two people who are there', () => {
  it('see each other in the list of members, and what the other chose', async () => {
    for (const page of [ann, bo]) await page.getByRole('button', { name: /2 members/ }).click();
    await until(() => mark(ann, 'Bo').textContent(), 'online, ');
    await until(() => mark(bo, 'Ann').textContent(), 'online, ');
    expect(await choose(bo, { status: 'dnd', text: 'kneading', emoji: '🥐' })).toBe(204);
    await until(() => mark(ann, 'Bo').textContent(), 'do not disturb, ');
    await ann.locator('.member', { hasText: '🥐 kneading' }).waitFor();
  });

  it('see who types, in words and aloud, until the message is there', async () => {
    await composer(bo, 'kitchen').pressSequentially('Is the oven');
    await until(() => typing(ann).textContent(), 'Bo is typing…');
    await until(() => ann.locator('.typing [role=status]').textContent(), 'Bo is typing…');
    expect(await typing(bo).count()).toBe(0);
    await ann.screenshot({ path: `${SCREENSHOTS}typing-light.png` });
    await composer(bo, 'kitchen').press('Enter');
    await message(ann, 'Is the oven').waitFor();
    await typing(ann).waitFor({ state: 'detached' });
    await composer(ann, 'kitchen').pressSequentially('It is hot');
    await until(() => typing(bo).textContent(), 'Ann is typing…');
    await bo.screenshot({ path: `${SCREENSHOTS}typing-dark.png` });
  });

  it('see that the other gave it up', async () => {
    await composer(ann, 'kitchen').fill('');
    await typing(bo).waitFor({ state: 'detached' });
  });

  it('see it go by itself when the other is cut off', async () => {
    // The three seconds in which it is told once.
    await ann.waitForTimeout(3_000);
    await composer(ann, 'kitchen').pressSequentially('It is');
    await until(() => typing(bo).textContent(), 'Ann is typing…');
    await ann.context().setOffline(true);
    await typing(bo).waitFor({ state: 'detached' });
    await ann.context().setOffline(false);
    await composer(ann, 'kitchen').fill('');
  });

  it('see in a direct conversation whether the other is there, and since when not', async () => {
    expect(await choose(bo, {})).toBe(204);
    await ann.getByRole('button', { name: 'Start a conversation' }).click();
    await ann.getByRole('dialog').getByLabel('With').fill('bo');
    await ann.getByRole('dialog').getByRole('button', { name: /@bo/ }).click();
    await ann.getByRole('dialog').getByRole('button', { name: 'Open' }).click();
    await say(ann, 'Bo', 'Just between us');
    const head = ann.locator('.room-header-topic');
    await until(() => head.textContent(), 'online');
    const item = ann.locator('.room-item', { hasText: 'Bo' });
    await until(() => item.locator('.presence').textContent(), 'online, ');
    await ann.screenshot({ path: `${SCREENSHOTS}presence-light.png` });
    await bo.close();
    await until(async () => (await head.textContent())?.startsWith('last seen'), true);
    await until(() => item.locator('.presence').textContent(), 'offline, ');
    await ann.emulateMedia({ colorScheme: 'dark' });
    await ann.screenshot({ path: `${SCREENSHOTS}presence-dark.png` });
  });

  it('no script failed and no policy was violated', () => {
    expect(pageErrors).toEqual([]);
  });
});
