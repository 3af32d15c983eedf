// Text of other people, made harmless to the eye. Svelte writes it as text, never as markup; what
// is left is text that lies about itself: control characters, and marks that turn the direction of
// writing or show nothing at all.

// C0 and C1 controls but newline and tab; soft hyphen; Arabic letter mark; zero width and
// direction marks; line and paragraph separators; embeddings, overrides and isolates; invisible
// operators; byte order mark; interlinear marks; tags.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** The text with every unseen character spelled out, such as `‹U+202E›`. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (found) => {
    const code = found.codePointAt(0) ?? 0;
    return `‹U+${code.toString(16).toUpperCase().padStart(4, '0')}›`;
  });
}

/** At most so many characters, visibly cut. */
export function short(text: string, most: number): string {
  const characters = Array.from(text);
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`;
}

/** `req-0198…12f3` as people say it: the kind and the end, which differ between neighbours. */
export function shortId(id: string): string {
  const [kind, rest] = id.split('-', 2);
  return rest && rest.length > 10 ? `${kind}-…${rest.slice(-8)}` : id;
}

/** `1 session`, `2 sessions`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** `prod-web, prod-db and 3 more`. */
export function list(items: readonly string[], most = 4): string {
  if (items.length <= most) {
    return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
  }
  return `${items.slice(0, most).join(', ')} and ${items.length - most} more`;
}

/** Words for a name in the API, such as `agent_forward`. */
export function words(name: string): string {
  return name.replaceAll('_', ' ').replaceAll('.', ' · ');
}

/** A word for a POSIX shell. */
export function shell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
