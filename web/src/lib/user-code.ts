// Codes that a terminal shows and a person types.

/** `bcdf ghjk` as `BCDF-GHJK`: however it was typed, as it was shown. */
export function shown(typed: string): string {
  const letters = typed.toUpperCase().replace(/[^A-Z0-9]/g, '');
  return letters.length === 8 ? `${letters.slice(0, 4)}-${letters.slice(4)}` : typed.trim().toUpperCase();
}
