/** Conversations to bring in: a real one from a file, or a sample. */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';

export type ImportLine = { type: 'user' | 'room' | 'member' | 'message' } & Record<string, unknown>;

/** A message as the file has it. */
export interface Said {
  line: number;
  time: string;
  sender: string;
  text: string;
  replyTo?: number[];
}

export interface Conversation {
  room: string;
  said: Said[];
}

/** Of a large file, this many rooms are taken. */
const ROOMS_MAX = 4;

/**
 * The conversations of the file that `KLATCH_TEST_CONVERSATION` names (a JSON object a line:
 * `room`, `line`, `time`, `sender`, `text`, `replyTo`; plain or gzip), else the sample.
 */
export function conversations(): Conversation[] {
  const path = process.env.KLATCH_TEST_CONVERSATION;
  if (path === undefined || path === '') return [sample()];
  const raw = readFileSync(path);
  const text = (raw[0] === 0x1f ? gunzipSync(raw) : raw).toString('utf8');
  const rooms = new Map<string, Said[]>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const { room, ...said } = JSON.parse(line) as Said & { room: string };
    // What the server said of joins and renames is not a message.
    if (said.sender === undefined) continue;
    if (!rooms.has(room)) rooms.set(room, []);
    rooms.get(room)?.push(said);
  }
  const all = [...rooms].map(([room, said]) => ({ room, said }));
  // The longest are the hardest to scroll.
  return all.sort((a, b) => b.said.length - a.said.length).slice(0, ROOMS_MAX);
}

const WORDS = [
  'does anyone know why the printer is on fire?',
  'yes',
  'try `lpq -a` and tell us what it says',
  '```\nqueue is empty\nstatus: on fire\n```',
  'ich glaube, das liegt am Papier 🙂',
  'see https://example.org/fire?page=2&lang=en#top (second part)',
  '日本語でも大丈夫です',
  'a * b * c is not emphasis, and neither is snake_case_name',
  `one very long line ${'that goes on and on '.repeat(20)}`,
  '<b>not bold</b> & not &amp; markup',
];

/** Made up, but with what real talk has: odd names, code, other scripts, answers, bursts. */
function sample(): Conversation {
  const people = ['Ada', 'bob^away', '|Cleo|', 'Ναταλία', 'd_d'];
  const said: Said[] = [];
  let at = Date.UTC(2019, 11, 30, 22, 0, 0);
  for (let line = 0; line < 400; line += 1) {
    // Bursts within a minute, pauses of hours; over the turn of days and of a year.
    at += line % 7 === 0 ? 2_400_000 : line % 3;
    said.push({
      line,
      time: new Date(at).toISOString(),
      sender: people[(line * line) % people.length] ?? 'Ada',
      text: `${WORDS[line % WORDS.length]}\n(${line})`,
      ...(line % 9 === 8 ? { replyTo: [line - 1 - (line % 5)] } : {}),
    });
  }
  return { room: 'sample', said };
}

/** The conversation as lines of an import. */
export function importOf({ room, said }: Conversation): ImportLine[] {
  const people = [...new Set(said.map((message) => message.sender))];
  const lines: ImportLine[] = people.map((id) => ({ type: 'user', id, displayName: id }));
  lines.push({ type: 'room', id: room, roomType: 'channel', name: room, createdBy: people[0] });
  const known = new Set(said.map((message) => message.line));
  for (const { line, time, sender, text, replyTo } of said) {
    const parent = replyTo?.find((to) => known.has(to));
    const reply = parent === undefined ? {} : { replyTo: `${room}/${parent}` };
    const message = { id: `${room}/${line}`, room, sender, content: text, createdAt: time };
    lines.push({ type: 'message', ...message, ...reply });
  }
  return lines;
}

/** Brings lines in as the administrator whose page it is; every line must be taken. */
export async function importLines(admin: Page, lines: ImportLine[]): Promise<void> {
  const body = lines.map((line) => JSON.stringify(line)).join('\n');
  const { status, text } = await admin.evaluate(async (ndjson) => {
    const csrf = /klatch_csrf=([^;]+)/.exec(document.cookie)?.[1] ?? '';
    const answer = await fetch('/api/v1/admin/import', {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-ndjson', 'X-Klatch-CSRF': csrf },
      body: ndjson,
    });
    return { status: answer.status, text: await answer.text() };
  }, body);
  const summary = status === 200 ? (JSON.parse(text) as { errors?: unknown[] }) : null;
  if (summary === null || (summary.errors ?? []).length > 0) {
    throw new Error(`the import was answered ${status}: ${text.slice(0, 2_000)}`);
  }
}
