// The lines a person pastes to connect. Names come from the node and are quoted for a shell.

import { shell } from './text';
import type { SshConfig } from './types';

export interface Way {
  title: string;
  command: string;
}

/** Where the gate's SSH door is, as its own `ssh_config` says. */
export function door(config: SshConfig): { host: string; port: string } {
  const read = (key: string) => new RegExp(`^\\s*${key}\\s+(\\S+)`, 'm').exec(config.config)?.[1];
  return { host: read('HostName') ?? location.hostname, port: read('Port') ?? '22' };
}

export function ways(config: SshConfig, user: string, target: string, login: string | undefined): Way[] {
  const { host, port } = door(config);
  const account = login ?? 'LOGIN';
  return [
    { title: 'With ssh', command: `ssh -p ${shell(port)} ${shell(`${user}:${target}@${host}`)}` },
    {
      title: 'With your ssh_config, as to any host',
      command: `ssh ${shell(`${account}@${target}.portcullis`)}`,
    },
    { title: 'Copy a file', command: `scp FILE ${shell(`${account}@${target}.portcullis:`)}` },
  ];
}
