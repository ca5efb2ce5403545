/** Times in the reader's own language and zone. */

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const SHORT_WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'short' });
const DATE = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const DATE_YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: 'long' });
const SHORT_DATE = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const SHORT_DATE_YEAR = new Intl.DateTimeFormat(undefined, { month: 'short', year: 'numeric' });
const MOMENT = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  hour: 'numeric',
  minute: '2-digit',
});
const MOMENT_YEAR = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

const DAY_MS = 86_400_000;

/** Days from `then` to `now`, counted by midnights. */
function daysBetween(then: Date, now: Date): number {
  const midnight = (d: Date) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
  return Math.round((midnight(now) - midnight(then)) / DAY_MS);
}

/** The same for all moments of one local day. */
export function dayKey(iso: string): string {
  const d = new Date(iso);
  return `${d.getFullYear()}-${d.getMonth() + 1}-${d.getDate()}`;
}

export function clockTime(iso: string): string {
  return CLOCK.format(new Date(iso));
}

/** The time of a message; with its day unless that is today. */
export function momentLabel(iso: string, nowMs: number): string {
  const [then, now] = [new Date(iso), new Date(nowMs)];
  if (daysBetween(then, now) === 0) return CLOCK.format(then);
  return (then.getFullYear() === now.getFullYear() ? MOMENT : MOMENT_YEAR).format(then);
}

export function fullTime(iso: string): string {
  return FULL.format(new Date(iso));
}

/** The name of a day, as a heading. */
export function dayLabel(iso: string, nowMs: number): string {
  const [then, now] = [new Date(iso), new Date(nowMs)];
  const days = daysBetween(then, now);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days > 1 && days < 7) return WEEKDAY.format(then);
  return then.getFullYear() === now.getFullYear() ? DATE.format(then) : DATE_YEAR.format(then);
}

/** A time as short as a list needs it. */
export function shortTime(iso: string, nowMs: number): string {
  const [then, now] = [new Date(iso), new Date(nowMs)];
  const days = daysBetween(then, now);
  if (days <= 0) return CLOCK.format(then);
  if (days < 7) return SHORT_WEEKDAY.format(then);
  const thisYear = then.getFullYear() === now.getFullYear();
  return (thisYear ? SHORT_DATE : SHORT_DATE_YEAR).format(then);
}
