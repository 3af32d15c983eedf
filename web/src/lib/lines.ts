// Lines of JSON out of a body that goes on (newline-delimited JSON).

/** Longest line taken, in characters: a frame of 64 KiB in base64, with room. */
export const MAX_LINE = 4 * 1024 * 1024;

/** Yields each line as it arrives; empty ones are beats and left out. */
export async function* lines<T>(body: ReadableStream<Uint8Array>): AsyncGenerator<T> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      let end = rest.indexOf('\n');
      let from = 0;
      while (end >= 0) {
        const line = rest.slice(from, end);
        if (line.trim()) yield JSON.parse(line) as T;
        from = end + 1;
        end = rest.indexOf('\n', from);
      }
      rest = rest.slice(from);
      if (rest.length > MAX_LINE) throw new Error('a line of the answer is too long');
      if (done) {
        if (rest.trim()) yield JSON.parse(rest) as T;
        return;
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
