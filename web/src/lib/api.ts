// The one way to the node. The sign-in is a cookie that scripts cannot read; every change carries a
// header whose value only pages of this origin can read. Paths and header are known in this file only.

import { lines } from './lines';
import { Problem } from './problem';
import type * as t from './types';

const CSRF = 'x-portcullis-csrf';
const SESSION = '/v1/session';
/** Longest wait for an answer that is not a stream, in milliseconds. */
const PATIENCE = 120_000;
/** Most pages of a list gone through to find one entry. */
const MAX_PAGES = 100;

type Query = Record<string, string | number | boolean | undefined>;
let signedOut: () => void = () => undefined;
/** What the node wants to hear with every change; it changes when the cookie does. */
let csrf = '';
/** Has the person prove a factor again; false if they would not. */
let stepUp: () => Promise<boolean> = () => Promise.resolve(false);

/** Whom to tell when the node says that nobody is signed in any more. */
export function onSignedOut(tell: () => void): void {
  signedOut = tell;
}

/** Whom to ask for a fresh second factor when an act needs one. */
export function onStepUp(ask: () => Promise<boolean>): void {
  stepUp = ask;
}

async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (method !== 'GET' && csrf) headers[CSRF] = csrf;
  if (body !== undefined) headers['content-type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ?? AbortSignal.timeout(PATIENCE),
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
    });
  } catch (thrown) {
    if (thrown instanceof DOMException && thrown.name === 'AbortError') throw thrown;
    throw new Problem(0, 'unreachable', 'no answer from the gate');
  }
  if (response.ok) return response;
  const problem = await problemFrom(response);
  if (problem.status === 401 && path !== SESSION) signedOut();
  throw problem;
}

async function problemFrom(response: Response): Promise<Problem> {
  const wait = Number(response.headers.get('retry-after') ?? '');
  const told: unknown = await response.json().catch(() => null);
  const said = (told ?? {}) as { code?: unknown; detail?: unknown };
  return new Problem(
    response.status,
    typeof said.code === 'string' ? said.code : 'unknown',
    typeof said.detail === 'string' ? said.detail : 'the gate gave no reason',
    Number.isFinite(wait) && wait > 0 ? wait : null,
  );
}

function at(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const text = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

const part = encodeURIComponent;

async function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return (await send('GET', at(path, query), undefined, signal)).json() as Promise<T>;
}

export interface Paged<T> {
  items: T[];
  /** Asks for what comes after; null at the end. */
  next: string | null;
}

/** A page of a list; the next one is named by a `Link` header (RFC 8288). */
async function page<T>(path: string): Promise<Paged<T>> {
  const response = await send('GET', path);
  const link = /<(\/v1\/[^>]*)>;\s*rel="next"/.exec(response.headers.get('link') ?? '');
  return { items: (await response.json()) as T[], next: link?.[1] ?? null };
}

