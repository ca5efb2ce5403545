import { describe, expect, it } from 'vitest';
import { Problem } from '../protocol/problem';
import { createApi } from './api';
import { Owner } from './owner';
import { SessionKeeper } from './session';

interface Sent {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: unknown;
}

/** An API whose `fetch` answers what the test lists, in order. */
function scripted(answers: (Response | (() => Response))[]) {
  const sent: Sent[] = [];
  const kept = new Map<string, string>();
  let now = 1_000_000;
  const cookie = { csrf: 'token' };
  const csrf = () => cookie.csrf;
  const owner = new Owner(csrf);
  const api = createApi({
    fetch: (input, init) => {
      const headers = (init?.headers ?? {}) as Record<string, string>;
      const body = init?.body === undefined ? undefined : JSON.parse(String(init.body));
      sent.push({ method: init?.method ?? '', path: String(input), headers, body });
      const next = answers.shift();
      const answer = typeof next === 'function' ? next() : next;
      return answer ? Promise.resolve(answer) : Promise.reject(new TypeError('no network'));
    },
    csrf,
    owner,
    sleep: () => Promise.resolve(),
    now: () => {
      now += 1;
      return now;
    },
    exclusively: (task) => task(),
    remember: (key) => kept.get(key) ?? null,
    keep: (key, value) => void kept.set(key, value),
  });
  return { api, sent, cookie, owner };
}

const json = (body: unknown, status = 200, headers = {}) =>
  new Response(JSON.stringify(body), { status, headers });
const refused = () => json({ code: 'unauthorized', status: 401 }, 401);
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'no problem',
    (error: unknown) => (error instanceof Problem ? error.code : String(error)),
  );

describe('api', () => {
  it('unsafe calls carry the CSRF header, safe ones do not', async () => {
    const { api, sent } = scripted([json({}, 202), json({ items: [] })]);
    await api.join('r/1');
    await api.members('r/1');
    expect(sent.map((s) => [s.method, s.path, s.headers['X-Klatch-CSRF']])).toEqual([
      ['POST', '/api/v1/rooms/r%2F1/join', 'token'],
      ['GET', '/api/v1/rooms/r%2F1/members?limit=200', undefined],
    ]);
  });

  it('a 401 is answered by one refresh and one repetition', async () => {
    const { api, sent } = scripted([refused(), json({ expiresIn: 900 }), json({ userId: 'me' })]);
    expect(await api.me()).toEqual({ userId: 'me' });
    expect(sent.map((s) => s.path)).toEqual([
      '/api/v1/users/me',
      '/api/v1/auth/refresh',
      '/api/v1/users/me',
    ]);
    expect(sent[1]?.body).toEqual({ cookie: true });
  });

  it('a refused refresh is not tried again', async () => {
    const { api, sent } = scripted([refused(), refused()]);
    expect(await code(api.me())).toBe('unauthorized');
    expect(sent).toHaveLength(2);
  });

  it('two calls refused at the same time share one refresh', async () => {
    const fresh = json({ expiresIn: 900 });
    const { api, sent } = scripted([refused(), refused(), fresh, json({}), json({})]);
    await Promise.all([api.me(), api.me()]);
    expect(sent.filter((s) => s.path.endsWith('refresh'))).toHaveLength(1);
  });

  it('a wrong password is not answered by a refresh', async () => {
    const { api, sent } = scripted([json({ code: 'invalid_credentials' }, 401)]);
    expect(await code(api.login({ login: 'a', password: 'b' }))).toBe('invalid_credentials');
    expect(sent).toHaveLength(1);
    expect(sent[0]?.body).toEqual({ login: 'a', password: 'b', cookie: true });
  });

  it('a read model that is behind is asked again with the same position', async () => {
    const behind = () => json({ code: 'read_model_behind' }, 503, { 'Retry-After': '1' });
    const { api, sent } = scripted([behind(), behind(), json({ items: [] })]);
    await api.history('r', { after: 3, position: 'm0-a.5' });
    expect(sent.map((s) => s.headers['X-Klatch-Position'])).toEqual(['m0-a.5', 'm0-a.5', 'm0-a.5']);
  });

  it('a reading of members waits for the position it is given', async () => {
    const { api, sent } = scripted([json({ items: [] }), json({ items: [] })]);
    await api.members('r', 'c2', 'm0-a.5');
    await api.members('r');
    expect(sent.map((s) => s.headers['X-Klatch-Position'])).toEqual(['m0-a.5', undefined]);
    expect(sent[0]?.path).toContain('cursor=c2');
  });

  it('a position the server does not know is left out', async () => {
    const { api, sent } = scripted([json({ code: 'invalid_position' }, 400), json({ items: [] })]);
    await api.history('r', { position: 'm0-a.5' });
    expect(sent.map((s) => s.headers['X-Klatch-Position'])).toEqual(['m0-a.5', undefined]);
  });

  it('no network and pages of proxies are problems with words of their own', async () => {
    expect(await code(scripted([]).api.me())).toBe('offline');
    const html = new Response('<html>', { status: 502 });
    expect(await code(scripted([html]).api.me())).toBe('offline');
    expect(await code(scripted([new Response('<html>', { status: 200 })]).api.me())).toBe(
      'unreadable',
    );
  });
});

