// Where we are. The address bar is the only state: every page can be linked to and reloaded.

export const place = $state({ path: location.pathname, query: location.search });

export function go(href: string, replace = false): void {
  const url = new URL(href, location.href);
  if (url.origin !== location.origin) return;
  if (replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  place.path = url.pathname;
  place.query = url.search;
}

/** Changes parameters of the present address; an empty value removes one. */
export function ask(changes: Record<string, string>): void {
  const query = new URLSearchParams(place.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  go(place.path + (text ? `?${text}` : ''), true);
}

export function asked(name: string): string {
  return new URLSearchParams(place.query).get(name) ?? '';
}

/** Takes over clicks on links of ours and the browser's back and forward. */
export function listen(): () => void {
  const moved = () => {
    place.path = location.pathname;
    place.query = location.search;
  };
  const clicked = (event: MouseEvent) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href, location.href);
    if (url.origin !== location.origin || url.hash) return;
    event.preventDefault();
    go(url.href);
  };
  addEventListener('popstate', moved);
  document.addEventListener('click', clicked);
  return () => {
    removeEventListener('popstate', moved);
    document.removeEventListener('click', clicked);
  };
}
