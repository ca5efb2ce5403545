/** Lines for a terminal that show what a token is good for. */

import type { Scope } from '../../protocol/trust';
import type { RoomId } from '../../protocol/types';

/** Where the server is and what it was told. */
export interface Told {
  origin: string;
  token: string;
}

/** Reads who the token acts as, or what it may look at instead; nothing if it may not read. */
export function askLine(told: Told, scopes: readonly Scope[]): string | undefined {
  if (scopes.includes('read')) return line(told, 'users/me');
  return scopes.includes('admin') ? line(told, 'admin/users') : undefined;
}

/** Says something in a room. */
export function sayLine(told: Told, roomId: RoomId, content: string): string {
  const body = ['-H', quoted('Content-Type: application/json'), '-d'];
  return line(told, `rooms/${encodeURIComponent(roomId)}/messages`, [
    ...body,
    quoted(JSON.stringify({ content })),
  ]);
}

function line({ origin, token }: Told, path: string, more: readonly string[] = []): string {
  const who = ['-H', quoted(`Authorization: Bearer ${token}`)];
  return ['curl', ...who, ...more, quoted(`${origin}/api/v1/${path}`)].join(' ');
}

/** As one word of a shell, whatever is in it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
