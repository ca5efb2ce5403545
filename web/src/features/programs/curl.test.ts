import { describe, expect, it } from 'vitest';
import { askLine, sayLine } from './curl';

const told = { origin: 'https://chat.example.org', token: 'kla_x' };

describe('a line for a terminal', () => {
  it('asks only for what the token may see', () => {
    const asks = (path: string) =>
      `curl -H 'Authorization: Bearer kla_x' 'https://chat.example.org/api/v1/${path}'`;
    expect(askLine(told, ['read', 'write', 'admin'])).toBe(asks('users/me'));
    expect(askLine(told, ['admin'])).toBe(asks('admin/users'));
    expect(askLine(told, ['write'])).toBeUndefined();
  });

  it('is one word of the shell for each part, whatever is said', () => {
    const line = sayLine(told, 'r/1', `it's "done" $(date)`);
    expect(line).toContain(` -d '{"content":"it'\\''s \\"done\\" $(date)"}' `);
    expect(line).toMatch(/ 'https:\/\/chat.example.org\/api\/v1\/rooms\/r%2F1\/messages'$/);
  });
});
