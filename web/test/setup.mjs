// Node 18 has the browser's cryptography, but not under the browser's name.
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;
