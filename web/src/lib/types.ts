// What the API takes and gives, as the console uses it. The names are the API's own
// (crates/control/src/view); what the console does not read is left out.

export type ActionKind =
  | 'shell' | 'exec' | 'upload' | 'download' | 'forward' | 'agent_forward' | 'remote_forward';
export const ACTIONS: readonly ActionKind[] =
  ['shell', 'exec', 'upload', 'download', 'forward', 'agent_forward', 'remote_forward'];

export type ControlAction =
  | 'read_resources' | 'apply_resources' | 'manage_credentials' | 'read_requests' | 'revoke_grants'
  | 'lock' | 'drop' | 'list_sessions' | 'read_recordings' | 'kill_sessions' | 'read_audit'
  | 'hold_evidence' | 'forget_subjects';

export interface Whoami {
  user: string;
  roles: { role: string; via: string[] }[];
  control: ControlAction[];
  second_factors: string[];
}

export interface SignIn {
  user: string;
  sign_in: string;
  expires: string;
  csrf: string | null;
}

/** What somebody proves with: a passkey's answer alone, or what they know and have. */
export interface Proof {
  password?: string;
  code?: string;
  passkey?: unknown;
}

export interface Challenge {
  public_key: Record<string, unknown>;
}

export interface Factors {
  user: string;
  factors: {
    id: string;
    kind: string;
    name: string;
    created: string | null;
    used: string | null;
    on_several_devices: boolean;
  }[];
  production_opens: string | null;
}

export interface Confirmation {
  code: string;
  device: string;
  source: string;
  target: string | null;
  at: string;
  expires: string;
}

export interface SignInRow {
  id: string;
  carrier: string;
  current: boolean;
  client: string | null;
  source: string;
  certificate: boolean;
  issued: string;
  seen: string;
  expires: string;
}

export interface Reachable {
  target: string;
  environment: string;
  tier: string;
  logins: string[];
  actions: { action: ActionKind; how: string }[];
}

export type Rule =
  | { groups: string[]; count: number }
  | { all: Rule[] }
  | { any: Rule[] }
  | { each: Rule[] };

export type Scope =
  | { by: 'target' }
  | { by: 'role'; role: string }
  | { by: 'labels'; labels: Record<string, string> };

export type RequestState =
  | { state: 'pending'; approvals: { by: string; at: string }[] }
  | { state: 'approved'; grant: string; at: string; approvals?: { by: string; at: string }[] }
  | { state: 'denied'; by: string; at: string; reason: string }
  | { state: 'expired'; at: string }
  | { state: 'cancelled'; at: string };

export interface Reach {
  user: string;
  target: string;
  action: ActionKind;
  before: string;
  after: string;
  login?: string;
  detail?: string;
  gains: boolean;
}

export interface PastGrant {
  grant: string;
  targets: string[];
  starts: string;
  ends: string;
  sessions: number;
  actions: number;
  last_used: string | null;
}

export interface AccessRequest {
  id: string;
  user: string;
  target: string;
  also?: string[];
  scope: Scope;
  environment: string;
  actions: ActionKind[];
  login: string | null;
  duration: string;
  reason: string;
  ticket?: string;
  extends?: { grant: string; ends: string };
  asked_at: string;
  rule: Rule;
  state: RequestState;
  can_decide: boolean;
  grant: Grant | null;
  waits_for?: string | null;
  missing?: number | null;
  would_allow?: Reach[];
  history?: PastGrant[];
}

export interface RequestBody {
  target?: string;
  role?: string;
  environment?: string;
  duration: string;
  reason: string;
  actions?: ActionKind[];
  login?: string;
  ticket?: string;
}

export interface Grant {
  id: string;
  user: string;
  target: string;
  also?: string[];
  role?: string;
  actions: ActionKind[];
  login: string | null;
  starts: string;
  ends: string;
  ended: { at: string; by: string; reason: string } | null;
}

export interface Suggestion {
  at: string;
  target: string;
  action: ActionKind;
  role: string | null;
  reach: number;
  command: string | null;
  text: string;
}

