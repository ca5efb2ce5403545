/** Light, dark, or as the system says. The style sheet does the rest by `color-scheme`. */

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'klatch.theme';
const ORDER: readonly Theme[] = ['system', 'light', 'dark'];

export function readTheme(remember: (key: string) => string | null): Theme {
  return ORDER.find((theme) => theme === remember(KEY)) ?? 'system';
}

export function nextTheme(theme: Theme): Theme {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? 'system';
}

/** Puts the theme on the page. */
export function applyTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function setTheme(theme: Theme, keep: (key: string, value: string) => void): void {
  keep(KEY, theme);
  applyTheme(theme);
}
