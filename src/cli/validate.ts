import {checkHeaders} from '../ingest/headers.ts';
import type {CommandBody} from './command.ts';
import {load, printDiagnostics} from './context.ts';
import {palette} from './output.ts';

export const run: CommandBody = async (call) => {
  // Only here: a file that changed must not keep other commands from working.
  const loaded = await load(call, {checks: [checkHeaders]});
  const {io, options} = call;
  const diagnostics = loaded.ok ? loaded.warnings : loaded.diagnostics;
  if (options.json || diagnostics.length > 0) printDiagnostics(call, diagnostics);
  if (!loaded.ok) return 2;
  const {domains, env} = loaded.platform;
  const count = (items: number, one: string, many = `${one}s`) => `${items} ${items === 1 ? one : many}`;
  const sum = (of: (domain: (typeof domains)[number]) => unknown[]) =>
    domains.reduce((total, domain) => total + of(domain).length, 0);
  io.stderr.write(
    `${palette(io.stderr, io.env).green('ok')} ${count(domains.length, 'domain')}, ${count(
      sum((domain) => domain.eventTypes),
      'event type',
    )}, ${count(
      sum((domain) => domain.aggregations),
      'query',
      'queries',
    )}, ${count(
      sum((domain) => domain.inputs),
      'input',
    )} (env ${env})\n`,
  );
  return 0;
};
