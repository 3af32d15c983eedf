// What this browser has seen of the log: its key, and how long it was. A key that changes or a log
// that shrinks is worth a question; nothing here is a secret.

const KEY = 'portcullis.log';

export interface Known {
  changed: boolean;
  shrunk: boolean;
  before: string;
}

export function known(vkey: string, size: bigint, kept: Pick<Storage, 'getItem' | 'setItem'> = localStorage): Known {
  let before: { vkey?: string; size?: string } = {};
  try {
    before = JSON.parse(kept.getItem(KEY) ?? '{}') as typeof before;
  } catch {
    // Unreadable is as good as unseen.
  }
  const longest = /^\d{1,19}$/.test(before.size ?? '') ? BigInt(before.size ?? '0') : 0n;
  const changed = before.vkey !== undefined && before.vkey !== vkey;
  const shrunk = !changed && size < longest;
  if (!changed && !shrunk) {
    try {
      kept.setItem(KEY, JSON.stringify({ vkey, size: String(size) }));
    } catch {
      // Without storage nothing is remembered.
    }
  }
  return { changed, shrunk, before: before.vkey ?? '' };
}
