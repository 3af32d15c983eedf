import { describe, expect, it } from 'vitest';
import { ways } from '../src/lib/connect';
import { lines } from '../src/lib/lines';
import { match } from '../src/lib/match';
import { betterAddress } from '../src/lib/passkey';
import { shown } from '../src/lib/user-code';
import { list, shell, short, visible } from '../src/lib/text';
import { absolute, clock, parseSpan, relative, span } from '../src/lib/time';

describe('text of other people', () => {
  it('spells out what cannot be seen and leaves the rest alone', () => {
    expect(visible('plain, ünïcode, 日本, 👍🏽')).toBe('plain, ünïcode, 日本, 👍🏽');
    expect(visible('invoice\u202efdp.exe')).toBe('invoice‹U+202E›fdp.exe');
    expect(visible('a\u200bb\u0000\u001b[31m\u{e0041}')).toBe('a‹U+200B›b‹U+0000›‹U+001B›[31m‹U+E0041›');
    expect(visible('two\nlines')).toBe('two\nlines');
  });

  it('cuts by characters, visibly', () => {
    expect(short('👍👍👍', 2)).toBe('👍…');
    expect(short('ab', 2)).toBe('ab');
  });

  it('lists as people do', () => {
    expect(list(['a'])).toBe('a');
    expect(list(['a', 'b'])).toBe('a and b');
    expect(list(['a', 'b', 'c', 'd'], 2)).toBe('a, b and 2 more');
  });

  it('quotes for a shell whatever is not plain', () => {
    expect(shell('alice:prod-web@127.0.0.1')).toBe('alice:prod-web@127.0.0.1');
    expect(shell("a'; rm -rf /")).toBe(`'a'\\''; rm -rf /'`);
    expect(shell('$(id)')).toBe("'$(id)'");
  });

  it('lines to paste name the door of the gate', () => {
    const config = { config: 'Host portcullis-gate\n  HostName gate.example\n  Port 2022\n  User alice\n', known_hosts: '' };
    const [direct, plain] = ways(config, 'alice', 'prod-web', 'deploy');
    expect(direct?.command).toBe('ssh -p 2022 alice:prod-web@gate.example');
    expect(plain?.command).toBe('ssh deploy@prod-web.portcullis');
  });
});

describe('codes a terminal shows', () => {
  it('are taken however they are typed', () => {
    for (const typed of ['bcdf-ghjk', 'BCDFGHJK', ' bcdf ghjk ', 'BCDF–GHJK']) expect(shown(typed)).toBe('BCDF-GHJK');
    expect(shown('bcd')).toBe('BCD');
  });
});

describe('passkeys', () => {
  it('are asked for at a name, as an address cannot have one', () => {
    expect(betterAddress({ hostname: '127.0.0.1', port: '3022' })).toBe('http://localhost:3022');
    expect(betterAddress({ hostname: '[::1]', port: '' })).toBe('http://localhost');
    expect(betterAddress({ hostname: 'localhost', port: '3022' })).toBeNull();
    expect(betterAddress({ hostname: 'gate.example', port: '' })).toBeNull();
  });
});

describe('times', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  it('are relative', () => {
    expect(relative(now - 2_000, now)).toBe('just now');
    expect(relative(now - 90_000, now)).toBe('1 min. ago');
    expect(relative(now + 7_200_000, now)).toBe('in 2 hr.');
  });
  it('have an absolute form with their offset', () => {
    expect(absolute(now)).toMatch(/^2026-11-2[123] \d\d:\d\d:00 [+-]\d\d:\d\d$/);
  });
  it('spans and clocks read as people write them', () => {
    expect(span(3_900_000)).toBe('1 h 5 min');
    expect(span(100)).toBe('0 s');
    expect(clock(3_723_000_000)).toBe('1:02:03');
    expect(clock(7_900_000)).toBe('0:07');
  });
  it('durations are those the API takes', () => {
    expect(parseSpan('1h30m')).toBe(5_400_000);
    for (const wrong of ['', '1', 'h', '1x', '-1h', '1h!']) expect(parseSpan(wrong), wrong).toBeNull();
  });
});

describe('addresses', () => {
  it('match whole paths only and decode their parameters', () => {
    expect(match('/', '/')).toEqual({});
    expect(match('/requests/:id', '/requests/req-1')).toEqual({ id: 'req-1' });
    expect(match('/requests/:id', '/requests/req-1/')).toEqual({ id: 'req-1' });
    expect(match('/requests/:id', '/requests')).toBeNull();
    expect(match('/requests', '/requestsx')).toBeNull();
    expect(match('/requests/:id', '/requests/%')).toBeNull();
  });
});

describe('lines of JSON', () => {
  const body = (...pieces: (string | Uint8Array)[]) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const piece of pieces) controller.enqueue(typeof piece === 'string' ? new TextEncoder().encode(piece) : piece);
        controller.close();
      },
    });
  async function all(stream: ReadableStream<Uint8Array>): Promise<unknown[]> {
    const found: unknown[] = [];
    for await (const line of lines<unknown>(stream)) found.push(line);
    return found;
  }

  it('arrive whole however the bytes were cut', async () => {
    const text = new TextEncoder().encode('{"a":"ü"}\n\n{"b":2}\n');
    for (let cut = 0; cut <= text.length; cut += 1) {
      expect(await all(body(text.slice(0, cut), text.slice(cut))), String(cut)).toEqual([{ a: 'ü' }, { b: 2 }]);
    }
    expect(await all(body('{"a":1}'))).toEqual([{ a: 1 }]);
  });

  it('that do not end are given up', async () => {
    const much = 'x'.repeat(1024 * 1024);
    await expect(all(body(...Array.from({ length: 5 }, () => much)))).rejects.toThrow('too long');
  });
});
