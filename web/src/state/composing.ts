/** What is being written: drafts, replies, and editing old messages. */

import type { MessageId, RoomId } from '../protocol/types';
import type { Core } from './core';
import { type Draft, EMPTY_DRAFT, type Entry } from './model';
import type { Sending } from './sending';
import type { Typing } from './typing';

export class Composing {
  readonly #core: Core;
  readonly #sending: Sending;
  readonly #typing: Typing;

  constructor(core: Core, sending: Sending, typing: Typing) {
    this.#core = core;
    this.#sending = sending;
    this.#typing = typing;
  }

  write(roomId: RoomId, text: string): void {
    const draft = this.#draft(roomId);
    // Who mends an old message says nothing new.
    if (draft.mode.kind !== 'edit') this.#typing.write(roomId, text);
    this.#set(roomId, { ...draft, text });
  }

  reply(roomId: RoomId, messageId: MessageId): void {
    const { mode, text, aside } = this.#draft(roomId);
    const kept = mode.kind === 'edit' ? (aside ?? '') : text;
    this.#set(roomId, { text: kept, mode: { kind: 'reply', messageId } });
  }

  /** Puts an own message's text up for editing; what was being written waits. */
  edit(roomId: RoomId, messageId: MessageId): void {
    const entry = this.#own(roomId).find((m) => m.messageId === messageId);
    if (!entry) return;
    const { mode, text, aside } = this.#draft(roomId);
    const waiting = mode.kind === 'edit' ? (aside ?? '') : text;
    const change = this.#core.state.changes[messageId];
    const now = change?.kind === 'edit' ? change.content : entry.content;
    this.#set(roomId, { text: now, mode: { kind: 'edit', messageId }, aside: waiting });
  }

  /** Edits the newest own message among those loaded; false if there is none. */
  editLast(roomId: RoomId): boolean {
    const last = this.#own(roomId).at(-1);
    if (last) this.edit(roomId, last.messageId);
    return last !== undefined;
  }

  cancel(roomId: RoomId): void {
    const { mode, text, aside } = this.#draft(roomId);
    this.#set(roomId, { text: mode.kind === 'edit' ? (aside ?? '') : text, mode: { kind: 'new' } });
  }

  /** Sends what is written, or saves the edit. */
  submit(roomId: RoomId): void {
    const { text, mode, aside } = this.#draft(roomId);
    const content = text.replace(/^\n+/, '').trimEnd();
    if (content.trim() === '') return;
    this.#set(roomId, { text: mode.kind === 'edit' ? (aside ?? '') : '', mode: { kind: 'new' } });
    if (mode.kind === 'edit') {
      void this.#mend(roomId, mode.messageId, content);
    } else {
      this.#typing.sent();
      this.#sending.send(roomId, content, mode.kind === 'reply' ? mode.messageId : null);
    }
  }

  /** Whether the message may still be edited the server says: it need not be loaded here. */
  async #mend(roomId: RoomId, messageId: MessageId, content: string): Promise<void> {
    const entry = this.#own(roomId).find((m) => m.messageId === messageId);
    if (entry?.content === content) return;
    const outcome = await this.#sending.edit(roomId, messageId, content);
    const { text, mode } = this.#draft(roomId);
    const busy = mode.kind !== 'new' || text.trim() !== '';
    // The words are not lost, unless that would be in the way of others.
    if (outcome !== 'later' || busy || this.#core.state.me === null) return;
    this.#set(roomId, { text: content, mode: { kind: 'edit', messageId } });
  }

  #draft(roomId: RoomId): Draft {
    return this.#core.state.drafts[roomId] ?? EMPTY_DRAFT;
  }

  #own(roomId: RoomId): readonly Entry[] {
    const { me, timelines, changes } = this.#core.state;
    const items = timelines[roomId]?.items ?? [];
    const gone = (m: Entry) => m.deletedAt !== null || changes[m.messageId]?.kind === 'delete';
    return items.filter((m) => m.senderId === me?.userId && !gone(m));
  }

  #set(roomId: RoomId, draft: Draft): void {
    this.#core.store.dispatch({ type: 'draft/changed', roomId, draft });
  }
}