export interface Session {
  id: string;
  user: string;
  target: string;
  environment: string;
  login: string | null;
  source: string;
  opened: string;
  closed: string | null;
  end_reason: string | null;
  live: boolean;
  recording: Record<string, unknown> | null;
}

export interface Frame {
  at_us: number;
  kind: string;
  channel: number;
  data?: string;
  cols?: number;
  rows?: number;
}

export interface Lock {
  id: string;
  subject: { kind: 'user' | 'role' | 'target' | 'environment'; name: string };
  kind: { type: 'lock' } | { type: 'drop'; [more: string]: unknown };
  reason: string;
  by: string;
  at: string;
  expires: string | null;
}

export interface Raised {
  raised: boolean;
  waiting_for: number;
}

export interface AuditEvent {
  time: number;
  status_id?: number;
  severity_id?: number;
  class_uid?: number;
  message?: string;
  status_detail?: string;
  actor?: { user?: { name?: string } };
  user?: { name?: string };
  api?: { operation?: string };
  src_endpoint?: { ip?: string };
  dst_endpoint?: { name?: string; hostname?: string };
  metadata: { event_code: string; uid: string };
  unmapped?: Record<string, unknown>;
  [more: string]: unknown;
}

export interface AuditEntry {
  index: number;
  event: AuditEvent;
}

export interface EntryProof {
  index: number;
  proof: string;
  entry: string;
}

export interface Checkpoint {
  checkpoint: string;
  vkey: string;
  witness_keys: string[];
}

export interface EnvironmentInfo {
  name: string;
  tier: string;
  access: string;
  second_factor: string;
  recording: string;
  approval: string | null;
  max_grant: string;
  targets: { name: string; labels: Record<string, string>; address: string; logins: string[] }[];
}

export interface Person {
  name: string;
  full_name: string | null;
  disabled: boolean;
  groups: string[];
  roles: { role: string; via: string[] }[];
}

export interface Resource {
  kind: string;
  name: string;
  yaml: string;
  author: string;
  updated_at: string;
}

export interface Policy {
  id: string;
  effect: string;
  source: string;
  description: string | null;
  cedar: string;
}

export interface Why {
  decision: 'allow' | 'step_up' | 'request_access' | 'deny';
  text: string;
  explanation: {
    summary: string;
    allowed_by: PolicyReason[];
    forbidden_by: PolicyReason[];
    roles?: Record<string, string[]>;
  };
}

export interface PolicyReason {
  id: string;
  effect: string;
  description: string | null;
  text: string;
  held_by: string[];
}

export interface WhoCan {
  user: string;
  how: string;
  logins: string[];
  via: string[];
}

export interface Counterexample {
  user: string;
  user_exists: boolean;
  roles: string[];
  groups: string[];
  action: string;
  target: string;
  target_exists: boolean;
  environment: string;
  login: string;
  granted: boolean;
  second_factor_age: number | null;
  source: string;
  allowed_by: string[];
  policies: string[];
  confirmed: boolean;
  exception: string | null;
}

export interface Invariants {
  solver: string | null;
  invariants: {
    invariant: string;
    builtin: boolean;
    description: string | null;
    cedar: string;
    status: 'proved' | 'excepted' | 'not_proved' | 'broken';
    counterexamples: Counterexample[];
    why: string[];
  }[];
  milliseconds: number;
  refused: string | null;
}

export interface Plan {
  revision: number;
  changes: {
    resource: string;
    change: string;
    fields: { path: string; before: unknown; after: unknown }[];
  }[];
  reach: Reach[];
  not_separated?: string[];
  proof: Invariants | null;
}

export interface Change {
  id: string;
  author: string;
  why: string;
  at: string;
  expires: string;
  state: string;
  decided_by: string | null;
  can_decide: boolean;
  is_current: boolean;
  plan: Plan | null;
}

export interface SshConfig {
  config: string;
  known_hosts: string;
}
