// A proof that one entry is in the log (C2SP `tlog-proof`), checked here: the entry's bytes are
// hashed up to the root, and the root is the one in a checkpoint that the log's key has signed.

import { HASH_BYTES, MAX_HASHES, decimal, fromBase64, leafHash, rootOf, same, type Bytes, type Step } from './merkle';
import { Untrusted, openCheckpoint, parseVkey, type SignedCheckpoint } from './note';

const HEADER = 'c2sp.org/tlog-proof@v1';
const MAX_PROOF = 256 * 1024;

export interface Proof {
  index: bigint;
  hashes: Bytes[];
  checkpoint: string;
}

export interface Checked {
  leaf: Bytes;
  steps: Step[];
  index: bigint;
  checkpoint: SignedCheckpoint;
}

export function parseProof(text: string): Proof {
  if (text.length > MAX_PROOF) throw new Untrusted('the proof is too large');
  const end = text.indexOf('\n\n');
  if (end < 0) throw new Untrusted('the proof has no checkpoint');
  const lines = text.slice(0, end).split('\n');
  if (lines.shift() !== HEADER) throw new Untrusted(`the proof does not begin with \`${HEADER}\``);
  if (lines[0]?.startsWith('extra ')) {
    if (!fromBase64(lines.shift()?.slice(6) ?? '')) throw new Untrusted('extra data of the proof is not base64');
  }
  const index = decimal(/^index (.*)$/.exec(lines.shift() ?? '')?.[1] ?? '');
  if (index === null) throw new Untrusted('the proof has no index');
  if (lines.length > MAX_HASHES) throw new Untrusted('the proof has too many hashes');
  const hashes = lines.map((line) => {
    const hash = fromBase64(line);
    if (hash?.length !== HASH_BYTES) throw new Untrusted('a hash of the proof is not one');
    return hash;
  });
  return { index, hashes, checkpoint: text.slice(end + 2) };
}

/** Throws [`Untrusted`] unless `entry` is in the log of `vkey` where the proof says. */
export async function checkProof(text: string, entry: Bytes, vkey: string): Promise<Checked> {
  const proof = parseProof(text);
  const checkpoint = await openCheckpoint(proof.checkpoint, await parseVkey(vkey));
  const leaf = await leafHash(entry);
  const found = await rootOf(leaf, proof.index, checkpoint.size, proof.hashes);
  if (!found || !same(found.root, checkpoint.root)) {
    throw new Untrusted(`the entry is not the one the log has at index ${proof.index}`);
  }
  return { leaf, steps: found.steps, index: proof.index, checkpoint };
}
