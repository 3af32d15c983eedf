// A recording as a timeline: frames in their order, what stands out in them, and what the screen
// shows at any moment.

import { fromBase64 } from './merkle';
import { Screen } from './terminal';
import type { Frame } from './types';

/** Most frames kept of one recording. */
export const MAX_FRAMES = 500_000;
/** Longer silences are skipped in a replay, in microseconds. */
export const MAX_IDLE = 2_000_000;

export interface Mark {
  at: number;
  kind: string;
  text: string;
}

const utf8 = new TextDecoder();

export function bytesOf(frame: Frame): Uint8Array {
  return (frame.data ? fromBase64(frame.data) : null) ?? new Uint8Array();
}

export function textOf(frame: Frame): string {
  return utf8.decode(bytesOf(frame));
}

export function isShown(frame: Frame): boolean {
  return frame.kind === 'output' || frame.kind === 'error';
}

/** Puts one frame on a screen. */
export async function show(screen: Screen, frame: Frame): Promise<void> {
  if (frame.kind === 'resize') screen.resize(frame.cols ?? 0, frame.rows ?? 0);
  else if (isShown(frame)) await screen.write(bytesOf(frame));
}

export class Recording {
  readonly frames: Frame[] = [];
  readonly marks: Mark[] = [];
  private pty = false;

  add(frame: Frame): void {
    if (this.frames.length >= MAX_FRAMES) return;
    this.frames.push(frame);
    if (frame.kind === 'resize') this.pty = true;
    else if (!isShown(frame) && frame.kind !== 'input') {
      this.marks.push({ at: frame.at_us, kind: frame.kind, text: textOf(frame) });
    }
  }

  /** Microseconds. */
  get duration(): number {
    return this.frames.at(-1)?.at_us ?? 0;
  }

  get isEmpty(): boolean {
    return !this.frames.some(isShown);
  }

  blank(): Screen {
    return new Screen(80, 24, this.pty);
  }

  /** The index of the first frame after this moment. */
  after(at: number): number {
    let low = 0;
    let high = this.frames.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.frames[middle]?.at_us ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Moments at which `needle` comes to be on the screen, or stands in a mark. */
  async search(needle: string, most = 200): Promise<Mark[]> {
    const wanted = needle.toLowerCase();
    if (!wanted) return [];
    const found = this.marks.filter((mark) => mark.text.toLowerCase().includes(wanted));
    const screen = this.blank();
    let was = 0;
    for (const frame of this.frames) {
      await show(screen, frame);
      if (!isShown(frame)) continue;
      const lines = screen.text().split('\n').filter((line) => line.toLowerCase().includes(wanted));
      if (lines.length > was && found.length < most) {
        found.push({ at: frame.at_us, kind: 'output', text: lines.at(-1)?.trim() ?? '' });
      }
      was = lines.length;
    }
    screen.close();
    return found.sort((a, b) => a.at - b.at);
  }
}
