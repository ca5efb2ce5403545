/** Who is there and who types. */

import type { RoomId, UserId } from '../protocol/types';
import type { OfType } from './actions';
import type { State } from './model';

type PeopleAction = OfType<'presence/told' | 'presence/forgotten' | 'typing/told'>;

export function reducePeople(state: State, action: PeopleAction): State {
  switch (action.type) {
    case 'presence/told': {
      const { presence } = action;
      return { ...state, presence: { ...state.presence, [presence.userId]: presence } };
    }
    case 'presence/forgotten': {
      const gone = new Set(action.users);
      const kept = Object.entries(state.presence).filter(([userId]) => !gone.has(userId));
      return { ...state, presence: Object.fromEntries(kept) };
    }
    case 'typing/told':
      return withTyping(state, action.roomId, action.userId, action.isTyping);
  }
}

/** The same state if nothing changes: who goes on typing is not drawn anew. */
export function withTyping(state: State, roomId: RoomId, userId: UserId, isTyping: boolean): State {
  const before = state.typing[roomId] ?? [];
  if (before.includes(userId) === isTyping || userId === state.me?.userId) return state;
  const others = before.filter((other) => other !== userId);
  const { [roomId]: _old, ...rooms } = state.typing;
  const now = isTyping ? [...others, userId] : others;
  return { ...state, typing: now.length > 0 ? { ...rooms, [roomId]: now } : rooms };
}
