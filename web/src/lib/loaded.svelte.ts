// Something asked of the node: on its way, there, or failed. What is there stays on the page while
// it is asked for again.

import { problemOf, type Problem } from './problem';

export class Loaded<T> {
  value = $state.raw<T>();
  problem = $state.raw<Problem>();
  busy = $state(true);
  private asked = 0;

  constructor(private readonly ask: () => Promise<T>) {
    void this.reload();
  }

  async reload(): Promise<void> {
    const mine = ++this.asked;
    this.busy = true;
    try {
      const value = await this.ask();
      if (mine !== this.asked) return;
      this.value = value;
      this.problem = undefined;
    } catch (thrown) {
      if (mine !== this.asked) return;
      this.problem = problemOf(thrown);
    }
    this.busy = false;
  }
}

/** Calls at once when the page is looked at again, and every so often while it is. */
export function every(milliseconds: number, act: () => void): () => void {
  const due = () => {
    if (document.visibilityState === 'visible') act();
  };
  const timer = setInterval(due, milliseconds);
  document.addEventListener('visibilitychange', due);
  return () => {
    clearInterval(timer);
    document.removeEventListener('visibilitychange', due);
  };
}
