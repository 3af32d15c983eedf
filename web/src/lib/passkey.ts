// Passkeys and security keys: the browser's own dialogue, options and answers in their JSON form
// (WebAuthn Level 3).

import { Problem } from './problem';

type Json = Record<string, unknown>;

/** Whether this page can use them: the browser must know them, and an address is no name for one. */
export function passkeysWork(): boolean {
  return typeof PublicKeyCredential !== 'undefined' && 'parseRequestOptionsFromJSON' in PublicKeyCredential && !isAddress(location.hostname);
}

/** Where this page would have to be opened for passkeys to work; null where it is. */
export function betterAddress(at: { hostname: string; port: string } = location): string | null {
  const loopback = at.hostname === '[::1]' || at.hostname.startsWith('127.');
  return loopback ? `http://localhost${at.port ? `:${at.port}` : ''}` : null;
}

function isAddress(host: string): boolean {
  return host.startsWith('[') || /^[\d.]+$/.test(host);
}

/** Has the person answer a challenge with one they have. */
export async function answer(options: Json): Promise<Json> {
  return asked(async () => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options as never);
    return navigator.credentials.get({ publicKey });
  });
}

/** Has the person make a new one. */
export async function create(options: Json): Promise<Json> {
  return asked(async () => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options as never);
    return navigator.credentials.create({ publicKey });
  });
}

async function asked(ask: () => Promise<Credential | null>): Promise<Json> {
  try {
    const found = await ask();
    if (found instanceof PublicKeyCredential) return found.toJSON() as unknown as Json;
  } catch (thrown) {
    const name = thrown instanceof DOMException ? thrown.name : '';
    if (name === 'InvalidStateError') throw new Problem(409, 'known', 'this passkey or security key is set up already');
    if (name !== 'NotAllowedError' && name !== 'AbortError') throw new Problem(400, 'passkey', `the browser refused: ${String(thrown)}`);
  }
  throw new Problem(400, 'passkey', 'the passkey or security key was not used; try again, or use another factor');
}
