// A list whose first page is asked for again and again, with older pages fetched once behind it.

import type { Paged } from './api';
import { Loaded } from './loaded.svelte';
import { problemOf, type Problem } from './problem';

export class Older<T extends { id: string }> {
  readonly first: Loaded<Paged<T>>;
  private older = $state.raw<T[]>([]);
  private after = $state.raw<string | null>();
  busy = $state(false);
  problem = $state.raw<Problem>();

  constructor(private readonly ask: (next?: string) => Promise<Paged<T>>) {
    this.first = new Loaded(() => ask());
  }

  /** All that is at hand, each entry once: what moved between pages is shown as the newer page has it. */
  get items(): T[] {
    const all = new Map<string, T>();
    for (const one of this.first.value?.items ?? []) all.set(one.id, one);
    for (const one of this.older) if (!all.has(one.id)) all.set(one.id, one);
    return [...all.values()];
  }

  get hasMore(): boolean {
    return this.next !== null;
  }

  async more(): Promise<void> {
    const next = this.next;
    if (!next || this.busy) return;
    this.busy = true;
    this.problem = undefined;
    try {
      const page = await this.ask(next);
      // What new entries push off the first page must not fall between the pages.
      this.older = [...(this.first.value?.items ?? []), ...this.older, ...page.items];
      this.after = page.next;
    } catch (thrown) {
      this.problem = problemOf(thrown);
    }
    this.busy = false;
  }

  private get next(): string | null {
    return this.after === undefined ? (this.first.value?.next ?? null) : this.after;
  }
}
