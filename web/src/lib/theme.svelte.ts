// Light, dark, or as the system has it; remembered on this device.

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'portcullis.theme';

function remembered(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    return 'system';
  }
}

export const theme = $state<{ chosen: Theme }>({ chosen: remembered() });

export function applyTheme(): void {
  if (theme.chosen === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.chosen;
}

export function choose(next: Theme): void {
  theme.chosen = next;
  try {
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  applyTheme();
}
