/** A client in a scripted browser, new for each test of the file that asks for it. */

import { beforeEach } from 'vitest';
import type { RoomId } from '../../protocol/types';
import { Client } from '../client';
import type { State } from '../model';
import { ME, message, room, ScriptedClock, ScriptedTransport, settle } from './scripted';

export class Stage {
  clock = new ScriptedClock();
  server = new ScriptedTransport();
  client = new Client(this.server, this.clock);

  get state(): State {
    return this.client.store.get();
  }

  /** The seqs of the messages that are shown of a room. */
  seqs(roomId: RoomId): number[] | undefined {
    return this.state.timelines[roomId]?.items.map((m) => m.seq);
  }

  /** A room `r` on the server, of so many messages; the newest is one's own if `mine`. */
  furnish(count: number, mine = false): void {
    const sender = (seq: number) => (mine && seq === count ? { senderId: ME.userId } : {});
    this.server.rooms = [room('r', { headSeq: count, lastOrdinal: count })];
    for (let seq = 1; seq <= count; seq += 1) {
      this.server.add('r', message('r', seq, sender(seq)));
    }
  }

  /** Signed in, live, with room `r` open and loaded. */
  async open(): Promise<void> {
    await this.client.session.restore();
    this.server.socket.hello();
    await settle();
    await this.client.rooms.open('r');
    await settle();
  }

  /** Another tab of the same browser, signed in. */
  async tab(): Promise<Client> {
    const client = new Client(this.server, this.clock);
    await client.session.restore();
    await settle();
    return client;
  }

  /** The page is loaded anew. */
  async reload(): Promise<void> {
    this.clock.leave();
    this.client = await this.tab();
  }

  /** The connection breaks and the next attempt is made. */
  async reconnect(): Promise<void> {
    const before = this.server.sockets.length;
    this.server.socket.end(1006);
    while (this.server.sockets.length === before) await this.clock.advance(100);
  }

  again(): void {
    this.clock = new ScriptedClock();
    this.server = new ScriptedTransport();
    this.client = new Client(this.server, this.clock);
  }
}

/** Set up anew before each test of the file that calls it; `prepare` comes right after. */
export function stage(prepare: (stage: Stage) => Promise<void> | void = () => {}): Stage {
  const made = new Stage();
  beforeEach(async () => {
    made.again();
    await prepare(made);
  });
  return made;
}
