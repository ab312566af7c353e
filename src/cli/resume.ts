import {PlatformError} from '../errors.ts';
import type {PlatformStatus} from '../platform/status.ts';
import type {CommandBody} from './command.ts';
import {openPlatform} from './context.ts';
import {printJson} from './output.ts';

type Resumed = {resumed: string; ran?: true};

export const run: CommandBody = async ({args, options, io, ...call}) => {
  const {platform, control} = await openPlatform({args, options, io, ...call});
  if (!control)
    throw new PlatformError('NOT_RUNNING', `no platform runs in ${platform.root}`, {
      hint: 'what stopped starts again with it: npx millrace run',
    });
  const [name] = args;
  const names = name === undefined ? stoppedIn(await control.get<PlatformStatus>('/v1/status')) : [name];
  const results: Resumed[] = [];
  for (const each of names) {
    const result = await control.post<Resumed>('/v1/resume', {name: each});
    results.push(result);
    if (!options.json)
      io.stderr.write(result.ran ? `${result.resumed} runs already\n` : `resumed ${result.resumed}\n`);
  }
  if (options.json) printJson(io, name === undefined ? results : results[0]);
  else if (names.length === 0) io.stderr.write('nothing has stopped\n');
  return 0;
};

/** @returns names of the queries, inputs and raw tables that a person has to start again, each once */
function stoppedIn({queries, inputs, deliveries, rows, raw}: PlatformStatus): string[] {
  const tables = [...deliveries, ...rows].map(({table, state}) => ({
    state,
    name: table.replace(/__r\d+$/, ''),
  }));
  const all = [
    ...queries.map(({query, state}) => ({name: query, state})),
    ...tables,
    ...raw.map(({table, state}) => ({name: table, state})),
    ...inputs.map(({domain, name, state}) => ({name: `${domain}.${name}`, state})),
  ];
  return [
    ...new Set(all.flatMap(({name, state}) => (state === 'stopped' || state === 'failed' ? [name] : []))),
  ];
}
