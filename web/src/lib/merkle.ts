// The Merkle tree of RFC 6962, as far as a proof of one entry needs it. Pure but for SHA-256, which
// is the browser's.

export type Bytes = Uint8Array<ArrayBuffer>;

export const HASH_BYTES = 32;
/** Hashes from a leaf to the root of the largest tree. */
export const MAX_HASHES = 63;

export async function sha256(...parts: Uint8Array[]): Promise<Bytes> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
}

/** RFC 6962 section 2.1: leaves begin with 0x00, so that no node can pass for one. */
export const leafHash = (entry: Uint8Array): Promise<Bytes> => sha256(Uint8Array.of(0), entry);

/** RFC 6962 section 2.1: nodes begin with 0x01. */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Promise<Bytes> =>
  sha256(Uint8Array.of(1), left, right);

export interface Step {
  side: 'left' | 'right';
  sibling: Bytes;
  result: Bytes;
}

/**
 * The root that a leaf, its index and the hashes beside its path come to in a tree of `size` leaves
 * (RFC 9162 section 2.1.3.2); null where the number of hashes does not fit.
 */
export async function rootOf(
  leaf: Bytes, index: bigint, size: bigint, hashes: readonly Bytes[],
): Promise<{ root: Bytes; steps: Step[] } | null> {
  if (index < 0n || index >= size || hashes.length > MAX_HASHES) return null;
  let node = index;
  let last = size - 1n;
  let hash = leaf;
  const steps: Step[] = [];
  for (const sibling of hashes) {
    if (last === 0n) return null;
    if ((node & 1n) === 1n || node === last) {
      hash = await nodeHash(sibling, hash);
      steps.push({ side: 'left', sibling, result: hash });
      while ((node & 1n) === 0n && node !== 0n) {
        node >>= 1n;
        last >>= 1n;
      }
    } else {
      hash = await nodeHash(hash, sibling);
      steps.push({ side: 'right', sibling, result: hash });
    }
    node >>= 1n;
    last >>= 1n;
  }
  return last === 0n ? { root: hash, steps } : null;
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** Standard base64 with its padding, in its one canonical spelling; null for anything else. */
export function fromBase64(text: string): Bytes | null {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null;
  try {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    return toBase64(bytes) === text ? bytes : null;
  } catch {
    return null;
  }
}

export function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** A number without sign or leading zeroes, below 2^63; null for anything else. */
export function decimal(text: string): bigint | null {
  if (!/^(0|[1-9]\d{0,18})$/.test(text)) return null;
  const value = BigInt(text);
  return value < 1n << 63n ? value : null;
}
