// Requests and grants in words.

import { list, words } from './text';
import type { AccessRequest, ActionKind, Grant, Reach } from './types';

export function targets(of: AccessRequest | Grant): string[] {
  return [of.target, ...(of.also ?? [])];
}

export function actions(of: { actions: ActionKind[] }): string {
  return of.actions.length === 0 ? 'everything their roles allow there' : list(of.actions.map(words), 8);
}

export function scope(request: AccessRequest): string {
  switch (request.scope.by) {
    case 'target': return 'one target';
    case 'role': return `all that role ${request.scope.role} reaches in ${request.environment}`;
    case 'labels':
      return `targets with ${list(Object.entries(request.scope.labels).map(([key, value]) => `${key}=${value}`))}`;
  }
}

/** What would become possible, by target: one line each instead of one for each action. */
export function byTarget(rows: readonly Reach[]): { target: string; login?: string; actions: string[]; details: string[] }[] {
  const found = new Map<string, { target: string; login?: string; actions: string[]; details: string[] }>();
  for (const row of rows) {
    const key = `${row.target}\n${row.login ?? ''}`;
    const line = found.get(key) ?? { target: row.target, login: row.login, actions: [], details: [] };
    line.actions.push(words(row.action));
    if (row.detail && !line.details.includes(row.detail)) line.details.push(row.detail);
    found.set(key, line);
  }
  return [...found.values()];
}

/** The best way each target can be reached now. */
export type Standing = 'now' | 'after a second factor' | 'after approval' | 'by breaking the glass';
const ORDER: readonly string[] = ['now', 'after a second factor', 'after approval', 'by breaking the glass'];

export function best(hows: readonly string[]): Standing {
  return (ORDER.find((how) => hows.includes(how)) ?? 'after approval') as Standing;
}

export function covers(grant: Grant, target: string, at: number): boolean {
  return !grant.ended && targets(grant).includes(target) && Date.parse(grant.starts) <= at && at < Date.parse(grant.ends);
}
