/**
 * What someone may do in a room and on the server. The server decides; this only keeps controls
 * away that it would refuse, by the roles it tells.
 */

import type { Scope } from './trust';
import type { MemberRole, Room } from './types';

const ROLES: readonly MemberRole[] = ['owner', 'admin', 'member'];

/** Roles that a member may be given, their own among them; none if it is not up to oneself. */
export function rolesFor(mine: MemberRole | undefined): readonly MemberRole[] {
  // An admin may only do this to those below, and there is but one role below.
  return mine === 'owner' ? ROLES : [];
}

export function mayRemove(mine: MemberRole | undefined, theirs: MemberRole): boolean {
  return mine === 'owner' || (mine === 'admin' && theirs === 'member');
}

/** Whether one may make links that lead into the room. */
export function mayInviteByLink(room: Room, serverRole: string | undefined): boolean {
  const runs = room.role === 'owner' || room.role === 'admin';
  const open = room.joined && !room.archived && room.type !== 'direct';
  return runs && open && serverRole !== 'guest';
}

/** Whether one may look for channels and make rooms; guests only go where they are brought. */
export function mayGoAbout(serverRole: string | undefined): boolean {
  return serverRole !== 'guest';
}

export function mayRunServer(serverRole: string | undefined): boolean {
  return serverRole === 'admin';
}

/** What a token in the name of someone of this role may be good for. */
export function scopesFor(serverRole: string | undefined): readonly Scope[] {
  return mayRunServer(serverRole) ? ['read', 'write', 'admin'] : ['read', 'write'];
}
