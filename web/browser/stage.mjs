// A real node for the console's tests: the demo, with its hosts, its people and real ssh clients.
// Nothing is stood in for; the console is the one built into the program.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as rest } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const PROGRAM = process.env.PORTCULLIS ?? fileURLToPath(new URL('../../target/debug/portcullis', import.meta.url));
/** Longest wait for the node to open, in milliseconds. */
const OPENING = 60_000;
/** How long a one-time code is good, in seconds (RFC 6238). */
const STEP = 30;

/** Opens a demo in a new directory. */
export async function open() {
  const parent = mkdtempSync(join(tmpdir(), 'portcullis-console-'));
  const directory = join(parent, 'demo');
  const node = spawn(PROGRAM, ['demo', '--json', '--keep', directory], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  let complained = '';
  node.stdout.on('data', (data) => (said += data));
  node.stderr.on('data', (data) => (complained += data));
  const facts = await until(OPENING, () => {
    if (node.exitCode !== null) throw new Error(`the demo did not open: ${complained}`);
    try {
      return JSON.parse(said);
    } catch {
      return null;
    }
  });
  const clients = new Set();
  const used = new Map();

  /** A code that has not been used; the node takes the one before and the one after the present one. */
  async function code(name) {
    const person = facts.people.find((one) => one.name === name);
    const present = () => Math.floor(Date.now() / 1000 / STEP);
    const step = Math.max((used.get(name) ?? -1) + 1, Math.floor((Date.now() / 1000 + 5) / STEP) - 1);
    while (step > present() + 1) await rest(200);
    used.set(name, step);
    return totp(person.totp_secret, step);
  }

  const environment = (name) => ({
    PATH: process.env.PATH, HOME: directory, PORTCULLIS_ADDRESS: facts.api, PORTCULLIS_HOME: join(directory, 'home', name),
  });

  return {
    url: facts.api,
    directory,
    login: facts.login,
    code,
    password: (name) => facts.people.find((one) => one.name === name).password,

    /** Gives somebody's ssh a certificate, as `portcullis login` does. */
    async certify(name) {
      const child = spawn(PROGRAM, ['login', name], {
        env: { ...environment(name), PORTCULLIS_PASSWORD: this.password(name), PORTCULLIS_CODE: await code(name) },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let told = '';
      child.stdout.on('data', (data) => (told += data));
      child.stderr.on('data', (data) => (told += data));
      const status = await new Promise((done) => child.on('exit', done));
      if (status !== 0) throw new Error(`${name} could not sign in: ${told}`);
    },

    /** A real ssh session; `send` types, `shown` is all that came. */
    async ssh(name, target, words = []) {
      const askpass = join(directory, 'test-askpass');
      writeFileSync(askpass, '#!/bin/sh\nprintf "%s\\n" "$TEST_CODE"\n', { mode: 0o700 });
      const options = words.length > 0 ? [] : ['-tt'];
      const child = spawn('ssh', ['-F', join(directory, 'home', name, 'ssh_config'), ...options, `${name}:${target}@portcullis-gate`, ...words], {
        env: {
          ...environment(name), TERM: 'xterm-256color', DISPLAY: ':0', SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force',
          TEST_CODE: target.startsWith('prod') ? await code(name) : '',
        },
      });
      clients.add(child);
      const session = { shown: '', ended: null, send: (text) => child.stdin.write(text) };
      child.stdout.on('data', (data) => (session.shown += data));
      child.stderr.on('data', (data) => (session.shown += data));
      child.on('exit', (status) => {
        session.ended = status ?? -1;
        clients.delete(child);
      });
      return session;
    },

    async close() {
      for (const client of clients) client.kill();
      node.kill('SIGTERM');
      await Promise.race([new Promise((done) => node.on('exit', done)), rest(20_000)]);
      rmSync(parent, { recursive: true, force: true });
    },
  };
}

/** Asks again and again until there is an answer. */
export async function until(patience, ask) {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${patience} ms in vain for ${ask}`);
    await rest(50);
  }
}

/** RFC 6238 with SHA-1 and six digits. */
function totp(secret, step) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const hash = createHmac('sha1', key).update(counter).digest();
  const at = hash[19] & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
