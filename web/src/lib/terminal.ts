// What a terminal shows, computed without a document: bytes of a session go into an emulator, rows
// of styled text come out. The page writes them as text, so nothing a target sends can become
// anything else; answers and clipboard access of the emulator are not connected to anything.

import { Terminal } from '@xterm/headless';

/** Most columns and rows a session may claim. */
export const MAX_COLS = 400;
export const MAX_ROWS = 200;
const SCROLLBACK = 2000;

export interface Run {
  text: string;
  /** `f0`..`f15`, `b0`..`b15`, `bold`, `dim`, `italic`, `under`, `strike`, `inverse`. */
  classes: string;
  /** A colour beyond the sixteen, such as `rgb(0 135 255)`. */
  fore?: string;
  back?: string;
}

export interface Row {
  key: number;
  runs: Run[];
}

export class Screen {
  private terminal: Terminal;

  constructor(cols = 80, rows = 24, pty = true) {
    this.terminal = new Terminal({
      cols: clamp(cols, 80, MAX_COLS),
      rows: clamp(rows, 24, MAX_ROWS),
      scrollback: SCROLLBACK,
      allowProposedApi: true,
      convertEol: !pty,
      logLevel: 'off',
    });
  }

  get cols(): number {
    return this.terminal.cols;
  }

  get rowCount(): number {
    return this.terminal.rows;
  }

  write(data: Uint8Array | string): Promise<void> {
    return new Promise((done) => this.terminal.write(data, done));
  }

  resize(cols: number, rows: number): void {
    this.terminal.resize(clamp(cols, 80, MAX_COLS), clamp(rows, 24, MAX_ROWS));
  }

  close(): void {
    this.terminal.dispose();
  }

  /** The visible rows; with `history`, what has scrolled off before them. */
  rows(history = false): Row[] {
    const buffer = this.terminal.buffer.active;
    const first = history ? 0 : buffer.baseY;
    const rows: Row[] = [];
    for (let y = first; y < buffer.baseY + this.terminal.rows; y += 1) {
      rows.push({ key: y, runs: this.runs(y) });
    }
    while (history && rows.length > 1 && rows.at(-1)?.runs.length === 0) rows.pop();
    return rows;
  }

  /** The visible text, for searching. */
  text(): string {
    const buffer = this.terminal.buffer.active;
    const found: string[] = [];
    for (let y = buffer.baseY; y < buffer.baseY + this.terminal.rows; y += 1) {
      found.push(buffer.getLine(y)?.translateToString(true) ?? '');
    }
    return found.join('\n');
  }

  private runs(y: number): Run[] {
    const line = this.terminal.buffer.active.getLine(y);
    if (!line) return [];
    const runs: Run[] = [];
    let cell = line.getCell(0);
    for (let x = 0; x < line.length; x += 1) {
      cell = line.getCell(x, cell);
      if (!cell || cell.getWidth() === 0) continue;
      const text = cell.isInvisible() ? ' ' : cell.getChars() || ' ';
      const next = style(cell);
      const last = runs.at(-1);
      if (last && last.classes === next.classes && last.fore === next.fore && last.back === next.back) {
        last.text += text;
      } else runs.push({ text, ...next });
    }
    const end = runs.at(-1);
    if (end && end.classes === '' && !end.back) {
      end.text = end.text.trimEnd();
      if (!end.text) runs.pop();
    }
    return runs;
  }
}

type Cell = NonNullable<ReturnType<NonNullable<ReturnType<Terminal['buffer']['active']['getLine']>>['getCell']>>;

function style(cell: Cell): Omit<Run, 'text'> {
  const classes: string[] = [];
  const colours: { fore?: string; back?: string } = {};
  if (cell.isFgPalette() && cell.getFgColor() < 16) classes.push(`f${cell.getFgColor()}`);
  else if (!cell.isFgDefault()) colours.fore = colour(cell.getFgColor(), cell.isFgRGB());
  if (cell.isBgPalette() && cell.getBgColor() < 16) classes.push(`b${cell.getBgColor()}`);
  else if (!cell.isBgDefault()) colours.back = colour(cell.getBgColor(), cell.isBgRGB());
  if (cell.isBold()) classes.push('bold');
  if (cell.isDim()) classes.push('dim');
  if (cell.isItalic()) classes.push('italic');
  if (cell.isUnderline()) classes.push('under');
  if (cell.isStrikethrough()) classes.push('strike');
  if (cell.isInverse()) classes.push('inverse');
  return { classes: classes.join(' '), ...colours };
}

/** A colour of the 256 (ECMA-48 as xterm extends it) or of RGB; numbers only, so nothing else can get in. */
function colour(value: number, isRgb: boolean): string {
  if (isRgb) return `rgb(${(value >> 16) & 255} ${(value >> 8) & 255} ${value & 255})`;
  if (value >= 232) {
    const grey = 8 + (value - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const level = (step: number) => (step === 0 ? 0 : 55 + step * 40);
  const cube = value - 16;
  return `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`;
}

function clamp(value: number, fallback: number, most: number): number {
  return value >= 1 ? Math.min(Math.floor(value), most) : fallback;
}
