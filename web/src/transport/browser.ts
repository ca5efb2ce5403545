/** Transport and environment made of the browser's own parts. */

import type { UserId } from '../protocol/types';
import { createApi } from './api';
import type { Environment, Socket, SocketEvents, Transport } from './index';
import { Owner } from './owner';

export function browserTransport(env: Environment): Transport {
  let slowed: (ms: number) => void = () => {};
  const csrf = () => cookie('klatch_csrf');
  const owner = new Owner(csrf);
  const api = createApi({
    slowed: (ms) => slowed(ms),
    fetch: (input, init) => window.fetch(input, init),
    csrf,
    owner,
    sleep: (ms) => new Promise((done) => env.after(ms, () => done())),
    now: env.now,
    exclusively,
    remember: env.remember,
    keep: env.keep,
  });
  const onSlowed = (listener: (ms: number) => void) => {
    slowed = listener;
  };
  const onAnother = (listener: (userId: UserId) => void) => {
    owner.onAnother = listener;
  };
  return { api, connect, onSlowed, onAnother };
}

export function browserEnvironment(): Environment {
  const memory = new Map<string, string>();
  return {
    now: () => Date.now(),
    restart: () => window.location.reload(),
    after: (ms, task) => {
      const timer = window.setTimeout(task, ms);
      return () => window.clearTimeout(timer);
    },
    random: () => Math.random(),
    uuid,
    onWake,
    onTouch,
    onLeave,
    remember: (key) => {
      // Other tabs may have written since this one could not.
      const stored = attempt(() => window.localStorage.getItem(key)) ?? null;
      if (stored !== null) memory.delete(key);
      return stored ?? memory.get(key) ?? null;
    },
    keep: (key, value) => {
      try {
        window.localStorage.setItem(key, value);
        memory.delete(key);
      } catch {
        // Storage may be full or forbidden; this page then remembers for itself, and what was
        // there before, which is true no more, is not found by anyone.
        memory.set(key, value);
        attempt(() => window.localStorage.removeItem(key));
      }
    },
    forget: (key) => {
      memory.delete(key);
      attempt(() => window.localStorage.removeItem(key));
    },
    onKept,
  };
}

function onKept(key: string, task: (value: string | null) => void): () => void {
  const heard = (event: StorageEvent) => {
    if (event.key === key) task(event.newValue);
  };
  window.addEventListener('storage', heard);
  return () => window.removeEventListener('storage', heard);
}

/** Does something with the storage; where that is forbidden, nothing. */
function attempt<T>(task: () => T): T | undefined {
  try {
    return task();
  } catch {
    return undefined;
  }
}

function connect(events: SocketEvents): Socket {
  const url = new URL('/ws', window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const socket = new WebSocket(url);
  let over = false;
  const end = (code: number, reason: string) => {
    if (over) return;
    over = true;
    events.onClose(code, reason);
  };
  socket.onmessage = (event) => {
    if (!over && typeof event.data === 'string') events.onText(event.data);
  };
  socket.onclose = (event) => end(event.code, event.reason);
  return {
    send: (text) => {
      if (over || socket.readyState !== WebSocket.OPEN) return false;
      socket.send(text);
      return true;
    },
    // A dead network would keep the close handshake waiting for minutes: report the end at once.
    close: () => {
      socket.close();
      end(1006, '');
    },
  };
}

function cookie(name: string): string | null {
  for (const part of document.cookie.split('; ')) {
    const [key, ...rest] = part.split('=');
    if (key === name) return decodeURIComponent(rest.join('='));
  }
  return null;
}

/** Web locks exist only on secure origins; without them each tab only takes care of itself. */
function exclusively<T>(task: () => Promise<T>): Promise<T> {
  const locks = (navigator as Partial<Navigator>).locks;
  return locks ? locks.request('klatch.refresh', task) : task();
}

/** A random UUID, also on origins (plain http in a local network) without `randomUUID`. */
function uuid(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function onWake(task: () => void): () => void {
  const onVisible = () => {
    if (document.visibilityState === 'visible') task();
  };
  window.addEventListener('online', task);
  document.addEventListener('visibilitychange', onVisible);
  return () => {
    window.removeEventListener('online', task);
    document.removeEventListener('visibilitychange', onVisible);
  };
}

function onLeave(task: () => void): () => void {
  // A phone may end a page that is not looked at without another word.
  const onHidden = () => {
    if (document.visibilityState === 'hidden') task();
  };
  window.addEventListener('pagehide', task);
  document.addEventListener('visibilitychange', onHidden);
  return () => {
    window.removeEventListener('pagehide', task);
    document.removeEventListener('visibilitychange', onHidden);
  };
}

const TOUCH_PAUSE_MS = 5_000;

function onTouch(task: () => void): () => void {
  let last = 0;
  const touched = () => {
    const now = Date.now();
    if (document.visibilityState !== 'visible' || now - last < TOUCH_PAUSE_MS) return;
    last = now;
    task();
  };
  const signs = ['pointermove', 'pointerdown', 'keydown', 'wheel', 'touchstart'] as const;
  const options = { passive: true, capture: true };
  for (const sign of signs) window.addEventListener(sign, touched, options);
  document.addEventListener('visibilitychange', touched);
  return () => {
    for (const sign of signs) window.removeEventListener(sign, touched, options);
    document.removeEventListener('visibilitychange', touched);
  };
}
