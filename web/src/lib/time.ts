// Times as people read them. Pure: what it is now is a parameter.

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
];
const relatively = new Intl.RelativeTimeFormat('en', { numeric: 'always', style: 'short' });

/** `in 5 min.`, `2 hr. ago`, `just now`. */
export function relative(at: number, now: number): string {
  const seconds = Math.round((at - now) / 1000);
  if (Math.abs(seconds) < 5) return 'just now';
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return relatively.format(Math.trunc(seconds / size), unit);
  }
  return 'just now';
}

/** Unambiguous, with the offset: for titles and for evidence. */
export function absolute(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, '0');
  const offset = -date.getTimezoneOffset();
  const sign = offset < 0 ? '-' : '+';
  const zone = `${sign}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ` +
    `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`
  );
}

/** `1 h 5 min`, `42 s`: two units at most. */
export function span(milliseconds: number): string {
  let seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 1) return '0 s';
  const parts: string[] = [];
  for (const [unit, size] of [['d', 86_400], ['h', 3_600], ['min', 60], ['s', 1]] as const) {
    const many = Math.floor(seconds / size);
    if (many > 0) parts.push(`${many} ${unit}`);
    seconds -= many * size;
    if (parts.length === 2) break;
  }
  return parts.join(' ');
}

/** `0:07`, `12:30`, `1:02:03`: a place in a recording. */
export function clock(microseconds: number): string {
  const seconds = Math.floor(microseconds / 1_000_000);
  const two = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(seconds % 60)}`
    : `${minutes}:${two(seconds % 60)}`;
}

/** A duration as the API writes it (`1h`, `1h30m`, `1d`) in milliseconds; null if it is none. */
export function parseSpan(text: string): number | null {
  const trimmed = text.trim().replaceAll(' ', '');
  if (!/^(\d{1,6}(ms|[smhdw]))+$/.test(trimmed)) return null;
  const sizes: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 };
  let total = 0;
  for (const [, many, unit] of trimmed.matchAll(/(\d+)(ms|[smhdw])/g)) {
    total += Number(many) * (sizes[unit ?? ''] ?? 0);
  }
  return total;
}
