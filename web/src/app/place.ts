/** What the place is called that someone is at. */

import type { State } from '../state/model';
import { nameOf, titleOf } from '../state/selectors';
import { placeName, type Route } from './route';

/** Empty where there is no name for it, and for those who are not let in. */
export function placeOf(state: State, route: Route): string {
  if (state.session !== 'signed-in') return '';
  const room = route.page === 'room' ? state.rooms[route.roomId] : undefined;
  if (room) return titleOf(state, room);
  const bot =
    route.page === 'admin' && route.bot !== undefined ? state.users[route.bot] : undefined;
  return (bot && nameOf(bot)) || placeName(route);
}
