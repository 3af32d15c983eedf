// Who is signed in, and what they may do with the gate. The node decides; this only keeps pages from
// offering what would be refused.

import { api, onSignedOut } from './api';
import { answer } from './passkey';
import { Problem, problemOf } from './problem';
import type { ControlAction, Whoami } from './types';

type State = 'unknown' | 'out' | 'in' | 'unreachable';

class Me {
  state = $state<State>('unknown');
  who = $state.raw<Whoami>();
  problem = $state.raw<Problem>();
  /** Somebody was signed in and is not any more. */
  lapsed = $state(false);

  get name(): string {
    return this.who?.user ?? '';
  }

  may(right: ControlAction): boolean {
    return this.who?.control.includes(right) ?? false;
  }

  async look(): Promise<void> {
    try {
      await api.signedIn();
      this.who = await api.whoami();
      this.state = 'in';
      this.lapsed = false;
    } catch (thrown) {
      this.problem = problemOf(thrown);
      this.state = this.problem.status === 401 ? 'out' : 'unreachable';
    }
  }

  async signIn(user: string, password: string, code: string): Promise<void> {
    await api.signIn(user, password, code);
    await this.enter();
  }

  /** With a passkey alone, or beside a name and a password. */
  async signInByPasskey(user: string, password: string): Promise<void> {
    const challenge = await api.passkeyChallenge(user, password);
    await api.signInByPasskey(await answer(challenge.public_key));
    await this.enter();
  }

  private async enter(): Promise<void> {
    this.who = await api.whoami();
    this.state = 'in';
    this.lapsed = false;
  }

  async signOut(): Promise<void> {
    await api.signOut().catch(() => undefined);
    this.forget(false);
  }

  forget(lapsed: boolean): void {
    this.who = undefined;
    this.state = 'out';
    this.lapsed = lapsed;
  }
}

export const me = new Me();
onSignedOut(() => {
  if (me.state === 'in') me.forget(true);
});
