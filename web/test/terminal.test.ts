import { describe, expect, it } from 'vitest';
import { Recording } from '../src/lib/recording';
import { MAX_COLS, MAX_ROWS, Screen } from '../src/lib/terminal';
import type { Frame } from '../src/lib/types';

const plain = (screen: Screen) => screen.rows().map((row) => row.runs.map((run) => run.text).join(''));
const output = (at_us: number, text: string): Frame => ({ at_us, kind: 'output', channel: 0, data: btoa(text) });

describe('a screen', () => {
  it('keeps markup as text and colours as names or numbers', async () => {
    const screen = new Screen();
    await screen.write('\x1b[1;31m<img src=x onerror=alert(1)>\x1b[0m \x1b[48;5;33mb\x1b[38;2;1;2;3mc');
    const [red, , blue, rgb] = screen.rows()[0]!.runs;
    expect(red).toEqual({ text: '<img src=x onerror=alert(1)>', classes: 'f1 bold' });
    expect(blue?.back).toBe('rgb(0 135 255)');
    expect(rgb?.fore).toBe('rgb(1 2 3)');
  });

  it('obeys the cursor, as a real terminal would', async () => {
    const screen = new Screen(10, 3);
    await screen.write('secret\r\x1b[Kshown\r\nb\x1b[1;1Hx');
    expect(plain(screen)).toEqual(['xhown', 'b', '']);
  });

  it('takes bare line feeds of a session without a terminal as new lines', async () => {
    const screen = new Screen(10, 3, false);
    await screen.write('a\nb');
    expect(plain(screen).slice(0, 2)).toEqual(['a', 'b']);
  });

  it('is never larger than its bounds, whatever a session claims', () => {
    const screen = new Screen(0, 0);
    expect([screen.cols, screen.rowCount]).toEqual([80, 24]);
    screen.resize(1e9, 1e9);
    expect([screen.cols, screen.rowCount]).toEqual([MAX_COLS, MAX_ROWS]);
    screen.resize(Number.NaN, -3);
    expect([screen.cols, screen.rowCount]).toEqual([80, 24]);
  });

  it('stays itself under hostile output', async () => {
    const screen = new Screen();
    await screen.write('\x1b]52;c;AAAA\x07\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\x1bP+q\x1b\\\x1b[6n\x1b[99999999b\x1b]0;title\x07');
    expect(plain(screen)[0]?.startsWith('link')).toBe(true);
    let seed = 7;
    const noise = Uint8Array.from({ length: 100_000 }, () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 16);
    await screen.write(noise);
    expect(screen.rows().length).toBe(24);
  });
});

describe('a recording', () => {
  it('finds frames by moment, marks what stands out, and searches what was on the screen', async () => {
    const recording = new Recording();
    recording.add({ at_us: 0, kind: 'resize', channel: 0, cols: 40, rows: 5 });
    recording.add({ at_us: 1, kind: 'command', channel: 0, data: btoa('uptime') });
    recording.add(output(1_000_000, 'hel'));
    recording.add(output(2_000_000, 'lo <b>world</b>\r\n'));
    recording.add({ at_us: 3_000_000, kind: 'exit', channel: 0, data: btoa('with status 0') });
    expect(recording.duration).toBe(3_000_000);
    expect([recording.after(-1), recording.after(1_500_000), recording.after(9e9)]).toEqual([0, 3, 5]);
    expect(recording.marks.map((mark) => mark.text)).toEqual(['uptime', 'with status 0']);
    expect(await recording.search('HELLO <B>')).toEqual([{ at: 2_000_000, kind: 'output', text: 'hello <b>world</b>' }]);
    expect((await recording.search('uptime')).map((mark) => mark.at)).toEqual([1]);
    expect(await recording.search('never')).toEqual([]);
  });
});
