/** Rooms and members: lists, opening, creating, joining, leaving. */

import { later } from '../protocol/position';
import { Problem } from '../protocol/problem';
import type { Member, MemberRole, NewRoom, Page, Room, RoomId, UserId } from '../protocol/types';
import type { Core } from './core';
import type { History } from './history';
import type { People } from './people';

const LIST_PAGE = 100;
/** Times that a page of members is read at most, should they change each time. */
const MEMBER_READS = 3;

export class Rooms {
  readonly #core: Core;
  readonly #history: History;
  readonly #people: People;
  readonly #position: () => string | undefined;
  readonly #fetching = new Set<RoomId>();
  /** How often members changed. */
  readonly #memberChanges = new Map<RoomId, number>();

  constructor(core: Core, history: History, people: People, position: () => string | undefined) {
    this.#core = core;
    this.#history = history;
    this.#people = people;
    this.#position = position;
  }

  /** Reads the joined rooms from the beginning. */
  async load(): Promise<void> {
    if (this.#core.state.roomList.status !== 'ready') {
      this.#core.store.dispatch({ type: 'rooms/loading' });
    }
    await this.#page(undefined);
  }

  async loadMore(): Promise<void> {
    const { nextCursor, status } = this.#core.state.roomList;
    if (nextCursor === null || status === 'loading') return;
    this.#core.store.dispatch({ type: 'rooms/loading' });
    await this.#page(nextCursor);
  }

  async #page(cursor: string | undefined): Promise<void> {
    const remembered = Object.keys(this.#core.state.read).length > 0;
    try {
      const position = this.#position();
      const query = { scope: 'joined' as const, limit: LIST_PAGE, cursor, position };
      const { items, nextCursor } = await this.#core.api.rooms(query);
      const page = { rooms: items, nextCursor: nextCursor ?? null };
      const replace = cursor === undefined;
      this.#core.store.dispatch({ type: 'rooms/loaded', ...page, replace, remembered });
      for (const room of items) this.#nameless(room);
    } catch (error) {
      this.#core.words(error);
      this.#core.store.dispatch({ type: 'rooms/failed' });
    }
  }

  /** Public channels, joined or not; a page for a list that is not kept. */
  browse(cursor?: string): Promise<Page<Room>> {
    return this.#core.api.rooms({ scope: 'public', limit: LIST_PAGE, cursor });
  }

