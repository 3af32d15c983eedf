// What went wrong, said so that the person can do something about it.

export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(detail);
  }

  get title(): string {
    switch (this.status) {
      case 0: return this.code === 'broken' ? 'Something went wrong in this page' : 'The gate does not answer';
      case 401: return 'You are not signed in';
      case 403: return 'You may not see or do this';
      case 404: return 'There is no such thing, or it is not yours to see';
      case 409: return 'Something has changed in the meantime';
      case 429: return 'Too many tries';
      case 503: return 'The gate cannot do this just now';
      default: return this.status >= 500 ? 'Something went wrong in the gate' : 'This was refused';
    }
  }

  get next(): string {
    switch (this.status) {
      case 0: if (this.code === 'broken') return 'Reload the page; if it stays so, tell whoever runs the gate.';
        return 'Check that the node runs and that you can reach it, then try again.';
      case 401: return 'Sign in again; you will come back to this page.';
      case 403: return 'Ask a colleague who holds the right, or request access.';
      case 404: return 'Go back to the list and choose again.';
      case 409: return 'Reload to see how things stand now.';
      case 429: return this.retryAfterSeconds ? `Try again in ${this.retryAfterSeconds} s.` : 'Wait a moment.';
      default: return 'Try again; if it stays so, the log of the node says what is wrong.';
    }
  }
}

/** Whatever was thrown, as a problem. */
export function problemOf(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  if (thrown instanceof TypeError) return new Problem(0, 'unreachable', 'no answer from the gate');
  return new Problem(0, 'broken', thrown instanceof Error ? thrown.message : 'something unexpected');
}
