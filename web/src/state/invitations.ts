/** Links that bring people in. */

import { Problem } from '../protocol/problem';
import type { Invitation, InvitationPreview, NewInvitation } from '../protocol/trust';
import type { Page, RoomId } from '../protocol/types';
import type { Core } from './core';
import type { People } from './people';
import type { Rooms } from './rooms';

export class Invitations {
  readonly #core: Core;
  readonly #people: People;
  readonly #rooms: Rooms;

  constructor(core: Core, people: People, rooms: Rooms) {
    this.#core = core;
    this.#people = people;
    this.#rooms = rooms;
  }

  /** Those to a room, or all, newest first. */
  async list(roomId: RoomId | undefined, cursor?: string): Promise<Page<Invitation>> {
    const page = await this.#core.api.invitations(roomId, cursor);
    this.#people.need(page.items.map((i) => i.createdBy));
    return page;
  }

  /** The answer is the only one that has the token. */
  make(invitation: NewInvitation): Promise<Invitation> {
    return this.#core.api.invite(invitation);
  }

  takeBack(invitationId: string): Promise<void> {
    return this.#core.api.revokeInvitation(invitationId);
  }

  look(token: string): Promise<InvitationPreview> {
    return this.#core.api.lookAtInvitation(token);
  }

  /** Comes in by a link, and answers the room; null if it leads to none. */
  async accept(token: string): Promise<RoomId | null> {
    const roomId = await this.#leadsTo(token);
    if (roomId !== undefined && this.#core.state.rooms[roomId]?.joined) return roomId;
    try {
      const entered = await this.#core.api.acceptInvitation(token);
      await this.#rooms.enter(entered.roomId, entered.position);
      return entered.roomId;
    } catch (error) {
      const there = error instanceof Problem && error.code === 'already_member';
      if (!there) throw error;
      if (roomId !== undefined) await this.#rooms.enter(roomId);
      return roomId ?? null;
    }
  }

  async #leadsTo(token: string): Promise<RoomId | undefined> {
    try {
      return (await this.#core.api.lookAtInvitation(token)).roomId;
    } catch (error) {
      // By the asker, it may be, who is not in yet: `accept` knows.
      if (error instanceof Problem && error.code === 'invitation_used_up') return undefined;
      throw error;
    }
  }
}
