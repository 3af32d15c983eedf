// What everybody must know at once: gates that are down. Asked for every few seconds while somebody
// looks.

import { api } from './api';
import type { Lock } from './types';

export const LOOK_EVERY = 5_000;

class Gate {
  locks = $state.raw<Lock[]>([]);

  get dropped(): Lock[] {
    return this.locks.filter((lock) => lock.kind.type === 'drop');
  }

  async look(): Promise<void> {
    try {
      this.locks = await api.locks();
    } catch {
      // Pages say what is wrong; this line must not say it twice.
    }
  }
}

export const gate = new Gate();
