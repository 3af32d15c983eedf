import { describe, expect, it } from 'vitest';
import { fromBase64, leafHash, nodeHash, rootOf, sha256, toBase64, toHex, type Bytes } from '../src/lib/merkle';
import { openCheckpoint, parseNote, parseVkey } from '../src/lib/note';
import { checkProof, parseProof } from '../src/lib/proof';
import { known } from '../src/lib/known';

const utf8 = new TextEncoder();
// The example of Go's `golang.org/x/mod/sumdb/note` package documentation.
const VKEY = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const NOTE =
  'If you think cryptography is the answer to your problem,\nthen you don\'t know what your problem is.\n\n' +
  '\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n';

/** A tree computed as RFC 6962 section 2.1 defines it, and the path of a leaf (section 2.1.1). */
async function tree(leaves: Bytes[]): Promise<Bytes> {
  const [only] = leaves;
  if (leaves.length === 1 && only) return leafHash(only);
  const split = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return nodeHash(await tree(leaves.slice(0, split)), await tree(leaves.slice(split)));
}
async function path(leaves: Bytes[], at: number): Promise<Bytes[]> {
  if (leaves.length === 1) return [];
  const split = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return at < split
    ? [...(await path(leaves.slice(0, split), at)), await tree(leaves.slice(split))]
    : [...(await path(leaves.slice(split), at - split)), await tree(leaves.slice(0, split))];
}
const entries = (size: number): Bytes[] => Array.from({ length: size }, (_, at) => new Uint8Array(utf8.encode(`entry ${at}`)));

async function signer(name: string) {
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
  const key = new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
  const typed = Uint8Array.of(1, ...key);
  const id = (await sha256(utf8.encode(`${name}\n`), typed)).slice(0, 4);
  return {
    vkey: `${name}+${toHex(id)}+${toBase64(typed)}`,
    async sign(text: string) {
      const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', pair.privateKey, utf8.encode(text)));
      return `${text}\n\u2014 ${name} ${toBase64(Uint8Array.of(...id, ...signature))}\n`;
    },
  };
}

describe('hashes', () => {
  it('the hashes of an empty leaf and of known bytes are those of RFC 6962 implementations', async () => {
    expect(toHex(await leafHash(new Uint8Array()))).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
  });

  it('every leaf of every tree up to 24 leaves comes to the root, and to no other', async () => {
    for (let size = 1; size <= 24; size += 1) {
      const leaves = entries(size);
      const root = await tree(leaves);
      for (let at = 0; at < size; at += 1) {
        const proof = await path(leaves, at);
        const leaf = await leafHash(leaves[at]!);
        const found = await rootOf(leaf, BigInt(at), BigInt(size), proof);
        expect(found && toHex(found.root), `${at} of ${size}`).toBe(toHex(root));
        const wrong = await rootOf(leaf, BigInt((at + 1) % size), BigInt(size), proof);
        if (size > 1) expect(wrong && toHex(wrong.root)).not.toBe(toHex(root));
        expect(await rootOf(leaf, BigInt(at), BigInt(size), [...proof, leaf])).toBeNull();
        if (proof.length > 0) expect(await rootOf(leaf, BigInt(at), BigInt(size), proof.slice(1))).toBeNull();
      }
    }
  });

  it('an index outside the tree proves nothing', async () => {
    const leaf = await leafHash(new Uint8Array());
    expect(await rootOf(leaf, 1n, 1n, [])).toBeNull();
    expect(await rootOf(leaf, -1n, 1n, [])).toBeNull();
    expect(await rootOf(leaf, 0n, 0n, [])).toBeNull();
  });

  it('base64 has one spelling', () => {
    expect(fromBase64('cmlnaHQ=')).toEqual(new Uint8Array(utf8.encode('right')));
    for (const text of ['cmlnaHQ', 'cmlnaHR=', 'cmln aHQ=', 'cmlnaHQ==', '=', 'cmln_HQ=']) expect(fromBase64(text), text).toBeNull();
  });
});

