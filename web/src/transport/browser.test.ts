import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { browserEnvironment } from './browser';

/** The storage of one browser, as all its tabs see it. */
class Storage {
  readonly values = new Map<string, string>();
  full = false;
  forbidden = false;

  getItem(key: string): string | null {
    this.#look();
    return this.values.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.#look();
    if (this.full) throw new DOMException('full', 'QuotaExceededError');
    this.values.set(key, value);
  }

  removeItem(key: string): void {
    this.#look();
    this.values.delete(key);
  }

  #look(): void {
    if (this.forbidden) throw new DOMException('forbidden', 'SecurityError');
  }
}

let storage: Storage;

beforeEach(() => {
  storage = new Storage();
  vi.stubGlobal('window', Object.assign(new EventTarget(), { localStorage: storage }));
});

afterEach(() => vi.unstubAllGlobals());

describe('what a page remembers', () => {
  it('is not older than what it kept last, though there was no room for it', () => {
    const env = browserEnvironment();
    env.keep('k', 'old');
    storage.full = true;
    env.keep('k', 'new');
    expect(env.remember('k')).toBe('new');
    expect(browserEnvironment().remember('k')).toBeNull();
    storage.full = false;
    env.keep('k', 'newest');
    expect(browserEnvironment().remember('k')).toBe('newest');
  });

  it('is what another tab kept since there was no room', () => {
    const env = browserEnvironment();
    storage.full = true;
    env.keep('klatch.session', 'of this tab');
    storage.full = false;
    browserEnvironment().keep('klatch.session', 'of the other tab');
    expect(env.remember('klatch.session')).toBe('of the other tab');
    browserEnvironment().forget('klatch.session');
    expect(env.remember('klatch.session')).toBeNull();
  });

  it('is told of when another tab keeps it, until one has heard enough', () => {
    const heard: (string | null)[] = [];
    const stop = browserEnvironment().onKept('k', (value) => heard.push(value));
    const say = (key: string | null, newValue: string | null) =>
      window.dispatchEvent(Object.assign(new Event('storage'), { key, newValue }));
    say('k', 'v');
    say('other', 'w');
    say('k', null);
    stop();
    say('k', 'late');
    expect(heard).toEqual(['v', null]);
  });

  it('is its own where storage is forbidden', () => {
    storage.forbidden = true;
    const env = browserEnvironment();
    expect(env.remember('k')).toBeNull();
    env.keep('k', 'v');
    expect(env.remember('k')).toBe('v');
    env.forget('k');
    expect(env.remember('k')).toBeNull();
  });
});
