// Signed notes (C2SP `signed-note`) and checkpoints (C2SP `tlog-checkpoint`), checked with the
// browser's Ed25519. Bounds and spellings are those of crates/evidence.

import { HASH_BYTES, decimal, fromBase64, sha256, toHex, type Bytes } from './merkle';

const MAX_NOTE = 64 * 1024;
const MAX_SIGNATURES = 100;
/** Signature type of Ed25519. */
const ED25519 = 0x01;
const SIGNATURE_BYTES = 64;
const utf8 = new TextEncoder();

export interface Vkey {
  name: string;
  id: string;
  key: Bytes;
}

export interface Note {
  text: string;
  signatures: { name: string; id: string; signature: Bytes }[];
}

export interface SignedCheckpoint {
  origin: string;
  size: bigint;
  root: Bytes;
  signer: Vkey;
}

/** Why something is not believed; its message is for people. */
export class Untrusted extends Error {}

/** Reads `name+hex key id+base64(type || public key)`. */
export async function parseVkey(text: string): Promise<Vkey> {
  const parts = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text.trim());
  const [name, id] = [parts?.[1] ?? '', parts?.[2] ?? ''];
  const typed = fromBase64(parts?.[3] ?? '');
  if (!goodName(name) || !typed || typed.length !== 33 || typed[0] !== ED25519) {
    throw new Untrusted('the key of the log is malformed');
  }
  const expected = await sha256(utf8.encode(`${name}\n`), typed);
  if (toHex(expected.slice(0, 4)) !== id) throw new Untrusted('the key of the log does not have the id it names');
  return { name, id, key: typed.slice(1) };
}

export function parseNote(note: string): Note {
  if (note.length > MAX_NOTE) throw new Untrusted('the checkpoint is too large');
  // The text ends at the last blank line: it may hold blank lines itself.
  const end = note.lastIndexOf('\n\n');
  if (end < 0 || !note.endsWith('\n')) throw new Untrusted('the checkpoint has no signatures');
  const text = note.slice(0, end + 1);
  if (/[\u0000-\u0009\u000b-\u001f]/.test(text)) throw new Untrusted('the checkpoint has control characters');
  const lines = note.slice(end + 2, -1).split('\n');
  if (lines.length > MAX_SIGNATURES) throw new Untrusted('the checkpoint has too many signatures');
  const signatures = lines.map((line) => {
    const [, name, data] = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line) ?? [];
    const bytes = fromBase64(data ?? '');
    if (!name || !goodName(name) || !bytes || bytes.length < 5) {
      throw new Untrusted('a signature line of the checkpoint is malformed');
    }
    return { name, id: toHex(bytes.slice(0, 4)), signature: bytes.slice(4) };
  });
  return { text, signatures };
}

/** The checkpoint in a note that `vkey` has signed. */
export async function openCheckpoint(note: string, vkey: Vkey): Promise<SignedCheckpoint> {
  const parsed = parseNote(note);
  const line = parsed.signatures.find((found) => found.name === vkey.name && found.id === vkey.id);
  if (!line) throw new Untrusted(`the checkpoint is not signed by \`${vkey.name}\``);
  if (line.signature.length !== SIGNATURE_BYTES) throw new Untrusted('the signature is malformed');
  const key = await crypto.subtle.importKey('raw', vkey.key, 'Ed25519', false, ['verify']);
  const good = await crypto.subtle.verify('Ed25519', key, line.signature, utf8.encode(parsed.text));
  if (!good) throw new Untrusted(`the signature by \`${vkey.name}\` does not fit the checkpoint`);
  const [origin = '', size = '', root = ''] = parsed.text.split('\n');
  const [leaves, hash] = [decimal(size), fromBase64(root)];
  if (origin !== vkey.name || leaves === null || hash?.length !== HASH_BYTES) {
    throw new Untrusted('the checkpoint is malformed');
  }
  return { origin, size: leaves, root: hash, signer: vkey };
}

function goodName(name: string): boolean {
  return name.length > 0 && name.length <= 255 && !/[\s+\u0000-\u001f\u007f-\u009f]/u.test(name);
}
