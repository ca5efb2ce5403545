/** Puts the parts of the state together: what each event of one means for the others. */

import type { Hello, RoomTimelineEvent, ServerFrame } from '../protocol/frames';
import type { RoomId } from '../protocol/types';
import type { Environment, Transport } from '../transport';
import { Account } from './account';
import { Administration } from './administration';
import { Composing } from './composing';
import { Core } from './core';
import { History } from './history';
import { Invitations } from './invitations';
import { Live } from './live';
import type { Link } from './model';
import { People } from './people';
import { Presence } from './presence';
import { Programs } from './programs';
import { Rooms } from './rooms';
import { Sending } from './sending';
import { ENDED, Session } from './session';
import { Store } from './store';
import { Typing } from './typing';
import { Unsent } from './unsent';

/** How long what was sent before a break may take until history is read again. */
const FLUSH_LIMIT_MS = 4_000;
const HINT_DELAY_MS = 1_000;
const SAVE_DELAY_MS = 1_000;

export class Client {
  readonly store: Store;
  readonly people: People;
  readonly history: History;
  readonly rooms: Rooms;
  readonly sending: Sending;
  readonly composing: Composing;
  readonly presence: Presence;
  readonly typing: Typing;
  readonly session: Session;
  readonly account: Account;
  readonly invitations: Invitations;
  readonly administration: Administration;
  readonly programs: Programs;
  readonly core: Core;
  readonly #live: Live;
  readonly #later = new Map<string, () => void>();
  /** Rooms whose last word was a hint. */
  readonly #hinted = new Set<RoomId>();
  /** The connection was live since this person came. */
  #entered = false;