async function change<T = void>(method: 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<T> {
  const once = async (): Promise<T> => {
    const text = await (await send(method, path, body)).text();
    return (text ? JSON.parse(text) : undefined) as T;
  };
  try {
    return await once();
  } catch (thrown) {
    const isStale = thrown instanceof Problem && thrown.code === 'step_up_required';
    if (isStale && (await stepUp())) return once();
    throw thrown;
  }
}

/** Signing in or proving a factor gives another cookie, and with it another value for the header. */
async function signedInBy(path: string, body: unknown): Promise<void> {
  csrf = (await change<t.SignIn>('POST', path, body)).csrf ?? '';
}

async function* stream<T>(path: string, query: Query, signal: AbortSignal): AsyncGenerator<T> {
  const response = await send('GET', at(path, query), undefined, signal);
  if (response.body) yield* lines<T>(response.body);
}

const reasoned = (reason: string) => ({ reason });

export const api = {
  signIn: async (user: string, password: string, code: string) => {
    csrf = '';
    await signedInBy(SESSION, { user, password, ...(code ? { code } : {}) });
  },
  /** A challenge to sign in with a passkey alone, or beside a name and a password. */
  passkeyChallenge: (user: string, password: string) =>
    change<t.Challenge>('POST', '/v1/login/passkey', user && password ? { user, password } : {}),
  signInByPasskey: (answer: unknown) => {
    csrf = '';
    return signedInBy(`${SESSION}/passkey`, { answer });
  },
  prove: (proof: t.Proof) => signedInBy(`${SESSION}/factor`, proof),
  challenge: () => change<t.Challenge>('POST', '/v1/me/challenge'),
  /** The sign-in the browser has, if it has one. */
  signedIn: async () => {
    csrf = (await get<t.SignIn>(SESSION)).csrf ?? '';
  },
  signOut: () => change('DELETE', SESSION),
  signIns: () => get<t.SignInRow[]>('/v1/me/sign-ins'),
  endSignIn: (id: string) => change('DELETE', `/v1/me/sign-ins/${part(id)}`),
  whoami: () => get<t.Whoami>('/v1/whoami'),

  reach: () => get<t.Reachable[]>('/v1/me/reach'),
  sshConfig: () => get<t.SshConfig>('/v1/ssh-config'),
  suggestions: () => get<t.Suggestion[]>('/v1/suggestions'),

  requests: (query: { mine?: boolean; open?: boolean } = {}) => get<t.AccessRequest[]>('/v1/requests', query),
  requestsPage: (next?: string) => page<t.AccessRequest>(next ?? '/v1/requests'),
  request: (id: string) => get<t.AccessRequest>(`/v1/requests/${part(id)}`),
  ask: (body: t.RequestBody) => change<t.AccessRequest>('POST', '/v1/requests', body),
  approve: (id: string) => change('POST', `/v1/requests/${part(id)}/approve`),
  deny: (id: string, reason: string) => change('POST', `/v1/requests/${part(id)}/deny`, reasoned(reason)),
  cancel: (id: string) => change('POST', `/v1/requests/${part(id)}/cancel`),
  grants: (query: { mine?: boolean; open?: boolean } = {}) => get<t.Grant[]>('/v1/grants', query),
  revoke: (id: string, reason: string) => change('POST', `/v1/grants/${part(id)}/revoke`, reasoned(reason)),

  sessions: (query: { live?: boolean; user?: string; target?: string; limit?: number } = {}) =>
    get<t.Session[]>('/v1/sessions', query),
  sessionsPage: (query: { limit: number }, next?: string) => page<t.Session>(next ?? at('/v1/sessions', query)),
  /** One session, looked for in the list the caller may see, newest first. */
  session: async (id: string): Promise<t.Session | null> => {
    let next: string | null = at('/v1/sessions', { limit: 1000 });
    for (let pages = 0; next && pages < MAX_PAGES; pages += 1) {
      const found: Paged<t.Session> = await page<t.Session>(next);
      const session = found.items.find((one) => one.id === id);
      if (session) return session;
      next = found.next;
    }
    return null;
  },
  kill: (id: string, reason: string) => change('POST', `/v1/sessions/${part(id)}/kill`, reasoned(reason)),
  watch: (id: string, signal: AbortSignal) => stream<t.Frame>(`/v1/sessions/${part(id)}/watch`, {}, signal),
  recording: (id: string, signal: AbortSignal) =>
    stream<t.Frame>(`/v1/sessions/${part(id)}/recording`, { format: 'frames' }, signal),
  recordingHref: (id: string) => `/v1/sessions/${part(id)}/recording?format=asciicast-v2`,

  audit: async (query: Query): Promise<t.AuditEntry[]> => {
    const found: t.AuditEntry[] = [];
    const never = new AbortController();
    for await (const entry of stream<t.AuditEntry>('/v1/audit/search', query, never.signal)) found.push(entry);
    return found;
  },
  auditTail: (signal: AbortSignal) => stream<t.AuditEntry>('/v1/audit/tail', {}, signal),
  auditProof: (id: string) => get<t.EntryProof>(`/v1/audit/entries/${part(id)}/proof`),
  checkpoint: () => get<t.Checkpoint>('/v1/audit/checkpoint'),

  environments: () => get<t.EnvironmentInfo[]>('/v1/environments'),
  people: () => get<t.Person[]>('/v1/people'),
  resources: (kind?: string, name?: string) => get<t.Resource[]>('/v1/resources', { kind, name }),
  policies: (of?: string) => get<t.Policy[]>('/v1/policies', { of }),
  why: (query: { user: string; action: string; target: string; login?: string; object?: string; second_factor?: boolean }) =>
    get<t.Why>('/v1/why', query),
  whoCan: (action: string, target: string) => get<t.WhoCan[]>('/v1/who-can', { action, target }),
  proveInvariants: () => change<t.Invariants>('POST', '/v1/prove', {}),
  changes: (all: boolean) => get<t.Change[]>('/v1/changes', { all }),
  change: (id: string) => get<t.Change>(`/v1/changes/${part(id)}`),
  approveChange: (id: string) => change('POST', `/v1/changes/${part(id)}/approve`),
  denyChange: (id: string, reason: string) => change('POST', `/v1/changes/${part(id)}/deny`, reasoned(reason)),

  locks: () => get<t.Lock[]>('/v1/locks'),
  lock: (subject: t.Lock['subject'], reason: string, expires_in?: string) =>
    change('POST', '/v1/locks', { subject, reason, ...(expires_in ? { expires_in } : {}) }),
  lift: (id: string) => change('DELETE', `/v1/locks/${part(id)}`),
  drop: (environment: string, reason: string) =>
    change('POST', `/v1/environments/${part(environment)}/drop`, reasoned(reason)),
  raise: (environment: string, reason: string) =>
    change<t.Raised>('POST', `/v1/environments/${part(environment)}/raise`, reasoned(reason)),

  factors: () => get<t.Factors>('/v1/me/factors'),
  newPasskey: (kind: 'passkey' | 'security_key', proof: t.Proof) =>
    change<t.Challenge>('POST', '/v1/me/passkeys', { kind, proof }),
  confirmPasskey: (name: string, answer: unknown) => change('POST', '/v1/me/passkeys/confirm', { name, answer }),
  renameFactor: (id: string, name: string) => change('PUT', `/v1/me/factors/${part(id)}`, { name }),
  removeFactor: (id: string, proof: t.Proof) => change('POST', `/v1/me/factors/${part(id)}/remove`, proof),

  confirmation: (code: string) => get<t.Confirmation>(`/v1/confirmations/${part(code)}`),
  confirm: (code: string, proof: t.Proof) => change('POST', `/v1/confirmations/${part(code)}/confirm`, proof),
  refuse: (code: string) => change('POST', `/v1/confirmations/${part(code)}/refuse`),

  changePassword: (old: string, fresh: string, code: string) =>
    change('POST', '/v1/me/password', { old, new: fresh, ...(code ? { code } : {}) }),
  recoveryCodes: (password: string, code: string) =>
    change<{ codes: string[] }>('POST', '/v1/me/recovery-codes', { password, ...(code ? { code } : {}) }),
  enrolTotp: (password: string, code: string) =>
    change<{ secret: string; uri: string }>('POST', '/v1/me/totp', { password, ...(code ? { code } : {}) }),
  confirmTotp: (code: string) => change('POST', '/v1/me/totp/confirm', { code }),
};
