// Every page: where it is, who needs it, how it is reached by keyboard. Its code is fetched when it
// is first looked at.

import type { Component } from 'svelte';
import type { Shape } from '../parts/Icon.svelte';
import type { ControlAction } from './types';

// Each page takes the parameters of its own path.
type PageComponent = Component<Record<string, string>>;

export interface Page {
  path: string;
  load: () => Promise<PageComponent>;
}

export interface Entry {
  href: string;
  name: string;
  icon: Shape;
  key: string;
  /** Shown to whoever holds one of these; to everybody if empty. */
  needs: ControlAction[];
}

export const ENTRIES: readonly Entry[] = [
  { href: '/', name: 'Home', icon: 'home', key: 'h', needs: [] },
  { href: '/requests', name: 'Requests', icon: 'requests', key: 'r', needs: [] },
  { href: '/sessions', name: 'Sessions', icon: 'sessions', key: 's', needs: [] },
  { href: '/audit', name: 'Audit', icon: 'audit', key: 'a', needs: ['read_audit'] },
  { href: '/environments', name: 'Environments', icon: 'environments', key: 'e', needs: ['read_resources'] },
  { href: '/policy', name: 'Policy', icon: 'policy', key: 'p', needs: ['read_resources'] },
  { href: '/people', name: 'People', icon: 'people', key: 'u', needs: ['read_resources'] },
  { href: '/incident', name: 'Incident', icon: 'incident', key: 'i', needs: [] },
  { href: '/account', name: 'Account', icon: 'account', key: 'c', needs: [] },
];

const of = (load: () => Promise<{ default: unknown }>) => async () => (await load()).default as PageComponent;

export const PAGES: readonly Page[] = [
  { path: '/', load: of(() => import('../pages/Home.svelte')) },
  { path: '/requests', load: of(() => import('../pages/Requests.svelte')) },
  { path: '/requests/new', load: of(() => import('../pages/NewRequest.svelte')) },
  { path: '/requests/:id', load: of(() => import('../pages/Request.svelte')) },
  { path: '/sessions', load: of(() => import('../pages/Sessions.svelte')) },
  { path: '/sessions/:id', load: of(() => import('../pages/Session.svelte')) },
  { path: '/audit', load: of(() => import('../pages/Audit.svelte')) },
  { path: '/audit/:id', load: of(() => import('../pages/Entry.svelte')) },
  { path: '/environments', load: of(() => import('../pages/Environments.svelte')) },
  { path: '/target', load: of(() => import('../pages/Target.svelte')) },
  { path: '/policy', load: of(() => import('../pages/Policy.svelte')) },
  { path: '/changes/:id', load: of(() => import('../pages/Change.svelte')) },
  { path: '/people', load: of(() => import('../pages/People.svelte')) },
  { path: '/person', load: of(() => import('../pages/Person.svelte')) },
  { path: '/incident', load: of(() => import('../pages/Incident.svelte')) },
  { path: '/confirm', load: of(() => import('../pages/Confirm.svelte')) },
  { path: '/account', load: of(() => import('../pages/Account.svelte')) },
];