  constructor(transport: Transport, env: Environment) {
    this.store = new Store(env.after);
    this.core = new Core(this.store, transport.api, env);
    const position = () => this.#live.position;
    this.#live = new Live(transport, env, {
      onLink: (link) => this.#onLink(link),
      onHello: (hello) => this.#onHello(hello),
      onFrame: (frame) => this.#onFrame(frame),
      onLive: (complete, behind) => void this.#onLive(complete, behind),
      onSignedOut: () => this.session.end(ENDED),
    });
    this.people = new People(this.core);
    this.history = new History(this.core, this.people, position);
    this.rooms = new Rooms(this.core, this.history, this.people, position);
    this.sending = new Sending(this.core, this.#live);
    this.presence = new Presence(this.core, this.#live);
    this.typing = new Typing(this.core, this.#live);
    this.composing = new Composing(this.core, this.sending, this.typing);
    this.session = new Session(this.core, new Unsent(this.core), {
      onSignedIn: () => this.#live.start(),
      onSignedOut: () => this.#onSignedOut(),
    });
    this.account = new Account(this.core, this.session);
    this.invitations = new Invitations(this.core, this.people, this.rooms);
    this.administration = new Administration(this.core, this.people);
    this.programs = new Programs(this.core, this.people, this.rooms);
    transport.onSlowed((ms) => this.core.slowed(ms));
    transport.onAnother((userId) => this.session.yieldTo(userId));
    env.onTouch(() => this.presence.touch());
    this.#saveReadPointers();
  }

  #onSignedOut(): void {
    this.#live.stop();
    this.#entered = false;
    this.people.forget();
    this.#hinted.clear();
    this.presence.forget();
    this.typing.forget();
    this.sending.forget();
    for (const cancel of this.#later.values()) cancel();
    this.#later.clear();
  }

  #onHello({ userId, limits }: Hello): boolean {
    // Nothing of this person may go out by a connection that is another one's.
    if (this.session.yieldTo(userId)) return false;
    this.store.dispatch({ type: 'link/hello', limits });
    return true;
  }

  #onLink(link: Link): void {
    this.store.dispatch({ type: 'link/changed', link });
    if (link.phase !== 'waiting') return;
    // A short break is not worth a change of the page.
    if (link.attempt > 1) this.presence.lost();
    // Without a live connection the lists are still worth showing.
    if (this.store.get().roomList.status === 'loading') void this.rooms.load();
  }

  async #onLive(complete: boolean, behind: readonly RoomId[]): Promise<void> {
    this.presence.onLive();
    // Who has just come was told a moment ago who they are.
    if (this.#entered || !this.session.lookedJustNow) void this.session.lookAgain();
    this.#entered = true;
    const flushed = this.sending.flush();
    if (complete) {
      this.#reread(behind);
      for (const roomId of Object.keys(this.store.get().timelines)) this.#mend(roomId);
      // A room whose last word was a hint may have gone on without another one.
      const position = this.#live.position;
      for (const roomId of this.#hinted) {
        if (position !== undefined) this.rooms.heard(roomId, position);
        this.#mendHinted(roomId, true);
      }
      return;
    }
    this.#hinted.clear();
    // What we sent ourselves is confirmed first, so that it is not shown beside its copy.
    await Promise.race([flushed, this.core.sleep(FLUSH_LIMIT_MS)]);
    await this.rooms.load();
    const { openRoom } = this.store.get();
    this.store.dispatch({ type: 'history/forgotten', except: openRoom });
    if (openRoom === null) return;
    if (!this.store.get().rooms[openRoom]?.joined) await this.rooms.refresh(openRoom);
    void this.rooms.loadMembers(openRoom);
    await this.history.reconcile(openRoom);
  }

  /** Much happened in these rooms: what is known of them may be old, older messages included. */
  #reread(roomIds: readonly RoomId[]): void {
    const { openRoom } = this.store.get();
    const closed = roomIds.filter((roomId) => roomId !== openRoom);
    if (closed.length > 0) this.store.dispatch({ type: 'history/dropped', roomIds: closed });
    for (const roomId of roomIds) void this.rooms.refresh(roomId);
    if (openRoom !== null && roomIds.includes(openRoom)) void this.history.reconcile(openRoom);
  }

  #onFrame(frame: ServerFrame): void {
    if (frame.type === 'room-hint') {
      this.#hinted.add(frame.roomId);
      this.store.dispatchSoon({ type: 'hint', hint: frame });
      return this.#soon(`hint ${frame.roomId}`, HINT_DELAY_MS, () =>
        this.#mendHinted(frame.roomId),
      );
    }
    if (frame.type === 'presence') return this.presence.hear(frame.presence);
    if (frame.type === 'typing') {
      this.people.need([frame.userId]);
      return this.typing.hear(frame);
    }
    if (!('seq' in frame)) return;
    this.#hinted.delete(frame.roomId);
    this.store.dispatchSoon({ type: 'event', event: frame });
    this.#learnFrom(frame);
    if (this.#live.isLive) this.#mend(frame.roomId);
  }

  #learnFrom(event: RoomTimelineEvent): void {
    const { rooms, me, members } = this.store.get();
    if (event.type === 'message') this.people.need([event.senderId]);
    const mine = event.type === 'member' && event.userId === me?.userId;
    const away = event.type === 'member' && (event.change === 'left' || event.change === 'removed');
    const known = rooms[event.roomId];
    if (!known && !(mine && away)) void this.rooms.refresh(event.roomId, true);
    else if (mine && known) void this.rooms.refresh(event.roomId);
    if (event.type === 'member' && members[event.roomId]) this.rooms.membersChanged(event.roomId);
    if (event.type === 'member' && !away && members[event.roomId]) {
      void this.rooms.learnMember(event.roomId, event.userId);
    }
  }

  /** Fetches what is missing in a room where events jumped. */
  #mend(roomId: RoomId): void {
    const timeline = this.store.get().timelines[roomId];
    const broken = timeline?.status === 'ready' && timeline.ahead.length > 0;
    if (broken) void this.history.reconcile(roomId);
  }

  /** Fetches what a hint told of. `again`: it may have gone on since, untold. */
  #mendHinted(roomId: RoomId, again = false): void {
    const { rooms, openRoom, timelines } = this.store.get();
    const behind = (rooms[roomId]?.headSeq ?? 0) > (timelines[roomId]?.headSeen ?? 0);
    if (openRoom === roomId && (behind || again)) void this.history.reconcile(roomId);
    void this.rooms.refresh(roomId);
  }

  #saveReadPointers(): void {
    let saved = this.store.get().read;
    this.store.subscribe(() => {
      const { read } = this.store.get();
      if (read === saved) return;
      saved = read;
      this.#soon('read', SAVE_DELAY_MS, () => this.session.saveRead());
    });
  }

  #soon(key: string, ms: number, task: () => void): void {
    if (this.#later.has(key)) return;
    const cancel = this.core.env.after(ms, () => {
      this.#later.delete(key);
      task();
    });
    this.#later.set(key, cancel);
  }
}