describe('notes', () => {
  it('a note signed by Go is read, and its key has the id it names', async () => {
    expect((await parseVkey(VKEY)).name).toBe('PeterNeumann');
    expect(parseNote(NOTE).text.endsWith('is.\n')).toBe(true);
    await expect(parseVkey(VKEY.replace('c74f20a3', 'c74f20a4'))).rejects.toThrow('id');
    await expect(parseVkey(VKEY.replace('PeterNeumann', 'Peter Neumann'))).rejects.toThrow();
  });

  it('the signature of Go is accepted, and what it signed is no checkpoint', async () => {
    await expect(openCheckpoint(NOTE, await parseVkey(VKEY))).rejects.toThrow('the checkpoint is malformed');
  });

  it('a checkpoint changed anywhere is refused', async () => {
    const log = await signer('example.com/log');
    const root = toBase64(await sha256(utf8.encode('root')));
    const note = await log.sign(`example.com/log\n7\n${root}\n`);
    const vkey = await parseVkey(log.vkey);
    expect((await openCheckpoint(note, vkey)).size).toBe(7n);
    for (let at = 0; at < note.length; at += 1) {
      const changed = note.slice(0, at) + String.fromCharCode(note.charCodeAt(at) ^ 1) + note.slice(at + 1);
      await expect(openCheckpoint(changed, vkey), `character ${at}`).rejects.toThrow();
    }
  });

  it('another signer in the same name is refused, and other signatures beside the right one are not', async () => {
    const [log, other] = [await signer('example.com/log'), await signer('example.com/log')];
    const text = `example.com/log\n7\n${toBase64(await sha256())}\n`;
    const [good, bad] = [await log.sign(text), await other.sign(text)];
    await expect(openCheckpoint(bad, await parseVkey(log.vkey))).rejects.toThrow('not signed');
    const both = good + bad.slice(text.length + 1);
    expect((await openCheckpoint(both, await parseVkey(log.vkey))).size).toBe(7n);
  });
});

describe('proofs', () => {
  async function made(size = 11, at = 4) {
    const leaves = entries(size);
    const log = await signer('example.com/log');
    const note = await log.sign(`example.com/log\n${size}\n${toBase64(await tree(leaves))}\n`);
    const hashes = (await path(leaves, at)).map((hash) => `${toBase64(hash)}\n`).join('');
    return { text: `c2sp.org/tlog-proof@v1\nindex ${at}\n${hashes}\n${note}`, entry: leaves[at]!, other: leaves[at + 1]!, vkey: log.vkey };
  }

  it('a proof holds for its entry and for no other', async () => {
    const { text, entry, other, vkey } = await made();
    const checked = await checkProof(text, entry, vkey);
    expect(checked.index).toBe(4n);
    expect(checked.steps.length).toBe(4);
    await expect(checkProof(text, other, vkey)).rejects.toThrow('not the one');
  });

  it('a proof changed anywhere proves nothing', async () => {
    const { text, entry, vkey } = await made();
    for (let at = 0; at < text.length; at += 1) {
      const changed = text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ 1) + text.slice(at + 1);
      await expect(checkProof(changed, entry, vkey), `character ${at}`).rejects.toThrow();
    }
  });

  it('other spellings are refused', async () => {
    const { text } = await made();
    for (const [from, to] of [['@v1', '@v2'], ['index 4', 'index 04'], ['index 4', 'index +4'], ['index 4', 'index'], ['index 4', 'extra x\nindex 4']] as const) {
      expect(() => parseProof(text.replace(from, to)), to).toThrow();
    }
    expect(() => parseProof(text.replace('index 4\n', `index 4\n${`${toBase64(new Uint8Array(32))}\n`.repeat(60)}`))).toThrow('too many');
  });
});

describe('what the browser has seen of the log', () => {
  it('notices another key and a shorter log, and remembers the longest', () => {
    const kept = new Map<string, string>();
    const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
    expect(known('a', 5n, storage)).toMatchObject({ changed: false, shrunk: false });
    expect(known('a', 9n, storage)).toMatchObject({ changed: false, shrunk: false });
    expect(known('a', 8n, storage)).toMatchObject({ shrunk: true });
    expect(known('b', 10n, storage)).toMatchObject({ changed: true, before: 'a' });
    expect(known('a', 9n, storage)).toMatchObject({ changed: false, shrunk: false });
  });
});