  /** Shows a room: its data, history and members are read if they are not there. */
  async open(roomId: RoomId): Promise<void> {
    this.#core.store.dispatch({ type: 'room/opened', roomId });
    const room = this.#core.state.rooms[roomId];
    const timeline = this.#core.state.timelines[roomId];
    if (!room) await this.refresh(roomId);
    if (!this.#core.state.members[roomId]) void this.loadMembers(roomId);
    if (timeline?.status !== 'ready') await this.#history.load(roomId);
    // Rooms one only looks at get no events; of others a hint may have come instead of some.
    else if (room && (!room.joined || room.headSeq > timeline.headSeen)) {
      await this.#history.reconcile(roomId);
    }
  }

  close(): void {
    this.#core.store.dispatch({ type: 'room/opened', roomId: null });
  }

  /** Reads one room again; one that is gone is forgotten. */
  async refresh(roomId: RoomId, fresh = false): Promise<void> {
    if (this.#fetching.has(roomId)) return;
    this.#fetching.add(roomId);
    try {
      const position = this.#core.state.roomPositions[roomId] ?? this.#position();
      const room = await this.#core.api.room(roomId, position);
      this.#core.store.dispatch({ type: 'room/known', room, fresh });
      this.#nameless(room);
    } catch (error) {
      this.#core.words(error);
      const gone = error instanceof Problem && error.status === 404;
      if (gone && this.#core.state.openRoom === roomId) {
        const words = this.#core.words(error);
        this.#core.store.dispatch({ type: 'history/failed', roomId, older: false, error: words });
      }
    } finally {
      this.#fetching.delete(roomId);
    }
  }

  /** Creates a room (or finds the direct one that exists) and answers its id. */
  async create(input: NewRoom): Promise<RoomId> {
    const { position, ...room } = await this.#core.api.createRoom(input);
    this.#core.store.dispatch({ type: 'room/known', room: { ...room, joined: true }, position });
    this.#nameless(room);
    return room.roomId;
  }

  async join(roomId: RoomId): Promise<void> {
    const { position } = await this.#core.api.join(roomId);
    await this.enter(roomId, position);
  }

  /** Learns of a room one has just come into. */
  async enter(roomId: RoomId, position?: string): Promise<void> {
    const room = await this.#core.api.room(roomId, position);
    this.#core.store.dispatch({ type: 'room/known', room, position });
    void this.loadMembers(roomId);
    if (this.#core.state.timelines[roomId]) await this.#history.reconcile(roomId);
  }

  async leave(roomId: RoomId): Promise<void> {
    await this.#core.api.leave(roomId);
    const room = this.#core.state.rooms[roomId];
    if (room) this.#core.store.dispatch({ type: 'room/known', room: { ...room, joined: false } });
  }

  async invite(roomId: RoomId, userId: UserId): Promise<void> {
    await this.#core.api.addMember(roomId, userId);
  }

  async changeRole(roomId: RoomId, userId: UserId, role: MemberRole): Promise<void> {
    await this.#core.api.changeRole(roomId, userId, role);
  }

  async removeMember(roomId: RoomId, userId: UserId): Promise<void> {
    await this.#core.api.removeMember(roomId, userId);
  }

  async loadMembers(roomId: RoomId): Promise<void> {
    const known = this.#core.state.members[roomId];
    const cursor = known?.status === 'ready' ? (known.nextCursor ?? undefined) : undefined;
    this.#core.store.dispatch({ type: 'members/loading', roomId });
    try {
      const { items, nextCursor } = await this.#readMembers(roomId, cursor);
      const page = { members: items, nextCursor: nextCursor ?? null };
      const append = cursor !== undefined;
      this.#core.store.dispatch({ type: 'members/loaded', roomId, ...page, append });
    } catch (error) {
      this.#core.words(error);
      this.#core.store.dispatch({ type: 'members/failed', roomId });
    }
  }

  /** Reads a page of members; again, if they changed while it was on its way. */
  async #readMembers(roomId: RoomId, cursor: string | undefined): Promise<Page<Member>> {
    for (let left = MEMBER_READS; ; left -= 1) {
      const before = this.#memberChanges.get(roomId);
      // Whatever event led here is in it.
      const position = this.#core.state.roomPositions[roomId] ?? this.#position();
      const page = await this.#core.api.members(roomId, cursor, position);
      if (this.#memberChanges.get(roomId) === before || left <= 1) return page;
    }
  }

  /** Someone came into a room whose members are shown, left it, or has another role there. */
  membersChanged(roomId: RoomId): void {
    this.#memberChanges.set(roomId, (this.#memberChanges.get(roomId) ?? 0) + 1);
  }

  /** Someone new came into a room whose members are shown. */
  async learnMember(roomId: RoomId, userId: UserId): Promise<void> {
    if (this.#core.state.users[userId]) return;
    this.#people.need([userId]);
    if (this.#core.state.members[roomId]?.nextCursor === null) await this.loadMembers(roomId);
  }

  /** Moves the read pointer to the room's newest message. */
  markRead(roomId: RoomId): void {
    const room = this.#core.state.rooms[roomId];
    if (!room) return;
    this.#core.store.dispatch({ type: 'room/read', roomId, ordinal: room.lastOrdinal });
  }

  /** Notes where a room stands in the log, so that the next reading of it is not older. */
  heard(roomId: RoomId, position: string): void {
    const room = this.#core.state.rooms[roomId];
    if (!room) return;
    const newest = later(this.#core.state.roomPositions[roomId], position);
    this.#core.store.dispatch({ type: 'room/known', room, position: newest });
  }

  /** Rooms without a name are called after their people. */
  #nameless(room: Room): void {
    if (!room.name && !this.#core.state.members[room.roomId]) void this.loadMembers(room.roomId);
  }
}
