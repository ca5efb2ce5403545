/** What the client needs of the server that it came from, seen from outside. */

import { request } from 'node:http';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { pageErrors, signUp } from './browser';
import { stage } from './stage';

const on = stage();
let admin: Page;

beforeAll(async () => {
  admin = await on.open();
});

/** The cookies of the page, as the browser would send them to `path`. */
async function cookies(page: Page, path = '/'): Promise<string> {
  const all = await page.context().cookies(on.server.url + path);
  return all.map(({ name, value }) => `${name}=${value}`).join('; ');
}

interface Upgrade {
  status: number;
  subprotocol: string | undefined;
}

/** Asks for a WebSocket with these headers, and leaves again. */
function upgrade(headers: Record<string, string>): Promise<Upgrade> {
  return new Promise((resolve, reject) => {
    const asked = request(`${on.server.url}/ws`, {
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    });
    asked.on('upgrade', (answer, socket) => {
      socket.destroy();
      const subprotocol = answer.headers['sec-websocket-protocol'];
      resolve({ status: answer.statusCode ?? 0, subprotocol });
    });
    asked.on('response', (answer) => {
      answer.resume();
      resolve({ status: answer.statusCode ?? 0, subprotocol: undefined });
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('the page and its files', () => {
  it('run under a policy that allows nothing inline and nothing from elsewhere', async () => {
    const answer = await fetch(on.server.url);
    const policy = answer.headers.get('Content-Security-Policy') ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(answer.headers.get('X-Content-Type-Options')).toBe('nosniff');
    expect(answer.headers.get('Cache-Control')).toBe('no-cache');
  });

  it('are all there, and those with a hash in their name are kept for ever', async () => {
    const html = await (await fetch(on.server.url)).text();
    const files = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map((found) => found[1] ?? '');
    expect(files.some((file) => file.endsWith('.js'))).toBe(true);
    expect(files.some((file) => file.endsWith('.css'))).toBe(true);
    for (const file of files) {
      const answer = await fetch(on.server.url + file);
      expect([file, answer.status]).toEqual([file, 200]);
      if (!file.startsWith('/assets/')) continue;
      expect(answer.headers.get('Cache-Control')).toContain('immutable');
      expect(answer.headers.get('Content-Type')).toMatch(/javascript|css/);
    }
    expect((await fetch(`${on.server.url}/assets/none.js`)).status).toBe(404);
  });
});

describe('the first administrator', () => {
  it('is made by the link that was printed, and only once', async () => {
    const link = on.server.url + on.server.setupPath();
    await signUp(admin, link, 'Root');
    const role = await admin.evaluate(async () => {
      const answer = await fetch('/api/v1/users/me');
      return ((await answer.json()) as { role: string }).role;
    });
    expect(role).toBe('admin');
    const late = await on.open();
    await late.goto(link);
    await late.getByLabel('User name').fill('late');
    await late.getByLabel('E-mail').fill('late@example.org');
    await late.getByLabel('Password').fill('a long enough sentence');
    await late.getByRole('button', { name: /^Create/ }).click();
    await late.getByRole('alert').first().waitFor();
    expect(await late.getByRole('alert').first().textContent()).toMatch(/link/i);
    await late.context().close();
  });
});

describe('the session', () => {
  it('is in cookies that scripts cannot read; what they can read lives as long', async () => {
    const all = await admin
      .context()
      .cookies([on.server.url, `${on.server.url}/api/v1/auth/refresh`]);
    const named = (name: string) => all.find((cookie) => cookie.name === name);
    const [access, refresh, csrf] = ['access', 'refresh', 'csrf'].map((n) => named(`klatch_${n}`));
    expect([access?.httpOnly, refresh?.httpOnly, csrf?.httpOnly]).toEqual([true, true, false]);
    expect(new Set([access?.sameSite, refresh?.sameSite, csrf?.sameSite])).toEqual(
      new Set(['Lax']),
    );
    expect(Math.abs((csrf?.expires ?? 0) - (refresh?.expires ?? -9))).toBeLessThan(2);
    expect(refresh?.expires).toBeGreaterThan((access?.expires ?? 0) + 86_400);
  });

  it('opens the WebSocket by cookie without a subprotocol, from its own pages only', async () => {
    const Cookie = await cookies(admin);
    const own = await upgrade({ Cookie, Origin: on.server.url });
    expect(own).toEqual({ status: 101, subprotocol: undefined });
    expect((await upgrade({ Cookie, Origin: 'https://evil.example' })).status).toBe(403);
    expect((await upgrade({ Cookie })).status).toBe(403);
    expect((await upgrade({ Origin: on.server.url })).status).toBe(401);
    const ended = Cookie.replace(/(klatch_access=[^;]*)./, '$1x');
    expect((await upgrade({ Cookie: ended, Origin: on.server.url })).status).toBe(401);
  });

  it('a change by cookie needs the readable cookie in a header', async () => {
    const Cookie = await cookies(admin);
    const body = JSON.stringify({ type: 'channel', name: 'forged' });
    const headers = { Cookie, 'Content-Type': 'application/json' };
    const forged = await fetch(`${on.server.url}/api/v1/rooms`, { method: 'POST', headers, body });
    expect(forged.status).toBe(403);
  });

  it('a refresh that is repeated, as two tabs do, succeeds both times', async () => {
    const Cookie = await cookies(admin, '/api/v1/auth/refresh');
    const csrf = /klatch_csrf=([^;]+)/.exec(Cookie)?.[1] ?? '';
    const headers = { Cookie, 'X-Klatch-CSRF': csrf, 'Content-Type': 'application/json' };
    const body = JSON.stringify({ cookie: true });
    const ask = () =>
      fetch(`${on.server.url}/api/v1/auth/refresh`, { method: 'POST', headers, body });
    const answers = [await ask(), await ask()];
    expect(answers.map((answer) => answer.status)).toEqual([200, 200]);
    const tokens = answers.map((answer) => {
      const set = answer.headers.getSetCookie();
      return set.find((one) => one.startsWith('klatch_refresh='))?.split(';')[0];
    });
    expect(tokens[0]).toBe(tokens[1]);
    expect(await answers[0]?.text()).not.toMatch(/accessToken|refreshToken/);
  });

  it('nothing failed on the pages', () => {
    expect(pageErrors).toEqual([]);
  });
});
