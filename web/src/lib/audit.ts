// Audit events in words. The event itself (OCSF) is always one click away.

import { list, words } from './text';
import type { AuditEvent } from './types';

export type Outcome = 'success' | 'refused' | 'failed';

/** OCSF: `status_id` 1 is success; `action_id` 2 is denied. */
export function outcome(event: AuditEvent): Outcome {
  if (event.status_id === 1) return 'success';
  return event['action_id'] === 2 ? 'refused' : 'failed';
}

export function who(event: AuditEvent): string {
  return event.actor?.user?.name ?? 'the node';
}

export function where(event: AuditEvent): string {
  const named = event.dst_endpoint?.name ?? event.dst_endpoint?.hostname;
  if (named) return named;
  const resources = event['resources'];
  if (Array.isArray(resources)) {
    return list(resources.map((found: { name?: unknown }) => String(found.name ?? '')).filter(Boolean));
  }
  return text(event.unmapped?.['environment']);
}

/** Other fields that say what happened, in the order they matter. */
const TELLING = [
  'object', 'reason', 'action', 'of', 'subject', 'factor', 'who', 'finding', 'state', 'kind', 'duration', 'why', 'told', 'session',
];

export function what(event: AuditEvent): string {
  const more = event.unmapped ?? {};
  const found = TELLING.map((name) => text(more[name])).filter(Boolean);
  return found.slice(0, 2).join(' · ');
}

export function title(event: AuditEvent): string {
  return words(event.metadata.event_code);
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** Whether an entry holds this text anywhere, as the node's search does. */
export function holds(event: AuditEvent, needle: string): boolean {
  return JSON.stringify(event).toLowerCase().includes(needle.toLowerCase());
}