describe('session keeper', () => {
  it('does not renew what another tab renewed meanwhile', async () => {
    let refreshed = 0;
    let now = 10_000;
    const kept = new Map<string, string>();
    const make = () =>
      new SessionKeeper({
        now: () => now,
        refresh: () => {
          refreshed += 1;
          return Promise.resolve(900);
        },
        exclusively: (task) => task(),
        remember: (key) => kept.get(key) ?? null,
        keep: (key, value) => void kept.set(key, value),
      });
    const [here, there] = [make(), make()];
    here.note(900);
    now += 700_000;
    await here.renew();
    await there.renew();
    await there.renewSince(now - 1);
    expect(refreshed).toBe(1);
    expect(there.expiresAt()).toBe(now + 900_000);
    await there.renewSince(now);
    expect(refreshed).toBe(2);
  });
});

describe('a page of one person', () => {
  const ofAnn = 'x.ann';
  const ofBo = 'y.bo';

  function annsPage(answers: Parameters<typeof scripted>[0]) {
    const page = scripted(answers);
    page.cookie.csrf = ofAnn;
    page.api.actFor('ann');
    const came: string[] = [];
    page.owner.onAnother = (userId) => came.push(userId);
    return { ...page, came };
  }

  it('neither writes, reads nor renews by the cookies of another', async () => {
    const { api, sent, cookie, came } = annsPage([json({}, 202)]);
    await api.join('r');
    cookie.csrf = ofBo;
    expect(await code(api.leave('r'))).toBe('another_person');
    expect(await code(api.me())).toBe('another_person');
    expect(await code(api.renewSince(Number.MAX_SAFE_INTEGER))).toBe('another_person');
    expect(sent.map((s) => s.headers['X-Klatch-CSRF'])).toEqual([ofAnn]);
    expect(came).toEqual(['bo', 'bo', 'bo']);
  });

  it('takes no answer that was given while another came, nor a refusal', async () => {
    const boComes = (answer: Response) => () => {
      page.cookie.csrf = ofBo;
      return answer;
    };
    const page = annsPage([boComes(json({ userId: 'bo' })), boComes(json({}, 403))]);
    expect(await code(page.api.me())).toBe('another_person');
    page.cookie.csrf = ofAnn;
    expect(await code(page.api.join('r'))).toBe('another_person');
    expect(page.came).toEqual(['bo', 'bo']);
  });

  it('a call that waits stays its caller’s, whatever becomes of the page', async () => {
    const page = annsPage([
      () => {
        page.api.actFor(null);
        page.cookie.csrf = ofBo;
        return json({ code: 'rate_limited' }, 429);
      },
      json({}, 202),
    ]);
    expect(await code(page.api.join('r'))).toBe('another_person');
    expect(page.sent).toHaveLength(1);
  });

  it('works as before with a cookie that does not say whose it is, or none', async () => {
    const { api, cookie, sent } = annsPage([json({}, 202), json({ userId: 'ann' })]);
    cookie.csrf = 'of an older server';
    await api.join('r');
    cookie.csrf = '';
    await api.me();
    expect(sent).toHaveLength(2);
  });
});
